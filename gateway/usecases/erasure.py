"""Erasure of personal data `privacy.keep_days` after the end of a case."""

from datetime import timedelta

from gateway.consent.events import Event, EventType
from gateway.store import erasure
from gateway.usecases.unit_of_work import Transactions, UnitOfWork


class Erasure:
    """The use case of expired personal data."""

    def __init__(self, transactions: Transactions, keep: timedelta) -> None:
        self._transactions = transactions
        self._keep = keep

    async def erase(self, limit: int) -> int:
        """The number of cases erased, at most `limit`. Old replies and screens of no case are deleted as well."""

        async def work(uow: UnitOfWork) -> int:
            before = uow.now - self._keep
            erased = await erasure.erase_ended(uow.connection, before, uow.now, uow.digests.digest, limit)
            uow.journal([(case_id, Event(EventType.ERASED)) for case_id in erased])
            await erasure.erase_unassigned_replies(uow.connection, before)
            return len(erased)

        return await self._transactions.run(work)
