"""Calls to the MCB and the wallet: claimed in batches, and their outcomes applied in batches.

Look-ups and vouchers are handled in the same way: the partner's client has translated the response into an input
of the case.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from gateway.consent.inputs import Input
from gateway.store import calls, cases
from gateway.store.calls import Call, CallKind
from gateway.store.cases import StoredCase
from gateway.store.database import Database
from gateway.usecases.unit_of_work import Transactions, UnitOfWork


class ClaimedCall(NamedTuple):
    """A call that this process has claimed, and its case."""

    call: Call
    stored: StoredCase


class CallOutcome(NamedTuple):
    """The result of a call: an input for the case, or the delay after which the call is made again."""

    call: Call
    given: Input | None  # None: the call has failed and is retried
    retry_in: timedelta = timedelta()  # real time


class PartnerCalls:
    """The use case of the calls of one kind."""

    def __init__(self, *, kind: CallKind, transactions: Transactions, database: Database, node: str) -> None:
        self.kind = kind
        self._transactions = transactions
        self._database = database
        self._node = node

    async def claim(self, limit: int) -> list[ClaimedCall]:
        """Up to `limit` calls that are due, claimed by this process."""
        async with self._database.acquire() as connection:
            claimed = await calls.claim(connection, self._node, self.kind, limit)
            stored = await cases.fetch(connection, [call.case_id for call in claimed]) if claimed else {}
        return [ClaimedCall(call, stored[call.case_id]) for call in claimed]

    async def release_others(self, held: Collection[int]) -> None:
        """Releases the calls that this process has claimed, except those in memory (`held`, by serial)."""
        async with self._database.acquire() as connection:
            await calls.release_others(connection, self._node, self.kind, held)

    async def record(self, outcomes: Sequence[CallOutcome]) -> None:
        """Commits the outcomes; that of a call which this process no longer has claimed is dropped."""

        async def work(uow: UnitOfWork) -> None:
            finished = [(outcome.call, outcome.given) for outcome in outcomes if outcome.given is not None]
            failed = [(outcome.call, outcome.retry_in) for outcome in outcomes if outcome.given is None]
            if finished:
                owned = await calls.finish(uow.connection, self._node, self.kind, [call for call, _ in finished])
                await uow.apply([(call.case_id, given) for call, given in finished if call.serial in owned])
            if failed:
                await calls.postpone(uow.connection, self._node, self.kind, failed)

        await self._transactions.run(work)
