"""Texts on their way to the SMSC: claimed from their rows, and what the SMSC has responded written back."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.clock import Clock
from gateway.consent.deadlines import Calendar
from gateway.consent.events import Event, EventType, TextAccepted, TextRefused
from gateway.consent.inputs import ConfirmAccepted, Input, ReportRefused
from gateway.consent.texts import Kind
from gateway.smpp import status
from gateway.store import nodes, sms
from gateway.store.database import Database
from gateway.store.sms import ClaimedSms, ExpectedReceipt, Priority, SmsProgress, SmsState
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

RECEIPTS_EXPECTED_FOR = timedelta(days=3)


class TextProgress(NamedTuple):
    """How far a text has come since it was claimed, or written last."""

    claimed: ClaimedSms
    progress: SmsProgress
    expected: Sequence[ExpectedReceipt]  # of segments accepted since
    refused: int | None  # the command_status that refused it for good


class SentTexts:
    """The use case of one link's texts."""

    def __init__(
        self,
        *,
        transactions: Transactions,
        database: Database,
        node: str,
        clock: Clock,
        calendar: Calendar,
        link: str,
        fallback_for: Sequence[str],
        down_after_seconds: float,
    ) -> None:
        """`fallback_for` are the links whose texts this one sends while they have been down for so many seconds."""
        self._transactions = transactions
        self._database = database
        self._node = node
        self._clock = clock
        self._calendar = calendar
        self._link = link
        self._fallback_for = fallback_for
        self._down_after_seconds = down_after_seconds

    def now(self) -> datetime:
        """The business instant, as that of an acceptance."""
        return self._clock.now()

    def in_window(self) -> bool:
        """Whether requests and repeats may be sent now."""
        return self._calendar.in_window(self._clock.now())

    async def claim(self, *, bulk: bool, limit: int) -> list[ClaimedSms]:
        """Up to `limit` texts, now this process's, urgent ones first; `bulk` off claims urgent ones only."""
        async with self._database.acquire() as connection:
            others: list[str] = []
            if self._fallback_for:
                others = await nodes.down_links(connection, self._fallback_for, self._down_after_seconds)
            return await sms.claim(connection, self._node, self._link, others=others, bulk=bulk, limit=limit)

    async def still_claimed(self, sms_ids: Collection[int]) -> set[int]:
        """Those of the texts that are this process's still."""
        async with self._database.acquire() as connection:
            return await sms.still_claimed(connection, self._node, sms_ids)

    async def release(self, sms_ids: Collection[int], delay: timedelta, *, unsent: Collection[int]) -> None:
        """Puts texts back into the queue, not to be claimed before `delay` (real time).

        `unsent` are those of which no segment has left: it is as if they had not been claimed.
        """
        async with self._database.acquire() as connection:
            await sms.release(connection, self._node, sms_ids, delay, unsent=unsent)

    async def release_others(self, held: Collection[int]) -> None:
        """Releases the link's texts that are this process's, but for those `held`."""
        async with self._database.acquire() as connection:
            await sms.release_others(connection, self._node, self._link, held)

    async def record(self, texts: Sequence[TextProgress]) -> set[int]:
        """Writes progress, and what it means for the cases; sms_ids of the texts that were this process's still."""

        async def work(uow: UnitOfWork) -> set[int]:
            ours = await sms.record(uow.connection, self._node, [text.progress for text in texts])
            if expected := [e for text in texts if text.progress.sms_id in ours for e in text.expected]:
                await sms.expect_receipts(uow.connection, self._link, expected, RECEIPTS_EXPECTED_FOR)
            questions: list[tuple[str, Input]] = []
            for text in texts:
                case_id, progress = text.claimed.case_id, text.progress
                decided = progress.state in (SmsState.ACCEPTED, SmsState.REFUSED)
                if not decided or progress.sms_id not in ours or case_id is None:
                    continue
                outcome = self._outcome(text)
                if text.claimed.priority == Priority.BULK:
                    questions.append((case_id, outcome))
                else:  # the journey does not wait for such a text: its case need not be loaded to journal it
                    accepted = progress.state is SmsState.ACCEPTED
                    name = EventType.TEXT_ACCEPTED if accepted else EventType.TEXT_REFUSED
                    uow.journal([(case_id, Event(name, outcome.detail))])
            await uow.apply(questions)
            return ours

        return await self._transactions.run(work)

    def _outcome(self, text: TextProgress) -> ConfirmAccepted | ReportRefused:
        claimed, progress = text.claimed, text.progress
        kind = Kind(claimed.kind)
        if progress.state is SmsState.REFUSED:
            command_status = text.refused or 0
            refused = TextRefused(claimed.sms_id, kind, self._link, command_status, status.name(command_status))
            return ReportRefused(text=kind, repeat=claimed.repeat, msisdn=claimed.msisdn, detail=refused)
        assert progress.accepted_at is not None, "an accepted text knows when"
        accepted = TextAccepted(claimed.sms_id, kind, self._link, list(progress.message_ids), claimed.attempts)
        return ConfirmAccepted(
            text=kind, repeat=claimed.repeat, msisdn=claimed.msisdn, at=progress.accepted_at, detail=accepted
        )
