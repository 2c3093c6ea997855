"""Rewinds of the database: it lacks sealed entries of the journal that were seen.

That is so after a failover to a standby that was behind, or with a restored backup. Each process remembers the
latest sealed entry that it has seen and looks for it by every new connection, before that is used, and at every
heartbeat. The row of a rewind stops all processes until ops accept it.
"""

from datetime import datetime
from typing import Literal, NamedTuple

import asyncpg

from gateway import metrics
from gateway.logs.log import Event, get_logger
from gateway.store import journal, sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.nodes import RewoundError
from gateway.store.rows import reader

log = get_logger()

HEAD_HEADER = "Gateway-Journal-Head"
"""Header by which SDU is told the last entry: `SEQ HASH`, kept outside of the database."""

FoundBy = Literal["gateway", "sdu"]

# A standby may be behind: only a server that accepts writes is judged.
_LOOK = f"""
SELECT pg_is_in_recovery() AS is_standby, coalesce(head.seq, 0) AS seq, coalesce(head.hash, '') AS hash,
       (SELECT hash FROM journal WHERE seq = $1) AS hash_there,
       (SELECT coalesce(max(rewind_id), 0) FROM rewinds) AS rewind_id,
       EXISTS (SELECT FROM rewinds WHERE accepted_at IS NULL) AS is_rewound,
       EXISTS (SELECT FROM rewinds
               WHERE rewind_id > $2 AND accepted_at IS NOT NULL AND known_seq >= $1) AS accepted
FROM (SELECT) AS one LEFT JOIN ({sealed.HEAD}) AS head ON true
"""  # noqa: S608
# xmax is 0 in a row that was inserted.
_MARK = """
INSERT INTO rewinds (found_by, seq, hash, known_seq, known_hash) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ((accepted_at IS NULL)) WHERE accepted_at IS NULL DO UPDATE
SET known_seq = excluded.known_seq, known_hash = excluded.known_hash WHERE excluded.known_seq > rewinds.known_seq
RETURNING xmax = 0
"""
OPEN = """
SELECT found_at, found_by, seq, hash, known_seq, known_hash FROM rewinds WHERE accepted_at IS NULL
"""
_ACCEPT = "UPDATE rewinds SET accepted_at = clock_timestamp() WHERE accepted_at IS NULL"
_REPEATABLE = """
SELECT (SELECT count(*) FROM calls WHERE kind = 'voucher') AS vouchers,
       (SELECT count(*) FROM outbox) + (SELECT count(*) FROM sending) AS texts
"""
# Of an accepted rewind after which nobody has read again: the entries up to `read_from` are what they were.
_CURSOR = f"""
WITH unread AS (
    SELECT CASE WHEN seq < known_seq THEN seq ELSE 0 END AS read_from, greatest(seq, known_seq) AS until
    FROM rewinds WHERE accepted_at IS NOT NULL AND reread_at IS NULL
)
SELECT coalesce(head.seq, 0) AS seq, coalesce(head.hash, '') AS hash,
       EXISTS (SELECT FROM rewinds WHERE accepted_at IS NULL) AS is_rewound,
       EXISTS (SELECT FROM unread WHERE read_from >= $1) AS rereads,
       (SELECT min(read_from) FROM unread WHERE $1 > read_from AND $1 <= until) AS read_from
FROM (SELECT) AS one LEFT JOIN ({sealed.HEAD}) AS head ON true
"""  # noqa: S608
_REREAD = """
UPDATE rewinds SET reread_at = clock_timestamp()
WHERE accepted_at IS NOT NULL AND reread_at IS NULL AND CASE WHEN seq < known_seq THEN seq ELSE 0 END >= $1
"""


