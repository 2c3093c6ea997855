"""The database at the end, read once for the audit."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from gateway.store import entries, sealed
from gateway.store.entries import EntriesCheck

UNFINISHED = """
SELECT (SELECT count(*) FROM cases WHERE ended_at IS NULL) AS open,
       (SELECT count(*) FROM sms WHERE state IN ('queued', 'sending')
            AND next_at < clock_timestamp() + interval '15 minutes') AS texts,
       (SELECT count(*) FROM calls) AS calls, (SELECT count(*) FROM journal_pending) AS pending,
       (SELECT count(*) FROM journal WHERE event_id IS NOT NULL
            AND seq > (SELECT coalesce(max(seq), 0) FROM feeds))
       + (SELECT count(*) FROM journal_blocks
          WHERE last_status > (SELECT coalesce(max(seq), 0) FROM feeds)) AS unpushed,
       (SELECT count(*) FROM receipts_unmatched p JOIN receipts_expected e USING (link, key)) AS unmatched
"""
"""What must be 0 before the audit: none of it is left when every case has ended.

A text of one segment that has left twice with an unknown outcome waits for an hour: nothing waits for it.
"""
_ALL_ENTRIES = 100_000_000
_TEXTS = """
SELECT sms.*, coalesce(body, filled_template(template, fields)) AS sent_body FROM sms ORDER BY sms_id
"""
WAITS_AN_HOUR = """
SELECT sms_id FROM sms WHERE state = 'queued' AND segments = 1 AND attempts >= 2
    AND next_at > clock_timestamp() + interval '10 minutes'
"""


@dataclass(slots=True)
class Entry:
    """An entry of the journal."""

    seq: int
    at: datetime
    case_id: str | None
    event: str
    event_id: str | None
    detail: dict[str, Any]


@dataclass(slots=True)
class Records:
    """The rows of the tables that the audit reads."""

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    sms: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list)
    of_case: defaultdict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)
    waiting_an_hour: frozenset[int] = frozenset()
    """The sms_ids of texts that may leave again only an hour after the second time."""
    evidence_key: bytes = b""
    wrong_entries: list[EntriesCheck] = field(default_factory=list)
    """Tables by which cases or texts are found that do not follow from these."""

    @classmethod
    async def read(cls, connection: "asyncpg.Connection[asyncpg.Record]") -> "Records":
        """All rows, read through this connection."""
        records = cls()
        records.cases = {r["case_id"]: dict(r) for r in await connection.fetch("SELECT * FROM cases")}
        records.sms = [dict(r) for r in await connection.fetch(_TEXTS)]
        records.replies = [dict(r) for r in await connection.fetch("SELECT * FROM replies ORDER BY reply_id")]
        for e in await sealed.after(connection, 0, _ALL_ENTRIES):
            entry = Entry(e.seq, e.at, e.case_id, e.event, e.event_id, json.loads(e.detail))
            records.journal.append(entry)
            if entry.case_id is not None:
                records.of_case[entry.case_id].append(entry)
        records.lists = {r["list_id"]: dict(r) for r in await connection.fetch("SELECT * FROM lists")}
        counted = await connection.fetch("SELECT state, sum(cases)::integer AS n FROM progress GROUP BY state")
        records.progress = {r["state"]: r["n"] for r in counted if r["n"]}
        records.waiting_an_hour = frozenset(r["sms_id"] for r in await connection.fetch(WAITS_AN_HOUR))
        records.wrong_entries = [one for one in await entries.check(connection) if not one.holds]
        records.evidence_key = await connection.fetchval("SELECT key FROM evidence_key")
        return records
