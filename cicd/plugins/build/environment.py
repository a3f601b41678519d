"""The environment of each step of a build: made from nothing, never inherited.

Of the master's own environment only the well-known names of proxies, certificates and package indexes pass; none of
them reach the plugin when it is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cicd
from cicd.plugins.build.settings import BuildSettings

NETWORK_NAMES = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
"""Passed from the master's environment to git and uv."""

INDEX_NAMES = (
    "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_OFFLINE",
    "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_INSECURE_HOST", "UV_INDEX_STRATEGY", "UV_KEYRING_PROVIDER",
    "UV_HTTP_TIMEOUT", "UV_EXCLUDE_NEWER", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT",
)  # fmt: skip
"""Passed from the master's environment to uv."""

_PIP_TO_UV = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
"""What people set for pip, as uv calls it; uv's own name wins."""

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def base_environment(host: Mapping[str, str], work: Path) -> dict[str, str]:
    """Return what every step sees.

    Args:
        host: the master's environment.
        work: the build's own folder.
    """
    return {
        "PATH": host.get("PATH") or _DEFAULT_PATH,
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "LANG": "C.UTF-8",
        # How a step finds this very program when it is not installed; `step.py` takes it out again.
        "PYTHONPATH": str(Path(cicd.__file__).parent.parent),
    }


def clone_environment(host: Mapping[str, str], settings: BuildSettings, work: Path) -> dict[str, str]:
    """Return the environment of the clone step, without git's own settings."""
    passed = {name: value for name, value in (dict(host) | settings.build_env).items() if name in NETWORK_NAMES}
    return base_environment(host, work) | passed


def package_environment(host: Mapping[str, str], settings: BuildSettings, work: Path) -> dict[str, str]:
    """Return the environment of the package step: that of uv and of the build backends it starts."""
    passed = {name: host[name] for name in (*NETWORK_NAMES, *INDEX_NAMES) if name in host}
    given = passed | settings.build_env
    translated = {uv: given[pip] for pip, uv in _PIP_TO_UV.items() if pip in given and uv not in given}
    own = {
        "UV_CACHE_DIR": str(Path(settings.data_dir) / "cache" / "uv"),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
        # Sets and dicts of strings in bytecode must not depend on the process that compiled it.
        "PYTHONHASHSEED": "0",
    }
    return base_environment(host, work) | own | given | translated