class Head(NamedTuple):
    """The last sealed entry of the journal; (0, b"") of an empty one."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq} {self.hash.hex()}".strip()


class Rewind(NamedTuple):
    """A rewind that nobody has accepted."""

    found_at: datetime  # real time
    found_by: FoundBy
    seq: int  # of the last entry of the journal when it was found
    hash: bytes
    known_seq: int  # of the latest entry that is known to have existed
    known_hash: bytes | None  # None: no process has seen it sealed

    @property
    def diverged(self) -> bool:
        """Whether the journal had other entries at `known_seq` by then: where they begin is not known."""
        return self.seq >= self.known_seq

    @property
    def read_from(self) -> int:
        """The cursor from which a reader that was past it has to read again."""
        return 0 if self.diverged else self.seq


class StaleCursorError(Exception):
    """The cursor is from before an accepted rewind: what follows it is not what the reader lacks."""

    def __init__(self, read_from: int) -> None:
        super().__init__(f"read again from {read_from}")
        self.read_from = read_from


_read_rewind = reader(Rewind)


class Committed(NamedTuple):
    """An entry of a case that this process has committed."""

    case_id: str
    at: datetime  # business time
    event: str


class JournalMemory:
    """What this process has seen of the journal, whatever becomes of the database."""

    def __init__(self) -> None:
        self._head = Head(0, b"")  # the latest sealed entry
        self._committed: Committed | None = None  # the latest of its own, sealed or not
        self._rewind_id = 0  # the latest rewind at the last check
        self.suspended = False
        """Connections are not checked: the process sends nothing until the rewind is accepted."""

    def note(self, head: Head) -> None:
        """Remembers an entry that was read from a committed journal, unless a later one was."""
        if head.seq > self._head.seq:
            self._head = head

    def committed(self, entry: Committed) -> None:
        """Remembers an entry whose transaction was committed."""
        self._committed = entry

    async def check_connection(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Raises RewoundError when the server of a new connection lacks what this process has seen."""
        if not self.suspended and (self._head.seq or self._committed):
            await self.check(connection, is_new=True)

    async def check(self, connection: Connection, *, is_new: bool = False) -> None:
        """Raises RewoundError when the database is rewound, and marks it so; else remembers its last entry.

        By a connection that is new, it also has to have what this process committed last.
        """
        known = self._head
        try:
            row = await connection.fetchrow(_LOOK, known.seq, self._rewind_id)
        except asyncpg.UndefinedTableError:  # the database is older than this version
            raise RewoundError from None
        assert row is not None
        if row["is_standby"]:
            return
        head, lost = Head(row["seq"], row["hash"]), None
        if known.seq and (row["hash_there"] or await _hash_at(connection, known.seq)) != known.hash:
            lost = known
        elif is_new and self._committed and not await _is_journaled(connection, self._committed):
            lost = Head(head.seq + 1, b"")  # it was not sealed yet
        if lost is not None and (row["is_rewound"] or not row["accepted"]):
            await mark(connection, "gateway", head, lost)
            raise RewoundError
        if row["is_rewound"]:
            raise RewoundError
        if lost is not None:  # and accepted
            self._head, self._committed = head, None
        self._rewind_id = row["rewind_id"]
        self.note(head)


async def _hash_at(connection: Connection, seq: int) -> bytes | None:
    """The hash of a sealed entry; None: there is no such entry, or none that can be read."""
    try:
        return (await sealed.hashes_at(connection, [seq])).get(seq)
    except JournalIncompleteError:
        return None


async def _is_journaled(connection: Connection, entry: Committed) -> bool:
    """Whether the entry is pending, or sealed: it is looked for first where it comes from.

    In a block that cannot be read it is not, but such blocks do not hide the others.
    """
    pending = (await journal.pending_of(connection, [entry.case_id])).get(entry.case_id, ())
    if any((one.at, one.event) == (entry.at, entry.event) for one in pending):
        return True
    entries = (await sealed.of_cases(connection, [entry.case_id], readable=True)).get(entry.case_id, ())
    return any((one.at, one.event) == (entry.at, entry.event) for one in entries)


async def head(connection: Connection) -> Head:
    """The last sealed entry."""
    last = await sealed.last(connection)
    return Head(last.seq, last.hash)


async def mark(connection: Connection, found_by: FoundBy, head: Head, known: Head) -> None:
    """Marks the database as rewound; `head` is its last entry, `known` a later one that has existed."""
    values = found_by, head.seq, head.hash, known.seq, known.hash or None
    if await connection.fetchval(_MARK, *values) and (rewind := await unaccepted(connection)) is not None:
        report(rewind)


def report(rewind: Rewind) -> None:
    """Logs and counts a rewind: somebody has to accept it."""
    log.critical(Event.DATABASE_REWOUND, seq=rewind.seq, known_seq=rewind.known_seq, found_by=rewind.found_by)
    metrics.REWOUND.set(1)


async def unaccepted(connection: Connection) -> Rewind | None:
    """The rewind that stops the processes of this database; None: it is not rewound."""
    row = await connection.fetchrow(OPEN)
    return _read_rewind(row) if row is not None else None


async def accept(connection: Connection) -> Rewind | None:
    """The rewind that is accepted now; None when there was none. For a transaction of the caller."""
    rewind = await unaccepted(connection)
    if rewind is None or await connection.execute(_ACCEPT) == "UPDATE 0":
        return None
    return rewind


async def entry_at(connection: Connection, seq: int) -> datetime | None:
    """The business time of an entry."""
    entry = await sealed.entry_at(connection, seq)
    return entry.at if entry is not None else None


async def repeatable(connection: Connection) -> tuple[int, int]:
    """The numbers of vouchers to be requested and of texts to be sent: some may have been before the rewind."""
    row = await connection.fetchrow(_REPEATABLE)
    assert row is not None
    return row["vouchers"], row["texts"]


async def check_cursor(connection: Connection, seq: int) -> Head:
    """The last sealed entry, for a reader of statuses that has read up to `seq`.

    Raises RewoundError when the database is rewound; a cursor after the last entry proves that, and marks it.
    Raises StaleCursorError for a cursor after an accepted rewind, until one from before it has come.
    """
    row = await connection.fetchrow(_CURSOR, seq)
    assert row is not None
    head = Head(row["seq"], row["hash"])
    if not row["is_rewound"] and row["read_from"] is not None:
        raise StaleCursorError(row["read_from"])
    if seq > head.seq:
        await mark(connection, "sdu", head, Head(seq, b""))
        raise RewoundError
    if row["is_rewound"]:
        raise RewoundError
    if row["rereads"]:
        await connection.execute(_REREAD, seq)
    return head
