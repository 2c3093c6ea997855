"""Files of the repository's root that the package needs at run time.

In a checkout they lie beside the package; a wheel holds them inside it (`setup.py` puts them there).
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def _locate(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.exists() else _PACKAGE.parent / name


MIGRATIONS = _locate("migrations")
"""The folder with the numbered SQL files."""
EXAMPLE_CONFIG = _locate("config.toml")
"""A configuration with every key, its default and an explanation."""
