"""Manual actions of ops and SDU on a case: cancel it, release a parked one, resend its current text."""

from collections.abc import Sequence

from gateway.consent.inputs import Cancel, Decision, Input, Release, Resend
from gateway.usecases.unit_of_work import Transactions


class ManualActions:
    """The use cases of manual actions. A decision is `rejected` when the action does not fit the case's state."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def cancel(self, case_id: str, reason: str) -> Decision | None:
        """The decision to end an open case; None when there is no such case."""
        return await self._apply(case_id, Cancel(reason=reason))

    async def release(self, case_id: str) -> Decision | None:
        """The decision to resume a parked case; None when there is no such case."""
        return await self._apply(case_id, Release())

    async def release_all(self, case_ids: Sequence[str]) -> int:
        """The number of cases resumed, in one transaction; cases that are not parked are skipped."""
        decisions = await self._transactions.apply([(case_id, Release()) for case_id in case_ids])
        return sum(not decision.rejected for decision in decisions)

    async def resend(self, case_id: str) -> Decision | None:
        """The decision to send the case's current text again; None when there is no such case."""
        return await self._apply(case_id, Resend())

    async def _apply(self, case_id: str, given: Input) -> Decision | None:
        return next(iter(await self._transactions.apply([(case_id, given)])), None)
