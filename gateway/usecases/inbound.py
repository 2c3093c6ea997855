"""What comes in from the SMSCs: one transaction for all that has arrived, of whatever kind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.store import unacknowledged
from gateway.store.inbound import ReplySegment
from gateway.usecases.receipts import FinalReceipt, Receipts
from gateway.usecases.replies import Replies
from gateway.usecases.reply_evidence import Reply
from gateway.usecases.unit_of_work import Transactions, UnitOfWork
from gateway.usecases.ussd import DialogueMessage, UssdDialogues


class UnacknowledgedPeriod(NamedTuple):
    """A time in which our deliver_sm_resp may not have reached a link's SMSC."""

    link: str
    began_seconds_ago: float
    ended_seconds_ago: float  # below 0: it has not ended yet


@dataclass(slots=True)
class InboundBatch:
    """Messages of SMSCs, decoded, each kind in the order of arrival."""

    replies: list[Reply] = field(default_factory=list)
    segments: list[ReplySegment] = field(default_factory=list)
    receipts: list[FinalReceipt] = field(default_factory=list)
    ussd: list[DialogueMessage] = field(default_factory=list)


class Inbound:
    """The use case of a batch of deliver_sm and data_sm; once `store` returns, they may be acknowledged."""

    def __init__(
        self, *, transactions: Transactions, replies: Replies, receipts: Receipts, dialogues: UssdDialogues
    ) -> None:
        self._transactions = transactions
        self._replies = replies
        self._receipts = receipts
        self._dialogues = dialogues

    async def store(self, batch: InboundBatch, periods: Iterable[UnacknowledgedPeriod]) -> None:
        """Keeps the batch, acts on it and notes the periods, in one transaction."""

        async def work(uow: UnitOfWork) -> None:
            await _note(uow, periods)
            await self._receipts.apply(uow, batch.receipts)
            await self._replies.receive(uow, batch.replies, batch.segments)
            await self._dialogues.receive(uow, batch.ussd)

        await self._transactions.run(work)

    async def note(self, periods: Iterable[UnacknowledgedPeriod]) -> None:
        """Notes the periods, when there is nothing to store with them."""
        await self._transactions.run(lambda uow: _note(uow, periods))


async def _note(uow: UnitOfWork, periods: Iterable[UnacknowledgedPeriod]) -> None:
    for period in periods:
        await unacknowledged.note(uow.connection, period.link, period.began_seconds_ago, period.ended_seconds_ago)
