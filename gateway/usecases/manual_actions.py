"""Manual actions of ops and SDU on a case: cancel it, release it, resend its text, count its held reply."""

from collections.abc import Sequence

from gateway.consent.inputs import AcceptReply, Cancel, Decision, Input, Release, Resend
from gateway.store import cases, held_replies
from gateway.usecases.reply_evidence import held_reply
from gateway.usecases.unit_of_work import Transactions, UnitOfWork


class ManualActions:
    """The use cases of manual actions, each journaled with `by`, who does it.

    A decision is `rejected` when the action does not fit the case's state.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def cancel(self, case_id: str, reason: str, by: str) -> Decision | None:
        """The decision to end an open case; None when there is no such case."""
        return await self._apply(case_id, Cancel(reason=reason, by=by))

    async def release(self, case_id: str, by: str) -> Decision | None:
        """The decision to resume a parked case; None when there is no such case."""
        return await self._apply(case_id, Release(by=by))

    async def release_all(self, case_ids: Sequence[str], by: str) -> int:
        """The number of cases resumed, in one transaction; cases that are not parked are skipped."""
        decisions = await self._transactions.apply([(case_id, Release(by=by)) for case_id in case_ids])
        return sum(not decision.rejected for decision in decisions)

    async def resend(self, case_id: str, by: str) -> Decision | None:
        """The decision to send the case's current text again; None when there is no such case."""
        return await self._apply(case_id, Resend(by=by))

    async def accept_reply(self, case_id: str, by: str) -> Decision | None:
        """The decision to count the held reply; None when there is no such case."""

        async def work(uow: UnitOfWork) -> Decision | None:
            await cases.lock(uow.connection, [case_id])  # no other reply is held before the decision
            row = (await held_replies.of_cases(uow.connection, [case_id])).get(case_id)
            held = held_reply(uow.digests, row) if row is not None else None
            asked = await held_replies.is_asked(uow.connection, case_id)
            return next(iter(await uow.apply([(case_id, AcceptReply(held=held, asked=asked, by=by))])), None)

        return await self._transactions.run(work)

    async def _apply(self, case_id: str, given: Input) -> Decision | None:
        return next(iter(await self._transactions.apply([(case_id, given)])), None)
