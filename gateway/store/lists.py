"""Recipient lists: staged line by line in a temporary table, then taken as a whole or not at all."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.store import nodes
from gateway.store.database import Connection

_ERRORS_A_PAGE = 5000
_INTAKE = 0x6C697374  # the advisory lock of whoever turns a staged list into cases: pupils are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredList:
    """A list that was taken, and what became of its records."""

    list_id: str
    service: str
    digest: bytes
    records: int
    accepted: int
    duplicates: int
    rejected: int
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewList:
    """A list whose lines are staged; `rejected` counts the records refused so far."""

    list_id: str
    service: str
    digest: bytes
    records: int
    rejected: int
    received_at: datetime
    school_year_start: datetime


class Birth(NamedTuple):
    """How a case begins, as the journey says it: consent/journey.py, `open_case`."""

    state: str
    events: Sequence[str]  # without detail; the first one has the case's id for its event_id
    calls: Sequence[str]  # kinds of calls to make


class ListError(NamedTuple):
    line: int
    record_id: str | None
    pointer: str
    code: str


_STAGE = """
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL, case_id text COLLATE "C" NOT NULL, record_id text COLLATE "C" NOT NULL,
    category smallint NOT NULL, language text NOT NULL, pupil_iin text COLLATE "C" NOT NULL,
    record json NOT NULL);
CREATE TEMPORARY TABLE staged_errors (
    line integer NOT NULL, record_id text, pointer text NOT NULL, code text NOT NULL);
"""
_UNSTAGE = "DROP TABLE pg_temp.staged, pg_temp.staged_errors"

_COLUMNS = "list_id, service, digest, records, accepted, duplicates, rejected, received_at"
_FIND = f"SELECT {_COLUMNS} FROM lists WHERE list_id = $1"  # noqa: S608
_LATEST = f"SELECT {_COLUMNS} FROM lists ORDER BY received_at DESC, list_id LIMIT $1"  # noqa: S608

# Of records that share a record_id the first is taken.
_REJECT_REPEATED = """
WITH repeated AS (
    DELETE FROM staged USING (
        SELECT record_id, min(line) AS first FROM staged GROUP BY record_id HAVING count(*) > 1) AS seen
    WHERE staged.record_id = seen.record_id AND staged.line > seen.first
    RETURNING line, staged.record_id
), told AS (
    INSERT INTO staged_errors SELECT line, record_id, '/record_id', 'duplicate_record_id' FROM repeated
    RETURNING 1
)
SELECT count(*) FROM told
"""

# A pupil is asked for once: not twice in a list, not beside an open case, not after this year's consent.
_DROP_REPEATED_PUPILS = """
DELETE FROM staged USING (
    SELECT pupil_iin, min(line) AS first FROM staged GROUP BY pupil_iin HAVING count(*) > 1) AS seen
WHERE staged.pupil_iin = seen.pupil_iin AND staged.line > seen.first
"""
_DROP_KNOWN_PUPILS = """
DELETE FROM staged WHERE EXISTS (
    SELECT FROM cases
    WHERE cases.pupil_iin = staged.pupil_iin AND cases.service = $1
      AND (cases.ended_at IS NULL
           OR (cases.state IN ('voucher_issued', 'voucher_rejected') AND cases.answered_at >= $2)))
"""

_KEEP_LIST = """
INSERT INTO lists (list_id, service, digest, records, accepted, duplicates, rejected, received_at)
SELECT $1, $2, $3, $4::integer, good, $4 - $5::integer - good, $5, $6
FROM (SELECT count(*)::integer FROM staged) AS counted (good)
RETURNING list_id, service, digest, records, accepted, duplicates, rejected, received_at
"""
_KEEP_ERRORS = """
INSERT INTO list_errors (list_id, line, record_id, pointer, code)
SELECT $1, line, record_id, pointer, code FROM staged_errors
"""
_OPEN_CASES = """
INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, record, opened_at, state)
SELECT case_id, $1, record_id, $2, category, language, pupil_iin, record, $3, $4 FROM staged
"""
_CALL = "INSERT INTO calls (case_id, kind) SELECT case_id, kind FROM staged, unnest($1::text[]) AS kinds (kind)"
# The first event of a case has the case's id for its event_id: both are ULIDs of the same instant.
_JOURNAL = """
INSERT INTO journal_pending (at, case_id, event, event_id, detail)
SELECT $1, case_id, $2, case_id, '{}' FROM staged
"""
_COUNT = "INSERT INTO progress (list_id, state, cases) VALUES ($1, $2, $3)"

_ERRORS = """
SELECT line, record_id, pointer, code FROM list_errors
WHERE list_id = $1 AND (line, pointer, code) > ($2, $3, $4) ORDER BY line, pointer, code LIMIT $5
"""
_PROGRESS = """
SELECT list_id, state, sum(cases)::integer AS cases FROM progress WHERE list_id = ANY($1::text[])
GROUP BY list_id, state
"""


@asynccontextmanager
async def staging(connection: Connection) -> AsyncIterator[None]:
    """Empty tables of this connection's own for `stage`; they are gone afterwards, whatever happens."""
    try:
        await connection.execute(_STAGE)
        yield
        await connection.execute(_UNSTAGE)
    except BaseException:
        connection.terminate()  # it may be in the midst of a COPY; the tables go with it
        raise


