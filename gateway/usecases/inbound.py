"""Messages from the SMSCs: replies, receipts and USSD messages of a batch, in one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.smpp.receipt import MessageState
from gateway.store import unacknowledged
from gateway.store.inbound import ReplySegment
from gateway.usecases.receipts import FinalReceipt, Receipts
from gateway.usecases.replies import Replies
from gateway.usecases.reply_evidence import Reply
from gateway.usecases.unit_of_work import Transactions, UnitOfWork
from gateway.usecases.ussd import DialogueMessage, UssdDialogues


class UnacknowledgedPeriod(NamedTuple):
    """A period (real time) in which our deliver_sm_resp may not have reached a link's SMSC."""

    link: str
    began_seconds_ago: float
    ended_seconds_ago: float  # below 0: it ends in the future


@dataclass(slots=True)
class InboundBatch:
    """Decoded messages from SMSCs, each kind in the order of arrival."""

    replies: list[Reply] = field(default_factory=list)
    segments: list[ReplySegment] = field(default_factory=list)
    receipts: list[FinalReceipt] = field(default_factory=list)
    unknown_states: list[tuple[str, str]] = field(default_factory=list)
    """Link and state, as written, of receipts whose state is not known."""
    not_final: list[tuple[str, MessageState]] = field(default_factory=list)
    """Link and state of receipts after which another may follow."""
    ussd: list[DialogueMessage] = field(default_factory=list)


class Inbound:
    """The use case of deliver_sm and data_sm; they may be acknowledged when `store` has returned."""

    def __init__(
        self, *, transactions: Transactions, replies: Replies, receipts: Receipts, dialogues: UssdDialogues
    ) -> None:
        self._transactions = transactions
        self._replies = replies
        self._receipts = receipts
        self._dialogues = dialogues

    async def store(self, batch: InboundBatch, periods: Iterable[UnacknowledgedPeriod]) -> None:
        """Commits the batch, its effects on cases, and the periods. Raises FencedError after an eviction."""

        async def work(uow: UnitOfWork) -> None:
            await _note(uow, periods)
            await self._receipts.apply(uow, batch.receipts)
            await self._replies.receive(uow, batch.replies, batch.segments)
            await self._dialogues.receive(uow, batch.ussd)

        await self._transactions.run(work)
        self._receipts.count_unknown(batch.unknown_states)
        self._receipts.count_not_final(batch.not_final)

    async def note(self, periods: Iterable[UnacknowledgedPeriod]) -> None:
        """Commits the periods alone."""
        await self._transactions.run(lambda uow: _note(uow, periods))


async def _note(uow: UnitOfWork, periods: Iterable[UnacknowledgedPeriod]) -> None:
    for period in periods:
        await unacknowledged.note(uow.connection, period.link, period.began_seconds_ago, period.ended_seconds_ago)
