"""Texts being sent: claimed from their rows, and the SMSC's responses written back."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.clock import Clock
from gateway.consent.deadlines import Calendar
from gateway.consent.details import TextAccepted, TextRefused, TextWithoutResponse
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import ConfirmAccepted, Input, ReportRefused
from gateway.consent.texts import Kind
from gateway.smpp import status
from gateway.store import nodes, outbox, sms
from gateway.store.database import Database
from gateway.store.outbox import Priority
from gateway.store.sms import ClaimedSms, ExpectedReceipt, Released, SmsProgress, SmsState
from gateway.store.templates import TemplateBodies
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

RECEIPTS_EXPECTED_FOR = timedelta(days=3)


class TextProgress(NamedTuple):
    """The progress of a text since it was claimed or last written."""

    claimed: ClaimedSms
    progress: SmsProgress
    expected: Sequence[ExpectedReceipt]  # of the segments accepted since then
    refused: int | None  # the command_status of a permanent refusal; None: it was given up without a response


class SentTexts:
    """The use case of the texts of one link."""

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
        """`fallback_for` are links whose texts this one sends after they were down for `down_after_seconds`."""
        self._transactions = transactions
        self._database = database
        self._node = node
        self._clock = clock
        self._calendar = calendar
        self._link = link
        self._fallback_for = fallback_for
        self._down_after_seconds = down_after_seconds
        self._templates = TemplateBodies()

    def now(self) -> datetime:
        """The current business time."""
        return self._clock.now()

    def in_window(self) -> bool:
        """Whether requests and repeats may be sent now."""
        return self._calendar.in_window(self._clock.now())

    async def claim(self, *, bulk: bool, limit: int) -> list[ClaimedSms]:
        """Up to `limit` texts claimed by this process, urgent ones first; `bulk` False claims urgent ones only."""
        async with self._database.acquire() as connection:
            others: list[str] = []
            if self._fallback_for:
                others = await nodes.down_links(connection, self._fallback_for, self._down_after_seconds)
            return await sms.claim(
                connection,
                self._node,
                self._link,
                others=others,
                bulk=bulk,
                limit=limit,
                waits_end_at=self._clock.waits_end_at(),
                templates=self._templates,
            )

    async def still_claimed(self, sms_ids: Collection[int]) -> set[int]:
        """Those of the texts that this process still has claimed."""
        async with self._database.acquire() as connection:
            return await sms.still_claimed(connection, self._node, sms_ids)

    async def release(self, texts: Sequence[Released]) -> None:
        """Puts claimed texts back into the queue."""
        async with self._database.acquire() as connection:
            await sms.release(connection, self._node, texts)

    async def accept_late(self, segments: Mapping[int, int], expected: Sequence[ExpectedReceipt]) -> None:
        """Notes segments (a mask by sms_id) of released texts that the SMSC has accepted, and their receipts."""

        async def work(uow: UnitOfWork) -> None:
            await outbox.accept_late(uow.connection, segments)
            await sms.expect_receipts(uow.connection, self._link, expected, RECEIPTS_EXPECTED_FOR)

        await self._transactions.run(work)

    async def release_others(self, held: Collection[int]) -> None:
        """Releases the link's texts that this process has claimed, except those in memory (`held`, by sms_id)."""
        async with self._database.acquire() as connection:
            await sms.release_others(connection, self._node, self._link, held)

    async def record(self, texts: Sequence[TextProgress]) -> set[int]:
        """The sms_ids that this process still had claimed; their progress and its effects are committed."""

        async def work(uow: UnitOfWork) -> set[int]:
            owned = await sms.record(uow.connection, self._node, [text.progress for text in texts])
            if expected := [e for text in texts if text.progress.sms_id in owned for e in text.expected]:
                await sms.expect_receipts(uow.connection, self._link, expected, RECEIPTS_EXPECTED_FOR)
            questions: list[tuple[str, Input]] = []
            for text in texts:
                case_id, progress = text.claimed.case_id, text.progress
                decided = progress.state in (SmsState.ACCEPTED, SmsState.REFUSED)
                if not decided or progress.sms_id not in owned or case_id is None:
                    continue
                outcome = self._outcome(text)
                if text.claimed.priority == Priority.BULK:
                    questions.append((case_id, outcome))
                else:  # no decision depends on an urgent text: it is journaled without loading its case
                    accepted = progress.state is SmsState.ACCEPTED
                    name = EventType.TEXT_ACCEPTED if accepted else EventType.TEXT_REFUSED
                    uow.journal([(case_id, Event(name, outcome.detail))])
            await uow.apply(questions)
            return owned

        return await self._transactions.run(work)

    def _outcome(self, text: TextProgress) -> ConfirmAccepted | ReportRefused:
        claimed, progress = text.claimed, text.progress
        kind = Kind(claimed.kind)
        if progress.state is SmsState.REFUSED:
            refused: TextRefused | TextWithoutResponse
            if (command_status := text.refused) is None:
                refused = TextWithoutResponse(claimed.sms_id, kind, self._link, "outcome_unknown")
            else:
                name = status.name(command_status)
                refused = TextRefused(claimed.sms_id, kind, self._link, command_status, name)
            return ReportRefused(text=kind, repeat=claimed.repeat, msisdn=claimed.msisdn, detail=refused)
        assert progress.accepted_at is not None, "an accepted text has accepted_at"
        accepted = TextAccepted(claimed.sms_id, kind, self._link, list(progress.message_ids), claimed.attempts)
        return ConfirmAccepted(
            text=kind, repeat=claimed.repeat, msisdn=claimed.msisdn, at=progress.accepted_at, detail=accepted
        )
