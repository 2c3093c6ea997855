"""Configurations and lists for rehearsals."""

import json
from pathlib import Path
from typing import Any

from gateway.simulators.configuration import config_toml
from gateway.simulators.identities import nth_iin
from tests.record_factories import good, person

KCELL = {"name": "kcell", "port": 2775, "password": "secret", "prefixes": ["701", "702"], "tps": 10}
BEELINE = {"name": "beeline", "port": 2775, "password": "secret", "prefixes": ["705"], "tps": 5}


def configuration(
    path: Path, *links: dict[str, Any], port: int = 9, journey: dict[str, Any] | None = None
) -> Path:
    """A `config.toml` in that folder, whose partners and links are all at one port of localhost."""
    url = f"http://127.0.0.1:{port}"
    text = config_toml(
        journey=journey or {},
        mcb={"url": url, "token": "t"},
        wallet={"url": url, "token": "t"},
        sdu={"url": url, "token": "t", "signing_secret": "whsec_cmVoZWFyc2FsIHNpZ25zIHdpdGggdGhpcyBzZWNyZXQ="},
        http={"tokens": {role: f"{role}-token-of-tests" for role in ("sdu", "wallet", "ops")}},
        links=links or [KCELL],
    )
    file = path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def record(number: int, *, mother: int | None = None, **changes: Any) -> dict[str, Any]:
    """A record with a pupil of its own; children with the same `mother` are siblings."""
    pupil = person(nth_iin(1000 + number), number)
    of = number if mother is None else mother
    return {**good(), "record_id": f"r-{number}", "pupil": pupil, "mother": person(nth_iin(of + 1), of), **changes}


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    """The list as a file."""
    file = path / "list.ndjson"
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return file
