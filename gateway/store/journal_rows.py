"""The rows of all cases, compared with the digests, states and instants that the journal has of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gateway.evidence import digests
from gateway.evidence.comparison import Rows, differences
from gateway.evidence.history import read_history
from gateway.store import evidence, journal, sealed, setup
from gateway.store.database import Connection
from gateway.store.evidence import CaseRows, SettledRows
from gateway.store.journal_blocks import JournalIncompleteError

MAX_FAULTS = 100
"""Cases with a fault that are reported; after them the comparison ends."""

_BATCH = 500
_CASE_IDS = "SELECT case_id FROM cases WHERE case_id > $1 ORDER BY case_id LIMIT $2"
_WITHOUT_CASE = """
SELECT case_id FROM unnest($1::text[]) AS known (case_id)
WHERE NOT EXISTS (SELECT FROM cases WHERE cases.case_id = known.case_id)
"""
_READ = 10_000
"""Entries of the journal that are read at once."""


class RowFault(NamedTuple):
    """A case of which a row is not what the journal says: where, as in its record of evidence, and why."""

    case_id: str
    pointer: str
    reason: str


class RowsCheck(NamedTuple):
    """How many cases were compared, and the first fault of each case that has one."""

    cases: int
    faults: list[RowFault]


async def compare(connection: Connection, alphabets: Mapping[str, str]) -> RowsCheck:
    """The comparison of every case; `alphabets` are the default alphabets by link.

    Each case is read in a snapshot without pending entries of it, so that the gateway may run meanwhile.
    """
    key = await setup.evidence_key(connection)
    faults: list[RowFault] = []
    compared, last = 0, ""
    while len(faults) < MAX_FAULTS:
        waiting = [row["case_id"] for row in await connection.fetch(_CASE_IDS, last, _BATCH)]
        if not waiting:
            break
        last = waiting[-1]
        while waiting:
            settled, unreadable = await _read(partial(evidence.settled_rows, connection), waiting, alphabets)
            compared += len(settled.rows)
            faults += [*unreadable, *(fault for rows in settled.rows if (fault := _fault(rows, key)) is not None)]
            waiting = settled.pending
    while await journal.seal(connection):
        pass
    faults += await _missing(connection)
    return RowsCheck(compared, faults[:MAX_FAULTS])


async def compare_snapshot(connection: Connection, alphabets: Mapping[str, str]) -> tuple[RowsCheck, int]:
    """The comparison within the caller's snapshot, and the number of cases left out: they have pending entries."""
    key = await setup.evidence_key(connection)
    faults: list[RowFault] = []
    compared, left_out, last = 0, 0, ""
    while len(faults) < MAX_FAULTS:
        case_ids = [row["case_id"] for row in await connection.fetch(_CASE_IDS, last, _BATCH)]
        if not case_ids:
            break
        last = case_ids[-1]
        found, unreadable = await _read(partial(evidence.sealed_rows, connection), case_ids, alphabets)
        compared, left_out = compared + len(found.rows), left_out + len(found.pending)
        faults += [*unreadable, *(fault for rows in found.rows if (fault := _fault(rows, key)) is not None)]
    faults += await _missing(connection)
    return RowsCheck(compared, faults[:MAX_FAULTS]), left_out


async def _read(
    read: Callable[[Sequence[str], Mapping[str, str]], Awaitable[SettledRows]],
    case_ids: Sequence[str],
    alphabets: Mapping[str, str],
) -> tuple[SettledRows, list[RowFault]]:
    """The rows of the cases, and the cases with an entry in a block of the journal that cannot be read."""
    try:
        return await read(case_ids, alphabets), []
    except JournalIncompleteError:
        if len(case_ids) == 1:
            return SettledRows([], [], 0), [RowFault(case_ids[0], "/journal", "cannot be read")]
    middle = len(case_ids) // 2
    first, faults = await _read(read, case_ids[:middle], alphabets)
    second, others = await _read(read, case_ids[middle:], alphabets)
    both = SettledRows(first.rows + second.rows, first.pending + second.pending, second.size)
    return both, faults + others


async def _missing(connection: Connection) -> list[RowFault]:
    """The cases that the journal has and that have no row; up to an unreadable block, which the check names."""
    missing: dict[str, None] = {}
    seq = 0
    with suppress(JournalIncompleteError):
        while len(missing) < MAX_FAULTS and (entries := await sealed.after(connection, seq, _READ)):
            seq = entries[-1].seq
            case_ids = {entry.case_id for entry in entries if entry.case_id is not None}
            missing |= {row["case_id"]: None for row in await connection.fetch(_WITHOUT_CASE, list(case_ids))}
    return [RowFault(case_id, "/case", "is missing") for case_id in list(missing)[:MAX_FAULTS]]


def _fault(rows: CaseRows, evidence_key: bytes) -> RowFault | None:
    """The first fault of a case."""
    case_id: str = rows.case["case_id"]
    try:
        history, unreadable = read_history(rows.entries)
        key = digests.case_key(evidence_key, case_id)
        found = differences(history, Rows(rows.case, rows.texts, rows.replies, key))
        fault = next(iter(unreadable), None) or next(found, None)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return RowFault(case_id, "", f"cannot be read: {type(error).__name__}")
    return None if fault is None else RowFault(case_id, fault.pointer, fault.reason)
