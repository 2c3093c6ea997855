"""Takes a list: reads its body while the database keeps what was read, then makes cases of all at once."""

import asyncio
from collections.abc import AsyncIterable, Sequence
from datetime import datetime

from gateway.clock import Clock
from gateway.cluster.wakeups import WakeUps
from gateway.consent.deadlines import Calendar
from gateway.ids import new_ulid
from gateway.intake.body import Body
from gateway.intake.records import Code, Record, read_record
from gateway.logs.log import Event, get_logger
from gateway.metrics import RECORDS
from gateway.store import lists
from gateway.store.calls import CallKind
from gateway.store.database import Connection, Database
from gateway.store.lists import ListError, NewList, StoredList, staged_row

_STAGED_AT_ONCE = 2000
"""Lines between two COPYs: some milliseconds of work, and no more than that many records in memory twice."""

log = get_logger()


class Intake:
    """The way in for lists. One a process; `take` may run several times at once."""

    def __init__(
        self, *, database: Database, node: str, clock: Clock, calendar: Calendar, signals: WakeUps
    ) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._calendar = calendar
        self._signals = signals

    async def take(
        self, list_id: str, service: str, chunks: AsyncIterable[bytes], body: Body
    ) -> tuple[StoredList, bool] | None:
        """The list as it is stored and whether this call has stored it; None when the id has another list.

        All or nothing: whatever `chunks` raises, BodyMalformedError and BodyTooLargeError leave no trace.
        """
        async with self._database.acquire() as connection, lists.staging(connection):
            reading = _Reading(connection, self._clock.now())
            try:
                async for chunk in chunks:
                    for lines in body.feed(chunk):
                        await reading.add(lines)
                await reading.add(body.close())
                await reading.finish()
            finally:
                await reading.abandon()
            now = self._clock.now()
            new = NewList(
                list_id=list_id,
                service=service,
                digest=body.digest,
                records=reading.records,
                rejected=reading.rejected,
                received_at=now,
                school_year_start=self._calendar.school_year_start(now),
            )
            stored, created = await lists.accept(connection, self._node, new)
        if (stored.digest, stored.service) != (new.digest, new.service):
            return None
        if created:
            self._announce(stored)
        return stored, created

    def _announce(self, stored: StoredList) -> None:
        counts = {
            "accepted": stored.accepted,
            "duplicates": stored.duplicates,
            "rejected": stored.rejected,
        }
        for outcome, number in counts.items():
            RECORDS.labels(outcome).inc(number)
        log.info(Event.LIST_ACCEPTED, list_id=stored.list_id, records=stored.records, **counts)
        self._signals.calls[CallKind.LOOKUP].set()
        self._signals.journal.set()


class _Reading:
    """Lines become staged rows: while the database takes one batch, the next one is read."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        self.records = 0
        self.rejected = 0
        self._connection = connection
        self._at = at
        self._good: list[bytes] = []
        self._errors: list[ListError] = []
        self._copying: asyncio.Task[None] | None = None

    async def add(self, lines: Sequence[tuple[int, bytes | None]]) -> None:
        """Reads lines; returns when there is room for more, and always lets other tasks run."""
        for number, line in lines:
            if line is None:
                self._refuse(number, None, [("", Code.LINE_LENGTH)])
            elif line and not line.isspace():
                self._read(number, line)
        if len(self._good) + len(self._errors) >= _STAGED_AT_ONCE:
            await self._flush()
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Returns when all that was added is staged."""
        await self._flush()
        await self._copied()

    async def abandon(self) -> None:
        """Ends what is under way; nothing to do after `finish`."""
        if self._copying is not None:
            self._copying.cancel()
            await asyncio.gather(self._copying, return_exceptions=True)

    def _read(self, number: int, line: bytes) -> None:
        record = read_record(line)
        if type(record) is not Record:
            self._refuse(number, *record)
            return
        self.records += 1
        self._good.append(staged_row(number, new_ulid(self._at), *record))

    def _refuse(self, number: int, record_id: str | None, faults: Sequence[tuple[str, str]]) -> None:
        self.records += 1
        self.rejected += 1
        self._errors.extend([ListError(number, record_id, pointer, code) for pointer, code in faults])

    async def _flush(self) -> None:
        await self._copied()
        good, errors = self._good, self._errors
        self._good, self._errors = [], []
        self._copying = asyncio.create_task(lists.stage(self._connection, good, errors))

    async def _copied(self) -> None:
        if self._copying is not None:
            copying, self._copying = self._copying, None
            await copying
