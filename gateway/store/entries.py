"""The narrow rows by which cases and texts are found, compared with what follows from the rows of these."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader

_FOLLOWS: Mapping[str, str] = {
    "deadlines": "SELECT due_at, case_id FROM cases WHERE due_at IS NOT NULL",
    "ended_cases": "SELECT ended_at, case_id FROM cases WHERE ended_at IS NOT NULL AND erased_at IS NULL",
    "waiting_cases": "SELECT service, msisdn, case_id FROM cases WHERE state = 'waiting' AND msisdn IS NOT NULL",
    "cases_for_ops": """SELECT 'parked', list_id, case_id FROM cases WHERE state = 'parked'
                        UNION ALL SELECT 'held', list_id, case_id FROM cases WHERE held IS NOT NULL""",
    "outbox": "SELECT link, priority, sms_id, next_at, expires_at FROM sms WHERE state = 'queued'",
    "sending": "SELECT node, sms_id FROM sms WHERE state = 'sending'",
}
_PASSED = frozenset({"deadlines"})
"""Tables whose entries may be there longer than what they follow from."""

_MISSING = "(SELECT count(*) FROM ({follows} EXCEPT SELECT * FROM {table}) AS missing)"
_LEFT_OVER = "(SELECT count(*) FROM (SELECT * FROM {table} EXCEPT ({follows})) AS more)"


def _comparison(table: str, follows: str) -> str:
    missing = _MISSING.format(table=table, follows=follows)
    left_over = "0" if table in _PASSED else _LEFT_OVER.format(table=table, follows=follows)
    return f"""SELECT '{table}' AS "table", {missing} AS missing, {left_over} AS left_over"""


_CHECK = " UNION ALL ".join(_comparison(table, follows) for table, follows in _FOLLOWS.items())


# A process of an earlier version, which runs on during an upgrade, changes cases and texts and writes no entries.
_REPAIR = [
    f"INSERT INTO {table} ({follows}) EXCEPT SELECT * FROM {table} ON CONFLICT DO NOTHING"  # noqa: S608
    for table, follows in _FOLLOWS.items()
]
PARTS = len(_REPAIR)


class EntriesCheck(NamedTuple):
    """How many entries of a table are missing, and how many follow from nothing."""

    table: str
    missing: int
    left_over: int

    @property
    def holds(self) -> bool:
        return self.missing == self.left_over == 0


_read_check = reader(EntriesCheck)


async def check(connection: Connection) -> list[EntriesCheck]:
    """The comparison, table by table. It reads all cases and texts."""
    return [_read_check(row) for row in await connection.fetch(_CHECK)]


async def repair(connection: Connection, part: int) -> int:
    """How many missing entries were written of a part (0 to PARTS - 1). Those left over do no harm.

    A part reads all cases, or all texts: it is meant to be a transaction of its own.
    """
    status = await connection.execute(_REPAIR[part])
    return int(status.split()[-1])
