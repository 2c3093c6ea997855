"""The words of people and of the wallet about a case, kept beside the journal until the case is erased."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from gateway.consent.details import Words
from gateway.store.database import Connection
from gateway.store.writes import Write

ERASED = "erased"
"""Shown in place of words that were erased with the case."""

_FIELD = Words._fields[0]
_KEEP = """worded AS (
    INSERT INTO case_reasons (case_id, digest, reason)
    SELECT case_id, digest, reason FROM unnest($1::case_reason_row[])
    ON CONFLICT DO NOTHING
)"""
_FIND = "SELECT digest, reason FROM case_reasons WHERE case_id = ANY($1::text[])"


class Kept(NamedTuple):
    """Words to keep: of a case, under their digest."""

    case_id: str
    digest: str
    reason: str


def keeping(words: Sequence[Kept]) -> Write:
    """Stores the words; the same ones of a case once."""
    return Write(_KEEP, (list(words),))


async def shown(connection: Connection, details: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Details of the journal, given as (case_id, JSON), as they are shown: with `reason` in place of a digest."""
    parsed: list[tuple[str, dict[str, Any]]] = [(case_id, orjson.loads(text)) for case_id, text in details]
    case_ids = [case_id for case_id, detail in parsed if _FIELD in detail]
    found: Mapping[str, str] = {}
    if case_ids:
        found = {row["digest"]: row["reason"] for row in await connection.fetch(_FIND, case_ids)}
    return [_shown(detail, found) for _, detail in parsed]


def _shown(detail: dict[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    if _FIELD not in detail:
        return detail
    rest = {name: value for name, value in detail.items() if name != _FIELD}
    return {"reason": found.get(detail[_FIELD], ERASED), **rest}
