"""The settings that docs/operators.md names are compared with the keys that the code reads."""

import re

from tests.docs.code_facts import ROOT, configuration_keys


def test_operators_page_names_settings_of_a_link_that_exist() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|[^|]*\|$", page, re.MULTILINE)
    named = {name for cell in rows[2:] for name in re.findall(r"`([^`]+)`", cell)}
    assert {"host", "tps", "statuses"} <= named, "the table of settings was not found"
    keys = {key.name.split(".")[1] for key in configuration_keys() if key.name.startswith("links.")}
    assert named - keys == set()
