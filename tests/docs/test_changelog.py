"""CHANGELOG's section on upgrading is compared with the folder of migrations."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_upgrading_lists_every_migration_since_0_1_0_in_order() -> None:
    """The first seven are those of 0.1.0."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    upgrading = text.partition("### Upgrading")[2].partition("Queries of your own")[0]
    listed = re.findall(r"`(\d{4}_[a-z0-9_]+)`", upgrading)
    assert listed == [path.stem for path in sorted((ROOT / "migrations").glob("*.sql"))][7:]
