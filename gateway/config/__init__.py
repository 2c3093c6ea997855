"""The configuration: `load` reads `config.toml`, Config is its content. All faults are reported at once, by key.

table.py reads single values, reading.py and links.py the tables, model.py holds the result.
"""

from gateway.config.errors import ConfigError, ConfigErrors
from gateway.config.model import EMBEDDED, Config, Link, Service
from gateway.config.reading import load

__all__ = ["EMBEDDED", "Config", "ConfigError", "ConfigErrors", "Link", "Service", "load"]