def staged_row(
    line: int, case_id: str, record_id: str, category: int, language: str, pupil_iin: str, record: bytes
) -> bytes:
    """A good record as `stage` takes it: a row of COPY's text format.

    Written here and not by the driver because there are millions of them. Of what the format escapes, only
    the backslash can be there: the record is JSON in one line, a record_id has no control characters.
    """
    head = f"{line}\t{case_id}\t{record_id}\t{category}\t{language}\t{pupil_iin}\t".encode()
    return (head + record).replace(b"\\", b"\\\\") + b"\n"


async def stage(connection: Connection, rows: Sequence[bytes], errors: Sequence[ListError]) -> None:
    """Adds rows to the staged list, in transactions of their own: nobody waits for a slow sender."""
    if rows:
        await connection.copy_to_table("staged", source=_in_one_piece(rows))
    if errors:
        await connection.copy_records_to_table("staged_errors", records=errors, columns=ListError._fields)


async def accept(connection: Connection, node: str, new: NewList, birth: Birth) -> tuple[StoredList, bool]:
    """Turns the staged list into cases; the list as it is stored, and whether by this call.

    One transaction of this node; FencedError when that was evicted. When the list_id was accepted before, that list
    comes back and nothing has changed: compare its digest.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _INTAKE)
        await nodes.fence(connection, node)
        if earlier := await find(connection, new.list_id):
            return earlier, False
        await connection.execute("ANALYZE staged (record_id, pupil_iin)")
        rejected = new.rejected + await connection.fetchval(_REJECT_REPEATED)
        await connection.execute(_DROP_REPEATED_PUPILS)
        await connection.execute(_DROP_KNOWN_PUPILS, new.service, new.school_year_start)
        (row,) = await connection.fetch(
            _KEEP_LIST, new.list_id, new.service, new.digest, new.records, rejected, new.received_at
        )
        stored = _stored(row)
        await connection.execute(_KEEP_ERRORS, new.list_id)
        if stored.accepted:
            await connection.execute(_OPEN_CASES, new.list_id, new.service, new.received_at, birth.state)
            await connection.execute(_CALL, birth.calls)
            for event in birth.events:
                await connection.execute(_JOURNAL, new.received_at, event)
            await connection.execute(_COUNT, new.list_id, birth.state, stored.accepted)
    return stored, True


async def find(connection: Connection, list_id: str) -> StoredList | None:
    row = await connection.fetchrow(_FIND, list_id)
    return _stored(row) if row is not None else None


async def latest(connection: Connection, limit: int) -> list[StoredList]:
    """The lists taken last, the newest first."""
    return [_stored(row) for row in await connection.fetch(_LATEST, limit)]


async def progress(connection: Connection, list_id: str) -> dict[str, int]:
    """The number of the list's cases in each state; states without any may be missing."""
    return (await progress_of(connection, [list_id]))[list_id]


async def progress_of(connection: Connection, list_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """The same for each of the lists."""
    progress: dict[str, dict[str, int]] = {list_id: {} for list_id in list_ids}
    for row in await connection.fetch(_PROGRESS, list(list_ids)):
        progress[row["list_id"]][row["state"]] = row["cases"]
    return progress


async def errors(
    connection: Connection, list_id: str, after: ListError | None = None, limit: int = _ERRORS_A_PAGE
) -> list[ListError]:
    """A page of the list's errors by line: those after the last one of the page before."""
    line, pointer, code = (after.line, after.pointer, after.code) if after else (0, "", "")
    rows = await connection.fetch(_ERRORS, list_id, line, pointer, code, limit)
    return [ListError(**row) for row in rows]


async def _in_one_piece(rows: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(rows)


def _stored(row: asyncpg.Record) -> StoredList:
    return StoredList(**row)
