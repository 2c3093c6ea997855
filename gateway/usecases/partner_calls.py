"""Calls to a partner, the MCB or the wallet, as rows: claimed in batches, and their outcomes written in batches.

The outcome of a look-up and that of a voucher are handled alike: what the partner's response means is an input of
the case, which the partner's client has made of it.
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
    """A call that is this process's to make, and the case that it is for."""

    call: Call
    stored: StoredCase


class CallOutcome(NamedTuple):
    """What became of a call: an input for the case, or the time after which it is made again."""

    call: Call
    given: Input | None
    retry_in: timedelta = timedelta()


class PartnerCalls:
    """The use case of one kind of call."""

    def __init__(self, *, kind: CallKind, transactions: Transactions, database: Database, node: str) -> None:
        self.kind = kind
        self._transactions = transactions
        self._database = database
        self._node = node

    async def claim(self, limit: int) -> list[ClaimedCall]:
        """Up to `limit` calls that are due, now this process's."""
        async with self._database.acquire() as connection:
            claimed = await calls.claim(connection, self._node, self.kind, limit)
            stored = await cases.fetch(connection, [call.case_id for call in claimed]) if claimed else {}
        return [ClaimedCall(call, stored[call.case_id]) for call in claimed]

    async def release_others(self, held: Collection[int]) -> None:
        """Releases the calls that are this process's but for those `held`, by serial."""
        async with self._database.acquire() as connection:
            await calls.release_others(connection, self._node, self.kind, held)

    async def record(self, outcomes: Sequence[CallOutcome]) -> None:
        """Writes outcomes, in one transaction; that of a call which is no longer this process's is dropped."""

        async def work(uow: UnitOfWork) -> None:
            done = [(outcome.call, outcome.given) for outcome in outcomes if outcome.given is not None]
            again = [(outcome.call, outcome.retry_in) for outcome in outcomes if outcome.given is None]
            if done:
                ours = await calls.finish(uow.connection, self._node, self.kind, [call for call, _ in done])
                await uow.apply([(call.case_id, given) for call, given in done if call.serial in ours])
            if again:
                await calls.put_off(uow.connection, self._node, self.kind, again)

        await self._transactions.run(work)
