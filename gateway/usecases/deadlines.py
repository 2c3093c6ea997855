"""Deadlines: the repeat or the end of cases that are due (order A1 §10)."""

from collections.abc import Sequence

from gateway.clock import Clock
from gateway.cluster.retry import batch_then_singly
from gateway.consent.inputs import MeetDeadline
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import case_entries
from gateway.store.case_entries import CaseInstant
from gateway.store.database import Database
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

log = get_logger()


class Deadlines:
    """The use case of cases whose deadline has passed."""

    def __init__(self, *, transactions: Transactions, database: Database, clock: Clock) -> None:
        self._transactions = transactions
        self._database = database
        self._clock = clock

    async def meet(self, limit: int) -> int:
        """The number of deadlines met, at most `limit`; 0 when one of them failed.

        A case that fails because of a defect is logged as `case_stuck`; the others are decided on all the same.
        """
        async with self._database.acquire() as connection:
            due = await case_entries.due(connection, self._clock.now(), limit)
        failures = 0

        async def failed(deadline: CaseInstant, error: Exception) -> None:
            nonlocal failures
            failures += 1
            log.error(LogEvent.CASE_STUCK, case_id=deadline.case_id, exc_info=error)

        if due:
            await batch_then_singly(due, self._meet, failed)
        return 0 if failures else len(due)

    async def _meet(self, deadlines: Sequence[CaseInstant]) -> None:
        async def work(uow: UnitOfWork) -> None:
            case_ids = {deadline.case_id for deadline in deadlines}
            locked = await case_entries.lock_due(uow.connection, case_ids, uow.now)
            await uow.apply([(case_id, MeetDeadline()) for case_id, is_due in locked.items() if is_due])
            passed = [deadline for deadline in deadlines if deadline.case_id in locked]
            await case_entries.drop_deadlines(uow.connection, passed)

        await self._transactions.run(work)
