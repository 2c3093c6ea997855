"""The evidence record of one case, built from its rows; gateway/evidence/verification.py checks it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.evidence import digests, verification
from gateway.smpp.text import decode
from gateway.store import journal, journal_tree, setup
from gateway.store.database import Connection

_CASE = """
SELECT case_id, list_id, record_id, service, language, state, msisdn, opened_at, ended_at, answered_at, evidence,
       voucher_id, erased_at, record
FROM cases WHERE case_id = $1
"""
_TEXTS = """
SELECT s.sms_id, s.kind, s.repeat, s.link, s.msisdn, s.state, s.template, t.body AS template_body, s.body,
       s.segments, s.reference, s.message_ids, s.created_at, s.accepted_at
FROM sms s LEFT JOIN templates t ON t.version = s.template WHERE s.case_id = $1 ORDER BY s.sms_id
"""
_REPLIES = """
SELECT link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict, normalised, rule_version,
       received_at
FROM replies WHERE case_id = $1 ORDER BY reply_id
"""
_JOURNAL = """
SELECT j.seq, (extract(epoch FROM j.at) * 1000000)::bigint AS at_us, j.event, j.event_id, j.detail,
       coalesce(encode(b.hash, 'hex'), '') AS before, encode(j.hash, 'hex') AS hash
FROM journal j LEFT JOIN journal b ON b.seq = j.seq - 1 WHERE j.case_id = $1 ORDER BY j.seq
"""
_PENDING = "SELECT EXISTS (SELECT FROM journal_pending WHERE case_id = $1)"


class OutOfReachError(Exception):
    """The requested journal size is less than `first` (all entries of the case) or more than `last` (all)."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"from {first} to {last}")


class ServiceMissingError(Exception):
    """The service of the case, by its code, is no longer in the configuration."""


async def record_of(
    connection: Connection,
    case_id: str,
    *,
    made_at: datetime,
    rules: Mapping[str, Mapping[str, Any]],
    alphabets: Mapping[str, str],
    size: int | None = None,
) -> dict[str, Any] | None:
    """The sealed record; None when there is no such case. Pending journal entries are sealed first.

    `rules` are the reply rules by service, `alphabets` the default alphabets by link. The Merkle paths prove that
    the entries are among the journal's first `size` entries (None: all). Raises OutOfReachError when the journal
    has fewer entries or the case has later ones, ServiceMissingError when `rules` lack the case's service.
    """
    rows = await _consistent_rows(connection, case_id)
    if rows is None:
        return None
    while await journal_tree.grow(connection):
        pass
    case, texts, replies, entries, end = rows
    if case["service"] not in rules:
        raise ServiceMissingError(case["service"])
    key = digests.case_key(await setup.evidence_key(connection), case_id)
    seqs = [entry["seq"] for entry in entries]
    first = seqs[-1] if seqs else 0  # no entries: they were removed from the journal, which the check reports
    if size is None:
        size = end
    if not first <= size <= end:
        raise OutOfReachError(first, end)
    for entry, path in zip(entries, await journal_tree.paths(connection, seqs, size), strict=True):
        entry["path"] = [hash_.hex() for hash_ in path]
    record: dict[str, Any] = {
        "format": digests.FORMAT,
        "made_at": made_at.isoformat(),
        "case": _case(case) | {"key": key.hex(), "rules": dict(rules[case["service"]])},
        "texts": [_text(row) for row in texts],
        "replies": _replies(replies, entries, alphabets),
        "journal": entries,
        "tree": {"size": size, "root": (await journal_tree.root(connection, size)).hex()},
    }
    return record | {"seal": digests.seal(record)}


class _Rows(NamedTuple):
    """The rows of a case in one snapshot, and the journal's size there."""

    case: dict[str, Any]
    texts: list[dict[str, Any]]
    replies: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    end: int


async def _consistent_rows(connection: Connection, case_id: str) -> _Rows | None:
    """The rows in a snapshot without pending journal entries of the case; None: there is no such case."""

    async def rows(query: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(query, case_id)]

    while True:
        while await journal.seal(connection):
            pass
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if await connection.fetchval(_PENDING, case_id):
                continue
            if not (case := await rows(_CASE)):
                return None
            end, _, _ = await journal.head(connection)
            return _Rows(case[0], await rows(_TEXTS), await rows(_REPLIES), await rows(_JOURNAL), end)


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    case = {name: _plain(row[name]) for name in row.keys() - {"record"}}
    return case | {"record": None if row["record"] is None else orjson.loads(row["record"])}


def _text(row: Mapping[str, Any]) -> dict[str, Any]:
    text = {name: _plain(value) for name, value in row.items()}
    return text | {"message_ids": orjson.loads(row["message_ids"]) if row["message_ids"] else None}


def _replies(
    rows: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], alphabets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The replies with their digests; the journal has them in the same order."""
    replies = []
    for row, (_, detail) in zip(rows, verification.replies_read(entries), strict=False):
        octets, alphabet = row["octets"], alphabets.get(row["link"], "gsm7")
        replies.append(
            {name: _plain(value) for name, value in row.items()}
            | {
                "octets": None if octets is None else octets.hex(),
                "text": None if octets is None else decode(octets, row["data_coding"], alphabet),
                "default_alphabet": alphabet,
                "digest": detail.reply,
            }
        )
    return replies


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
