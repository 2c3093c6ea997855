"""Recipient lists as rows: staged in a temporary table, then accepted as a whole or not at all."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.store import journal, locks, nodes
from gateway.store.database import Connection
from gateway.store.locks import Lock

MAX_KEPT_ERRORS = 10_000
"""The number of errors kept of a list: the first faults by line, then the first duplicates; all are counted."""
_ERRORS_PER_PAGE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredList:
    """An accepted list and the outcome of its records: accepted + duplicates + rejected = records."""

    list_id: str
    service: str
    digest: bytes  # SHA-256 of the decoded body
    records: int
    accepted: int
    duplicates: int
    rejected: int
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewList:
    """A list whose lines are staged; `rejected` counts the records rejected so far."""

    list_id: str
    service: str
    digest: bytes
    records: int
    rejected: int
    received_at: datetime
    school_year_start: datetime


class InitialCase(NamedTuple):
    """The rows with which each case begins, as decided by `consent.journey.open_case`."""

    state: str
    events: Sequence[str]  # names; without detail, and with the case_id for their event_id
    calls: Sequence[str]  # kinds of the partner calls to make


class ListError(NamedTuple):
    """Why a record was rejected, or that it is a duplicate (code `duplicate`)."""

    line: int  # from 1
    record_id: str | None
    pointer: str  # JSON pointer to the field
    code: str


_STAGE = """
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL, case_id text COLLATE "C" NOT NULL, record_id text COLLATE "C" NOT NULL,
    category smallint NOT NULL, language text NOT NULL, pupil_iin text COLLATE "C" NOT NULL,
    record json NOT NULL)
"""
_STAGE_ERRORS = """
CREATE TEMPORARY TABLE staged_errors (
    line integer NOT NULL, record_id text, pointer text NOT NULL, code text NOT NULL)
