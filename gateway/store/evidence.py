"""The evidence record of one case, built from its rows; gateway/evidence/verification.py checks it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain, repeat
from typing import Any, NamedTuple

import orjson

from gateway.evidence import digests
from gateway.evidence.history import read_history
from gateway.smpp.text import decode_text
from gateway.store import journal, journal_tree, sealed, setup
from gateway.store.database import Connection
from gateway.store.sealed import Chained

_CASES = """
SELECT case_id, list_id, record_id, service, language, state, msisdn, opened_at, ended_at, answered_at, evidence,
       voucher_id, erased_at, coalesce(records.record, cases.record) AS record
FROM cases LEFT JOIN records USING (case_id) WHERE case_id = ANY($1::text[]) ORDER BY case_id
"""
_TEXTS = """
SELECT s.case_id, s.sms_id, s.kind, s.repeat, s.link, s.msisdn, s.state, s.template, t.body AS template_body,
       coalesce(s.body, filled_template(s.template, s.fields)) AS body, s.segments, s.reference, s.message_ids,
       s.created_at, s.accepted_at
FROM sms s LEFT JOIN templates t ON t.version = s.template WHERE s.case_id = ANY($1::text[]) ORDER BY s.sms_id
"""
_REPLIES = """
SELECT case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict, normalised,
       rule_version, received_at, received_addr, source_ton, source_npi
FROM replies WHERE case_id = ANY($1::text[]) ORDER BY reply_id
"""
_SENDER = ("received_addr", "source_ton", "source_npi")
"""The fields that are left out of replies from before they were kept."""


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
    while (settled := await settled_rows(connection, [case_id], alphabets)).pending:
        pass
    if not settled.rows:
        return None
    while await journal_tree.grow(connection):
        pass
    case, texts, replies, entries = settled.rows[0]
    if case["service"] not in rules:
        raise ServiceMissingError(case["service"])
    key = digests.case_key(await setup.evidence_key(connection), case_id)
    seqs = [entry["seq"] for entry in entries]
    first = seqs[-1] if seqs else 0  # no entries: they were removed from the journal, which the check reports
    if size is None:
        size = settled.size
    if not first <= size <= settled.size:
        raise OutOfReachError(first, settled.size)
    for entry, path in zip(entries, await journal_tree.paths(connection, seqs, size), strict=True):
        entry["path"] = [hash_.hex() for hash_ in path]
    record: dict[str, Any] = {
        "format": digests.FORMATS[max((entry.get("version", 1) for entry in entries), default=1)],
        "made_at": made_at.isoformat(),
        "case": case | {"key": key.hex(), "rules": dict(rules[case["service"]])},
        "texts": texts,
        "replies": replies,
        "journal": entries,
        "tree": {"size": size, "root": (await journal_tree.root(connection, size)).hex()},
    }
    return record | {"seal": digests.seal(record)}


class CaseRows(NamedTuple):
    """The rows of a case in the form of a record; the entries without their paths."""

    case: dict[str, Any]
    texts: list[dict[str, Any]]
    replies: list[dict[str, Any]]
    entries: list[dict[str, Any]]


class SettledRows(NamedTuple):
    """The rows of cases in one snapshot, and the journal's size there; cases with pending entries are left out."""

    rows: list[CaseRows]
    pending: list[str]
    size: int


async def settled_rows(
    connection: Connection, case_ids: Sequence[str], alphabets: Mapping[str, str]
) -> SettledRows:
    """The rows of those of the cases that exist; pending journal entries are sealed first."""
    while await journal.seal(connection):
        pass
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await sealed_rows(connection, case_ids, alphabets)


async def sealed_rows(
    connection: Connection, case_ids: Sequence[str], alphabets: Mapping[str, str]
) -> SettledRows:
    """The rows of those of the cases that exist and have no pending entries, in the snapshot of the caller."""
    pending = list(await journal.pending_of(connection, case_ids))
    rows = await _rows(connection, [c for c in case_ids if c not in pending], alphabets)
    size, _, _ = await journal.head(connection)
    return SettledRows(rows, pending, size)


async def _rows(connection: Connection, case_ids: Sequence[str], alphabets: Mapping[str, str]) -> list[CaseRows]:
    async def by_case(query: str) -> Mapping[str, list[dict[str, Any]]]:
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in await connection.fetch(query, case_ids):
            fields = dict(row)
            found[fields.pop("case_id")].append(fields)
        return found

    texts, replies = await by_case(_TEXTS), await by_case(_REPLIES)
    entries = await sealed.chained_of_cases(connection, case_ids)
    found = []
    for row in await connection.fetch(_CASES, case_ids):
        journaled = [_entry(chained) for chained in entries.get(row["case_id"], ())]
        found.append(
            CaseRows(
                _case(dict(row)),
                [_text(text) for text in texts[row["case_id"]]],
                _replies(replies[row["case_id"]], journaled, alphabets),
                journaled,
            )
        )
    return found


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    case = {name: _plain(row[name]) for name in row.keys() - {"record"}}
    return case | {"record": _json(row["record"])}


def _entry(chained: Chained) -> dict[str, Any]:
    """The entry; without its version where it is that of 0.1.0, whose records name none."""
    fields = chained.entry._asdict()
    del fields["case_id"]
    if fields["version"] == 1:
        del fields["version"]
    return fields | {"before": chained.before.hex(), "hash": chained.hash.hex()}


def _text(row: Mapping[str, Any]) -> dict[str, Any]:
    text = {name: _plain(value) for name, value in row.items()}
    return text | {"message_ids": _json(row["message_ids"])}


def _replies(
    rows: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], alphabets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The replies with their digests; the journal has them in the same order."""
    replies = []
    history, _ = read_history(entries)  # what cannot be read is found by the check of the record
    read = [detail.reply for _, detail in history.replies_read()]
    for row, digest in zip(rows, chain(read, repeat("")), strict=False):
        octets, alphabet = row["octets"], alphabets.get(row["link"], "gsm7")
        kept = row.keys() - (_SENDER if row["source_ton"] is None else ())
        replies.append(
            {name: _plain(value) for name, value in row.items() if name in kept}
            | {
                "octets": None if octets is None else octets.hex(),
                "text": None if octets is None else decode_text(octets, row["data_coding"], alphabet),
                "default_alphabet": alphabet,
                "digest": digest,
            }
        )
    return replies


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _json(text: str | None) -> Any:
    """The value of a JSON column; of one that was changed to what nobody can read, its characters."""
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
