"""Pipelines as programs: declare the jobs in Python, run them by hand or on a cluster.

```python
import cicd_sdk as ci

pipeline = ci.Pipeline("web", description="build and test the web app")

@pipeline.job
def test(ctx: ci.Context) -> None:
    ctx.run("pytest", "-q")

if __name__ == "__main__":
    pipeline.main()
```
"""

from __future__ import annotations

from cicd_sdk._command import Completed
from cicd_sdk._context import Context, Git
from cicd_sdk._job import Need, Retry, on_any, on_failure
from cicd_sdk._param import Param
from cicd_sdk._pipeline import Pipeline, Trigger
from cicd_sdk._version import __version__
from cicd_sdk.errors import (
    Cancelled,
    CommandError,
    CommandTimeoutError,
    FeatureUnavailableError,
    ParamError,
    PipelineError,
)

__all__ = [
    "Cancelled",
    "CommandError",
    "CommandTimeoutError",
    "Completed",
    "Context",
    "FeatureUnavailableError",
    "Git",
    "Need",
    "Param",
    "ParamError",
    "Pipeline",
    "PipelineError",
    "Retry",
    "Trigger",
    "__version__",
    "on_any",
    "on_failure",
]