"""
_UNSTAGE = "DROP TABLE pg_temp.staged, pg_temp.staged_errors"

_COLUMNS = "list_id, service, digest, records, accepted, duplicates, rejected, received_at"
_FIND = f"SELECT {_COLUMNS} FROM lists WHERE list_id = $1"  # noqa: S608
_LATEST = f"SELECT {_COLUMNS} FROM lists ORDER BY received_at DESC, list_id LIMIT $1"  # noqa: S608

# Of records that share a record_id the first one stays.
_REJECT_REPEATED = """
WITH repeated AS (
    DELETE FROM staged USING (
        SELECT record_id, min(line) AS first FROM staged GROUP BY record_id HAVING count(*) > 1) AS seen
    WHERE staged.record_id = seen.record_id AND staged.line > seen.first
    RETURNING line, staged.record_id
), noted AS (
    INSERT INTO staged_errors SELECT line, record_id, '/record_id', 'duplicate_record_id' FROM repeated
    ORDER BY line LIMIT $1
)
SELECT count(*) FROM repeated
"""

# One case per pupil and service: not twice in a list, not while a case is open, not after consent in this school
# year.
_DROP_REPEATED_PUPILS = """
WITH dropped AS (
    DELETE FROM staged USING (
        SELECT pupil_iin, min(line) AS first FROM staged GROUP BY pupil_iin HAVING count(*) > 1) AS seen
    WHERE staged.pupil_iin = seen.pupil_iin AND staged.line > seen.first
    RETURNING line, record_id
)
INSERT INTO staged_errors SELECT line, record_id, '/pupil/iin', 'duplicate' FROM dropped ORDER BY line LIMIT $1
"""
_DROP_KNOWN_PUPILS = """
WITH dropped AS (
    DELETE FROM staged WHERE EXISTS (
        SELECT FROM cases
        WHERE cases.pupil_iin = staged.pupil_iin AND cases.service = $1
          AND (cases.ended_at IS NULL
               OR (cases.state IN ('voucher_issued', 'voucher_rejected') AND cases.answered_at >= $2)))
    RETURNING line, record_id
)
INSERT INTO staged_errors SELECT line, record_id, '/pupil/iin', 'duplicate' FROM dropped ORDER BY line LIMIT $3
"""

_KEEP_LIST = """
INSERT INTO lists (list_id, service, digest, records, accepted, duplicates, rejected, received_at)
SELECT $1, $2, $3, $4::integer, good, $4 - $5::integer - good, $5, $6
FROM (SELECT count(*)::integer FROM staged) AS counted (good)
RETURNING list_id, service, digest, records, accepted, duplicates, rejected, received_at
"""
# Faults before duplicates: where there are too many rows, those that SDU has to correct stay.
_KEEP_ERRORS = """
INSERT INTO list_errors (list_id, line, record_id, pointer, code)
SELECT $1, line, record_id, pointer, code FROM staged_errors
ORDER BY code = 'duplicate', line, pointer, code LIMIT $2
"""
_OPEN_CASES = """
WITH recorded AS (INSERT INTO records (case_id, record) SELECT case_id, record FROM staged)
INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, opened_at, state)
SELECT case_id, $1, record_id, $2, category, language, pupil_iin, $3, $4 FROM staged
"""
_PEOPLE_DUE = "INSERT INTO case_people_due (list_id) VALUES ($1)"
_ADD_CALLS = """
INSERT INTO calls (case_id, kind) SELECT case_id, kind FROM staged, unnest($1::text[]) AS kinds (kind)
"""
_ADD_PROGRESS = "INSERT INTO progress (list_id, state, cases) VALUES ($1, $2, $3)"

_ERRORS = """
SELECT line, record_id, pointer, code FROM list_errors
WHERE list_id = $1 AND (line, pointer, code) > ($2, $3, $4) ORDER BY line, pointer, code LIMIT $5
"""
_FAULTS = """
SELECT line, record_id, pointer, code FROM list_errors
WHERE list_id = $1 AND code <> 'duplicate' ORDER BY line, pointer, code LIMIT $2
"""
_PROGRESS = """
SELECT list_id, state, sum(cases)::integer AS cases FROM progress WHERE list_id = ANY($1::text[])
GROUP BY list_id, state
"""


@asynccontextmanager
async def staging(connection: Connection) -> AsyncIterator[None]:
    """Empty temporary tables of this connection for `stage`; dropped at the end, also after an error."""
    try:
        await connection.execute(_STAGE)
        await connection.execute(_STAGE_ERRORS)
        yield
        await connection.execute(_UNSTAGE)
    except BaseException:
        connection.terminate()  # a COPY may be under way; PostgreSQL drops the tables with the session
        raise


def staged_row(
    line: int, case_id: str, record_id: str, category: int, language: str, pupil_iin: str, record: bytes
) -> bytes:
    """A valid record as a row of COPY's text format, for `stage`.

    Encoded here because the driver's encoder is too slow for millions of rows. The only character to escape is the
    backslash: the record is JSON in one line, and a record_id has no control characters.
    """
    head = f"{line}\t{case_id}\t{record_id}\t{category}\t{language}\t{pupil_iin}\t".encode()
    return (head + record).replace(b"\\", b"\\\\") + b"\n"


async def stage(connection: Connection, rows: Sequence[bytes], errors: Sequence[ListError]) -> None:
    """Adds rows to the staged list. Each COPY is its own transaction: a slow sender keeps no transaction open."""
    if rows:
        await connection.copy_to_table("staged", source=_joined(rows))
    if errors:
        await connection.copy_records_to_table("staged_errors", records=errors, columns=ListError._fields)


async def accept(connection: Connection, node: str, new: NewList, initial: InitialCase) -> tuple[StoredList, bool]:
    """The stored list, and whether this call has stored it and turned its records into cases.

    A list_id that was accepted before changes nothing, and the earlier list is returned: compare its digest. One
    transaction; raises FencedError when this node was evicted.
    """
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.ACCEPT)
        await nodes.fence(connection, node)
        if earlier := await find(connection, new.list_id):
            return earlier, False
        await connection.execute("ANALYZE staged (record_id, pupil_iin)")
        rejected = new.rejected + await connection.fetchval(_REJECT_REPEATED, MAX_KEPT_ERRORS)
        await connection.execute(_DROP_REPEATED_PUPILS, MAX_KEPT_ERRORS)
        await connection.execute(_DROP_KNOWN_PUPILS, new.service, new.school_year_start, MAX_KEPT_ERRORS)
        (row,) = await connection.fetch(
            _KEEP_LIST, new.list_id, new.service, new.digest, new.records, rejected, new.received_at
        )
        stored = _stored(row)
        await connection.execute(_KEEP_ERRORS, new.list_id, MAX_KEPT_ERRORS)
        if stored.accepted:
            await connection.execute(_OPEN_CASES, new.list_id, new.service, new.received_at, initial.state)
            await connection.execute(_PEOPLE_DUE, new.list_id)
            await connection.execute(_ADD_CALLS, initial.calls)
            for event in initial.events:
                await journal.append_list(connection, new.list_id, event)
            await connection.execute(_ADD_PROGRESS, new.list_id, initial.state, stored.accepted)
    return stored, True


async def find(connection: Connection, list_id: str) -> StoredList | None:
    """The accepted list with this id; None when there is none."""
    row = await connection.fetchrow(_FIND, list_id)
    return _stored(row) if row is not None else None


async def latest(connection: Connection, limit: int) -> list[StoredList]:
    """The lists accepted last, the newest first."""
    return [_stored(row) for row in await connection.fetch(_LATEST, limit)]


async def progress(connection: Connection, list_id: str) -> dict[str, int]:
    """The number of the list's cases by state; a state without cases may be missing."""
    return (await progress_of(connection, [list_id]))[list_id]


async def progress_of(connection: Connection, list_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """By list_id, the number of the list's cases by state; a state without cases may be missing."""
    progress: dict[str, dict[str, int]] = {list_id: {} for list_id in list_ids}
    for row in await connection.fetch(_PROGRESS, list(list_ids)):
        progress[row["list_id"]][row["state"]] = row["cases"]
    return progress


async def errors(
    connection: Connection, list_id: str, after: ListError | None = None, limit: int = _ERRORS_PER_PAGE
) -> list[ListError]:
    """A page of the list's errors and duplicates, by line; `after` is the last one of the previous page."""
    line, pointer, code = (after.line, after.pointer, after.code) if after else (0, "", "")
    rows = await connection.fetch(_ERRORS, list_id, line, pointer, code, limit)
    return [ListError(**row) for row in rows]


async def faults(connection: Connection, list_id: str, limit: int) -> list[ListError]:
    """The first of the list's errors, by line, without its duplicates."""
    return [ListError(**row) for row in await connection.fetch(_FAULTS, list_id, limit)]


async def _joined(rows: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(rows)


def _stored(row: asyncpg.Record) -> StoredList:
    return StoredList(**row)
