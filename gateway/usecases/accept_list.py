"""Accepting a recipient list: staged while it comes in, then turned into cases as a whole or not at all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from gateway.clock import Clock
from gateway.cluster.wakeups import WakeUps
from gateway.consent.deadlines import Calendar
from gateway.consent.inputs import Effect
from gateway.consent.journey import open_case
from gateway.logs.log import Event, get_logger
from gateway.metrics import RECORDS
from gateway.store import lists
from gateway.store.calls import CallKind
from gateway.store.database import Connection, Database
from gateway.store.disk import Claim, DiskSpace, DiskSpaceError
from gateway.store.lists import InitialCase, ListError, NewList, StoredList
from gateway.usecases.case_batch import CALL_OF

log = get_logger()


class Acceptance(NamedTuple):
    """The list as it is stored, and whether this call has stored it."""

    stored: StoredList
    created: bool


class StagedList:
    """A list that is being received: its rows are in temporary tables of one connection."""

    def __init__(self, accept: "AcceptList", connection: Connection, claim: Claim, received_at: datetime) -> None:
        self.received_at = received_at  # business time
        self._accept = accept
        self._connection = connection
        self._claim = claim

    async def stage(self, rows: Sequence[bytes], errors: Sequence[ListError]) -> None:
        """Adds valid records (as `lists.staged_row` encodes them) and the errors of the others.

        Raises DiskSpaceError when there is too little free space for what they become.
        """
        self._claim.add(sum(map(len, rows)), len(rows))
        await lists.stage(self._connection, rows, errors)

    async def accept(
        self, list_id: str, service: str, *, digest: bytes, records: int, rejected: int
    ) -> Acceptance | None:
        """The accepted list, its records now cases; None when this list_id has other content or another service.

        Raises FencedError when this process was evicted.
        """
        return await self._accept.accept(
            self._connection, list_id, service, digest=digest, records=records, rejected=rejected
        )


class AcceptList:
    """The use case of a list that SDU pushes. One per process; several lists may be staged at the same time."""

    def __init__(
        self,
        *,
        database: Database,
        node: str,
        clock: Clock,
        calendar: Calendar,
        wakeups: WakeUps,
        disk: DiskSpace,
    ) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._calendar = calendar
        self._wakeups = wakeups
        self._disk = disk

    @asynccontextmanager
    async def staging(self, expected_bytes: int) -> AsyncIterator[StagedList]:
        """A list to stage, of at least so many octets; when the block raises, nothing of it is kept.

        Raises DiskSpaceError, and logs it, when there is too little free space, now or in the block.
        """
        try:
            with self._disk.claim() as claim:
                claim.expect(expected_bytes)
                async with self._database.acquire() as connection, lists.staging(connection):
                    yield StagedList(self, connection, claim, self._clock.now())
        except DiskSpaceError as error:
            log.warning(Event.DISK_SPACE_LOW, free_bytes=error.free_bytes, needed_bytes=error.needed_bytes)
            raise

    async def accept(
        self, connection: Connection, list_id: str, service: str, *, digest: bytes, records: int, rejected: int
    ) -> Acceptance | None:
        """See StagedList.accept."""
        now = self._clock.now()
        new = NewList(
            list_id=list_id,
            service=service,
            digest=digest,
            records=records,
            rejected=rejected,
            received_at=now,
            school_year_start=self._calendar.school_year_start(now),
        )
        opened = open_case(relations=())
        calls = [CALL_OF[effect] for effect in opened.effects if isinstance(effect, Effect)]
        stored, created = await lists.accept(
            connection,
            self._node,
            new,
            InitialCase(opened.case.state, [event.name for event in opened.events], calls),
        )
        if (stored.digest, stored.service) != (digest, service):
            return None
        if created:
            self._announce(stored, calls)
        return Acceptance(stored, created)

    def _announce(self, stored: StoredList, calls: Sequence[CallKind]) -> None:
        counts = {
            "accepted": stored.accepted,
            "duplicates": stored.duplicates,
            "rejected": stored.rejected,
        }
        for outcome, number in counts.items():
            RECORDS.labels(outcome).inc(number)
        log.info(
            Event.LIST_ACCEPTED,
            list_id=stored.list_id,
            records=stored.records,
            accepted=stored.accepted,
            duplicates=stored.duplicates,
            rejected=stored.rejected,
        )
        self._wakeups.committed(calls=calls, journal=True)
