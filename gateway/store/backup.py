"""The check of a restored copy before it goes into service. It changes nothing, and begins nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.consent.case import State
from gateway.store import entries, journal, journal_check, journal_rows
from gateway.store.database import Connection
from gateway.store.entries import EntriesCheck
from gateway.store.journal_check import JournalCheck
from gateway.store.journal_rows import RowsCheck
from gateway.store.migrations import pending
from gateway.store.rows import reader

_IDENTITIES = """
SELECT c.relname AS "table", a.attname AS "column",
       format('SELECT last_value + is_called::integer AS next, (SELECT coalesce(max(%I), 0) FROM %I) AS highest
               FROM %s', a.attname, c.relname, pg_get_serial_sequence(quote_ident(c.relname), a.attname)) AS query
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attidentity <> '' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relnamespace = current_schema()::regnamespace
ORDER BY 1, 2
"""
_TEXT_WAITS = "EXISTS (SELECT FROM sms s WHERE s.case_id = c.case_id AND s.state IN ('queued', 'sending'))"
_CALL_WAITS = "EXISTS (SELECT FROM calls WHERE calls.case_id = c.case_id AND kind = '{kind}')"
_CARRIED_ON: Mapping[State, str] = {
    State.LOOKING_UP: _CALL_WAITS.format(kind="lookup"),
    State.WAITING: """EXISTS (SELECT FROM questions q WHERE q.service = c.service AND q.msisdn = c.msisdn
                              AND q.open AND q.case_id <> c.case_id)""",
    State.QUEUED: f"c.due_at IS NOT NULL OR {_TEXT_WAITS}",
    State.ASKED: f"c.due_at IS NOT NULL OR {_TEXT_WAITS}",
    State.REMINDED: f"c.due_at IS NOT NULL OR {_TEXT_WAITS}",
    State.CONSENTED: _CALL_WAITS.format(kind="voucher"),
    State.PARKED: "true",
}
"""The row by which an open case goes on, by its state; a parked one waits for ops."""

_OPEN_CASES = " UNION ALL ".join(
    f"SELECT '{state}' AS state, count(*) AS cases, count(*) FILTER (WHERE NOT ({condition})) AS stuck "  # noqa: S608
    f"FROM cases c WHERE state = '{state}'"
    for state, condition in _CARRIED_ON.items()
)


class IdentityColumn(NamedTuple):
    """An identity column: the next value that it gives, and the highest that a row has."""

    table: str
    column: str
    next: int
    highest: int

    @property
    def holds(self) -> bool:
        return self.next > self.highest


class OpenCases(NamedTuple):
    """The open cases of a state, and how many of them no row carries on."""

    state: str
    cases: int
    stuck: int


_read_open_cases = reader(OpenCases)


class BackupCheck(NamedTuple):
    """What the walk has found. With pending migrations nothing else is looked at."""

    migrations: Sequence[str]  # pending
    journal: JournalCheck | None = None
    sealed_at: datetime | None = None  # business time of the last entry
    rows: RowsCheck | None = None
    unsealed: int = 0  # cases that were not compared: they have entries that are not sealed
    sequences: Sequence[IdentityColumn] = ()
    open_cases: Sequence[OpenCases] = ()
    entries: Sequence[EntriesCheck] = ()

    @property
    def holds(self) -> bool:
        """Whether the copy can go into service."""
        return (
            not self.migrations
            and (self.journal is None or self.journal.fault is None)
            and (self.rows is None or not self.rows.faults)
            and all(sequence.holds for sequence in self.sequences)
            and not any(counted.stuck for counted in self.open_cases)
            and all(compared.holds for compared in self.entries)
        )


async def check(connection: Connection, alphabets: Mapping[str, str]) -> BackupCheck:
    """The check of the whole copy in one read-only snapshot; `alphabets` are the default alphabets by link."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if waiting := await pending(connection):
            return BackupCheck([migration.name for migration in waiting])
        found = await journal_check.verify(connection)
        length, _, sealed_at = await journal.head(connection)
        rows, unsealed = await journal_rows.compare_snapshot(connection, alphabets)
        return BackupCheck(
            migrations=(),
            journal=found,
            sealed_at=sealed_at if length else None,
            rows=rows,
            unsealed=unsealed,
            sequences=await _sequences(connection),
            open_cases=[_read_open_cases(row) for row in await connection.fetch(_OPEN_CASES) if row["cases"]],
            entries=await entries.check(connection),
        )


async def _sequences(connection: Connection) -> list[IdentityColumn]:
    found = []
    for row in await connection.fetch(_IDENTITIES):
        values = await connection.fetchrow(row["query"])
        assert values is not None
        found.append(IdentityColumn(row["table"], row["column"], values["next"], values["highest"]))
    return found
