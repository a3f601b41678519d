"""Configuration of a master and of a minion: typed, layered, and refused as a whole when anything in it is wrong.

Layers, the later wins: defaults < file (TOML) < environment (`CICD_SECTION_KEY`) < flags (`--set section.key=value`).
`types`, `master` and `minion` say what there is; `loading` layers and checks; `arguments` reads the flags of a server.
"""

from cicd.config.arguments import arguments
from cicd.config.loading import ConfigError, environment_names
from cicd.config.master import MasterConfig, load_master
from cicd.config.minion import MinionConfig, load_minion
from cicd.config.types import Log, Tap

__all__ = [
    "ConfigError",
    "Log",
    "MasterConfig",
    "MinionConfig",
    "Tap",
    "arguments",
    "environment_names",
    "load_master",
    "load_minion",
]
