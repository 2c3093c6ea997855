"""The parents: they read complete messages on their handsets and reply, each with a behaviour of its own.

Every reply is recorded before it is sent and again when the gateway has acknowledged it (deliver_sm_resp, status
0). Replies of one number never have the same octets, so that the audit can tell them apart.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chaos.families import Behaviour, Families, Pupil
from gateway.simulators.handset import Message
from gateway.simulators.smsc import SmscSimulator

AGREE = ("3#1", "3 # 1", "(3#1)", "3#1!", "«3#1»", '"3#1"')
REFUSE = ("3#2", "3 # 2", "(3#2)", "3#2!", "«3#2»", '"3#2"')
"""Clear replies; the first two forms are about the first child of a number, and so on."""
UNCLEAR = ("жоқ па?", "иә", "кім бұл")
LINK = "socwallet"
"""A word that is in text 3 only."""
CLARIFICATION = "түсініксіз"
"""A word that is in the clarification only."""
MAX_REPLY_DELAY_SECONDS = 2.0
REPLY_TIMEOUT_SECONDS = 600.0
"""How long an SMSC tries to deliver a reply."""


@dataclass(slots=True, eq=False)
class Sent:
    """A reply; instants are monotonic seconds. `pupil` None: the sender was not asked."""

    number: str
    segments: Sequence[str]
    pupil: Pupil | None
    agrees: bool | None  # None: unclear
    sent_at: float
    acked_at: float | None = None

    @property
    def text(self) -> str:
        return "".join(self.segments)


class Parents:
    """All parents."""

    def __init__(
        self, families: Families, smscs: Mapping[str, SmscSimulator], seed: int, over_after: float
    ) -> None:
        """`over_after`: seconds after which every question has ended."""
        self.sent: list[Sent] = []
        self._rng = random.Random(seed)
        self._smscs = smscs
        self._over_after = over_after
        self._children: defaultdict[str, list[Pupil]] = defaultdict(list)
        for pupil in families.pupils:
            if pupil.number is not None:
                self._children[pupil.number].append(pupil)
        self._at_first_segment = {
            p.number: p for p in families.pupils if p.behaviour is Behaviour.AT_FIRST_SEGMENT
        }
        self._asked: dict[Pupil, int] = {}
        self._clarified: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.ended: dict[tuple[str, int], float] = {}
        """The instant at which each session (link, number) ended."""
        for link, smsc in smscs.items():
            smsc.on_message = self._read
            smsc.on_event = partial(self._handle_event, link)

    def pending(self) -> int:
        """How many replies are not acknowledged yet."""
        return len(self._tasks)

    def stray(self, number: str, link: str) -> None:
        """Sends an agreement from a number that was not asked."""
        self._start(self._send(number, link, AGREE[0], None, True, 0.0))

    def _read(self, message: Message) -> None:
        children = self._children[message.destination]
        for pupil in children:
            if pupil.full_name in message.text and AGREE[0] in message.text:
                self._asked[pupil] = self._asked.get(pupil, 0) + 1
                self._start(self._react(pupil, self._asked[pupil]))
        if CLARIFICATION in message.text and message.destination not in self._clarified:
            self._clarified.add(message.destination)
            if children[0].behaviour is Behaviour.UNCLEAR_THEN_AGREES:
                self._start(self._send_all(children[0], (AGREE[0], True, self._delay())))

    def _handle_event(self, link: str, event: str, detail: Mapping[str, Any]) -> None:
        """Records ended sessions; sends the replies that do not wait for the complete message, once each."""
        if event == "disconnected":
            self.ended[link, detail["session"]] = asyncio.get_running_loop().time()
        if event == "submitted" and detail["segment"].startswith("1/"):  # noqa: SIM102
            if pupil := self._at_first_segment.pop(detail["to"], None):
                self._start(self._send_all(pupil, (AGREE[0], True, 0.0)))

    async def _react(self, pupil: Pupil, nth: int) -> None:
        """Sends the replies to the nth request about this pupil."""
        agree, other_agree = AGREE[2 * pupil.child : 2 * pupil.child + 2]
        refuse = REFUSE[2 * pupil.child]
        soon, later = self._delay(), self._delay() + MAX_REPLY_DELAY_SECONDS
        match pupil.behaviour:
            case Behaviour.AGREES if nth == 1:
                await self._send_all(pupil, (agree, True, soon))
            case Behaviour.REFUSES if nth == 1:
                await self._send_all(pupil, (refuse, False, soon))
            case Behaviour.AT_REPEAT if nth == 2:
                await self._send_all(pupil, (agree, True, soon))
            case Behaviour.UNCLEAR if nth <= 2:
                await self._send_all(pupil, (UNCLEAR[nth - 1], None, soon))
            case Behaviour.UNCLEAR_THEN_AGREES if nth == 1:
                await self._send_all(pupil, (UNCLEAR[2], None, soon))
            case Behaviour.TWICE if nth == 1:
                await self._send_all(pupil, (agree, True, soon), (other_agree, True, later))
            case Behaviour.AGREES_THEN_REFUSES if nth == 1:
                await self._send_all(pupil, (agree, True, soon), (refuse, False, later))
            case Behaviour.REFUSES_THEN_AGREES if nth == 1:
                await self._send_all(pupil, (refuse, False, soon), (agree, True, later))
            case Behaviour.TWO_SEGMENTS if nth == 1:
                await self._send_all(pupil, (["3#", "1"], True, soon))
            case Behaviour.LATE if nth == 1:
                await self._send_all(pupil, (agree, True, self._over_after))

    async def _send_all(self, pupil: Pupil, *replies: tuple[str | Sequence[str], bool | None, float]) -> None:
        """Sends replies in order, each its delay after the previous one was acknowledged."""
        assert pupil.number is not None
        assert pupil.link is not None
        for text, agrees, delay in replies:
            await self._send(pupil.number, pupil.link, text, pupil, agrees, delay)

    async def _send(
        self,
        number: str,
        link: str,
        text: str | Sequence[str],
        pupil: Pupil | None,
        agrees: bool | None,
        delay: float,
    ) -> None:
        await asyncio.sleep(delay)
        clock = asyncio.get_running_loop().time
        content = text if isinstance(text, str) else list(text)
        sent = Sent(number, [content] if isinstance(content, str) else content, pupil, agrees, clock())
        self.sent.append(sent)
        await self._smscs[link].reply(number, content, until_accepted=True, within=REPLY_TIMEOUT_SECONDS)
        sent.acked_at = clock()

    def _delay(self) -> float:
        return self._rng.uniform(0.0, MAX_REPLY_DELAY_SECONDS)

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failures.append(error)
