"""The parents: they read what is whole on their handsets and answer it, each in a manner of its own.

Every reply is noted before it leaves and again when the gateway has acknowledged it (deliver_sm_resp, status 0).
Replies of one number never have the same octets, so that the audit can tell them apart.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chaos.families import Families, Manner, Pupil
from gateway.simulators.smsc import Message, SmscSimulator

AGREE = ("3#1", "3 # 1", "(3#1)", "3#1!", "«3#1»", '"3#1"')
REFUSE = ("3#2", "3 # 2", "(3#2)", "3#2!", "«3#2»", '"3#2"')
"""Clear replies; a number's first child gets the first forms."""
UNCLEAR = ("жоқ па?", "иә", "кім бұл")
LINK = "socwallet"
"""Words of the texts by which a parent knows them."""
CLARIFICATION = "түсініксіз"
QUICK = 2.0
INSIST_FOR = 600.0
"""Seconds for which an SMSC tries to deliver a reply."""


@dataclass(slots=True, eq=False)
class Sent:
    """A reply; instants are monotonic seconds. `pupil` None: nobody has asked its sender."""

    number: str
    text: str
    pupil: Pupil | None
    agrees: bool | None  # None: unclear
    sent_at: float
    acked_at: float | None = None


class Parents:
    """All of them."""

    def __init__(
        self, families: Families, smscs: Mapping[str, SmscSimulator], seed: int, over_after: float
    ) -> None:
        """`over_after`: seconds after which a question is surely over."""
        self.sent: list[Sent] = []
        self._dice = random.Random(seed)
        self._smscs = smscs
        self._over_after = over_after
        self._children: defaultdict[str, list[Pupil]] = defaultdict(list)
        for pupil in families.pupils:
            if pupil.number is not None:
                self._children[pupil.number].append(pupil)
        self._eager = {p.number: p for p in families.pupils if p.manner is Manner.EAGER}
        self._asked: dict[Pupil, int] = {}
        self._clarified: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.ended: dict[tuple[str, int], float] = {}
        """When each session (link, number) ended."""
        for link, smsc in smscs.items():
            smsc.on_message = self._read
            smsc.on_event = partial(self._glance, link)

    def writing(self) -> int:
        """How many parents have something to say still."""
        return len(self._tasks)

    def stray(self, number: str, link: str) -> None:
        """Somebody whom nobody has asked agrees."""
        self._start(self._say(number, link, AGREE[0], None, True, 0.0))

    def _read(self, message: Message) -> None:
        children = self._children[message.destination]
        for pupil in children:
            if pupil.full_name in message.text and AGREE[0] in message.text:
                self._asked[pupil] = self._asked.get(pupil, 0) + 1
                self._start(self._answer(pupil, self._asked[pupil]))
        if CLARIFICATION in message.text and message.destination not in self._clarified:
            self._clarified.add(message.destination)
            if children[0].manner is Manner.SPEAKS_UP:
                self._start(self._speak(children[0], (AGREE[0], True, self._moment())))

    def _glance(self, link: str, event: str, detail: Mapping[str, Any]) -> None:
        """The eager answer when the first segment is there, once."""
        if event == "disconnected":
            self.ended[link, detail["session"]] = asyncio.get_running_loop().time()
        if event == "submitted" and detail["segment"].startswith("1/"):  # noqa: SIM102
            if pupil := self._eager.pop(detail["to"], None):
                self._start(self._speak(pupil, (AGREE[0], True, 0.0)))

    async def _answer(self, pupil: Pupil, nth: int) -> None:
        """What a parent does when the question is on the screen for the nth time."""
        agree, other_agree = AGREE[2 * pupil.child : 2 * pupil.child + 2]
        refuse = REFUSE[2 * pupil.child]
        soon, later = self._moment(), self._moment() + QUICK
        match pupil.manner:
            case Manner.AGREES if nth == 1:
                await self._speak(pupil, (agree, True, soon))
            case Manner.REFUSES if nth == 1:
                await self._speak(pupil, (refuse, False, soon))
            case Manner.WAITS if nth == 2:
                await self._speak(pupil, (agree, True, soon))
            case Manner.MUMBLES if nth <= 2:
                await self._speak(pupil, (UNCLEAR[nth - 1], None, soon))
            case Manner.SPEAKS_UP if nth == 1:
                await self._speak(pupil, (UNCLEAR[2], None, soon))
            case Manner.TWICE if nth == 1:
                await self._speak(pupil, (agree, True, soon), (other_agree, True, later))
            case Manner.WITHDRAWS if nth == 1:
                await self._speak(pupil, (agree, True, soon), (refuse, False, later))
            case Manner.RETURNS if nth == 1:
                await self._speak(pupil, (refuse, False, soon), (agree, True, later))
            case Manner.LONG if nth == 1:
                await self._speak(pupil, (["3#", "1"], True, soon))
            case Manner.LATE if nth == 1:
                await self._speak(pupil, (agree, True, self._over_after))

    async def _speak(self, pupil: Pupil, *replies: tuple[str | Sequence[str], bool | None, float]) -> None:
        """One reply after the other, each so many seconds after the one before was taken."""
        assert pupil.number is not None
        assert pupil.link is not None
        for text, agrees, delay in replies:
            await self._say(pupil.number, pupil.link, text, pupil, agrees, delay)

    async def _say(
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
        sent = Sent(number, "".join(text), pupil, agrees, clock())
        self.sent.append(sent)
        content = text if isinstance(text, str) else list(text)
        await self._smscs[link].reply(number, content, insist=True, within=INSIST_FOR)
        sent.acked_at = clock()

    def _moment(self) -> float:
        return self._dice.uniform(0.0, QUICK)

    def _start(self, saying: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(saying)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failures.append(error)
