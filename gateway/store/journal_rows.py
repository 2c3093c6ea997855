"""The rows of all cases, compared with the digests, states and instants that the journal has of them."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.evidence import digests
from gateway.evidence.comparison import Rows, differences
from gateway.evidence.history import read_history
from gateway.store import evidence, journal, setup
from gateway.store.database import Connection
from gateway.store.evidence import CaseRows

MAX_FAULTS = 100
"""Cases with a fault that are reported; after them the comparison ends."""

_BATCH = 500
_CASE_IDS = "SELECT case_id FROM cases WHERE case_id > $1 ORDER BY case_id LIMIT $2"
_WITHOUT_CASE = """
SELECT DISTINCT j.case_id FROM journal j
WHERE j.case_id IS NOT NULL AND NOT EXISTS (SELECT FROM cases c WHERE c.case_id = j.case_id) LIMIT $1
"""


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
            settled = await evidence.settled_rows(connection, waiting, alphabets)
            compared += len(settled.rows)
            faults += [fault for rows in settled.rows if (fault := _fault(rows, key)) is not None]
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
        sealed = await evidence.sealed_rows(connection, case_ids, alphabets)
        compared, left_out = compared + len(sealed.rows), left_out + len(sealed.pending)
        faults += [fault for rows in sealed.rows if (fault := _fault(rows, key)) is not None]
    faults += await _missing(connection)
    return RowsCheck(compared, faults[:MAX_FAULTS]), left_out


async def _missing(connection: Connection) -> list[RowFault]:
    """The cases that the journal has and that have no row."""
    missing = await connection.fetch(_WITHOUT_CASE, MAX_FAULTS)
    return [RowFault(row["case_id"], "/case", "is missing") for row in missing]


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
