"""Texts that transactions of this process have claimed themselves, on their way into a link's send queue.

A transaction reserves room, and hands its texts over after the commit. Where a COMMIT was not confirmed, rows may
be claimed by this process that are not in memory: unheld claims. To the database, texts of a transaction that is
about to commit look the same, so unheld claims are looked for while nothing is reserved.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.store.outbox import NewSms, Priority
from gateway.store.sms import ClaimedSms


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What the sender offers for it."""

    has_room: Callable[[Priority], bool]
    """Whether it takes another text of this priority now, besides those that have room."""
    refused: Callable[[Priority], None]
    """Notes that a text of this priority will be queued."""
    add: Callable[[ClaimedSms], None]
    pump: Callable[[], None]
    wake: Callable[[], None]
    """Wakes the task that claims texts, and looks for unheld claims."""
    unsent_questions: set[str]
    """As in SendingState."""


class Arrivals:
    """Those of one link; implements `usecases.immediate_texts.LinkSender`."""

    def __init__(self, queue: Queue, review_seconds: float) -> None:
        """`review_seconds` is the interval at which unheld claims are looked for."""
        self._queue = queue
        self._review_seconds = review_seconds
        self._loop = asyncio.get_running_loop()
        self._reserved = dict.fromkeys(Priority, 0)
        self._settled = asyncio.Event()  # nothing is reserved
        self._settled.set()
        self._arrived: list[ClaimedSms] = []  # committed, not in the queue yet
        self._questions: set[str] = set()  # case_ids that reservations have added to unsent_questions
        self._caught_up: set[Priority] = set()  # of these the database had no more at the last claim
        self._has_unheld = True
        self._reviewing = False  # unheld claims are looked for; nothing is reserved meanwhile
        self._reviewed_at = -math.inf

    def reserved(self, priority: Priority) -> int:
        """The room kept for texts of this priority: segments of bulk texts, a number of urgent ones."""
        return self._reserved[priority]

    def claimed(self, rows: Sequence[ClaimedSms], limit: int, *, bulk: bool) -> None:
        """Notes a claim of at most `limit` texts; `bulk` False: of urgent ones only."""
        if len(rows) < limit:
            self._caught_up |= set(Priority) if bulk else {Priority.URGENT}
        elif rows[-1].priority == Priority.URGENT:
            self._caught_up.clear()
        else:
            self._caught_up.discard(Priority.BULK)

    # --- for transactions ----------------------------------------------------------------------------------

    def reserve(self, text: NewSms) -> bool:
        """See LinkSender. No text goes before others that are known to be queued."""
        kind, unsent = text.priority, self._queue.unsent_questions
        if self._reviewing or kind not in self._caught_up or not self._queue.has_room(kind):
            self._caught_up.discard(kind)
            self._queue.refused(kind)
            return False
        self._reserved[kind] += _room_of(text)
        self._settled.clear()
        if kind is Priority.BULK and text.case_id not in unsent:
            unsent.add(text.case_id)
            self._questions.add(text.case_id)
        return True

    def add(self, texts: Sequence[ClaimedSms]) -> None:
        """See LinkSender."""
        self._arrived += texts
        self._loop.call_soon(self._take)  # an error here must not be one of the transaction

    def abandon(self, texts: Sequence[NewSms], *, written: bool) -> None:
        """See LinkSender."""
        self._give_back(texts)
        if written:  # until they have been looked for, the questions count as unsent
            self._note_unheld()
        else:
            self._forget_questions({text.case_id for text in texts})
        self._queue.pump()

    def _take(self) -> None:
        arrived, self._arrived = self._arrived, []
        self._questions.difference_update(row.case_id or "" for row in arrived)  # now the queue's
        try:
            for row in arrived:
                self._queue.add(row)
        except Exception:
            self._note_unheld()
            raise
        finally:
            self._give_back(arrived)
        self._queue.pump()

    def _give_back(self, texts: Iterable[NewSms | ClaimedSms]) -> None:
        for text in texts:
            self._reserved[Priority(text.priority)] -= _room_of(text)
        if not any(self._reserved.values()):
            self._settled.set()

    async def settled(self) -> None:
        """Returns when nothing is reserved."""
        await self._settled.wait()

    # --- unheld claims -------------------------------------------------------------------------------------

    def _note_unheld(self) -> None:
        self._has_unheld = True
        self._queue.wake()

    @property
    def is_review_due(self) -> bool:
        """Whether unheld claims are to be looked for."""
        return self._has_unheld or self._reviewing or time.monotonic() >= self._reviewed_at + self._review_seconds

    def begin_review(self) -> bool:
        """Whether they can be looked for now, else later; nothing more is reserved until `reviewed`."""
        self._reviewing = True
        if not self._settled.is_set():
            return False
        self._has_unheld = False
        return True

    def reviewed(self) -> None:
        """Notes that all unheld claims are queued again."""
        self._forget_questions(set(self._questions))
        self._reviewing, self._reviewed_at = False, time.monotonic()

    def expect_unheld(self) -> None:
        """Has unheld claims looked for: a claim may have been committed without confirmation."""
        self._has_unheld = True

    def _forget_questions(self, case_ids: set[str]) -> None:
        forgotten = self._questions & case_ids
        self._questions -= forgotten
        self._queue.unsent_questions.difference_update(forgotten)


def _room_of(text: NewSms | ClaimedSms) -> int:
    return text.segments if text.priority == Priority.BULK else 1
