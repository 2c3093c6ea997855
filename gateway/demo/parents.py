"""The parents: they read the texts on their handsets and reply as their scenarios say."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from gateway.demo.clock import ObservedClock
from gateway.demo.families import Child, Families, Family
from gateway.demo.model import Delivery, ScriptedReply, Text
from gateway.simulators.handset import Message
from gateway.simulators.smsc import SmscSimulator

REPLY_PAUSE_SECONDS = 2.5
"""The pause between two replies of a handset: the same octets within 2 s are one reply delivered twice."""
REPLY_TIMEOUT_SECONDS = 60.0
SEED = 1414

_MARKERS = {
    Text.REQUEST: ("тегін тамақтану қарастырылған", "предусмотрено бесплатное питание"),
    Text.AGREED: ("оң өңделді", "успешно обработано"),
    Text.REFUSED: ("бас тарттыңыз", "отказались от услуги"),
    Text.CLARIFY: ("түсініксіз", "не понят"),
}
"""Words of the Kazakh and the Russian text, by which a parent recognises it."""


class Exchange(NamedTuple):
    """A text on a handset (`to_parent`) or a reply from it."""

    family: Family
    to_parent: bool
    text: str


class Parents:
    """All parents. `on_exchange` is called with every exchange, `before_reply` before every reply."""

    def __init__(
        self,
        families: Families,
        smscs: dict[str, SmscSimulator],
        clock: ObservedClock,
        on_exchange: Callable[[Exchange], None],
        before_reply: Callable[[Family], None],
    ) -> None:
        self._families = families
        self._smscs = smscs
        self._clock = clock
        self._on_exchange = on_exchange
        self._before_reply = before_reply
        self._random = random.Random(SEED)
        self._asked_about: dict[Family, Child] = {}
        self._last_reply_at: dict[Family, float] = {}
        self.unexpected: list[str] = []
        """Texts that no parent should have got."""
        for operator, smsc in smscs.items():
            smsc.on_message = lambda message, operator=operator: self._read(operator, message)

    def leave(self) -> None:
        """They read and reply no more."""
        for smsc in self._smscs.values():
            smsc.on_message = None

    def _read(self, operator: str, message: Message) -> None:
        family = self._families.by_msisdn.get(message.destination)
        if family is None:
            self.unexpected.append(f"a text to {message.destination}, a number of no family")
            return
        if family.kind.delivery is Delivery.LOST:
            return
        if family.operator != operator:
            self.unexpected.append(
                f"{message.destination} is of {family.operator}, the text was sent through {operator}"
            )
        self._on_exchange(Exchange(family, to_parent=True, text=message.text))
        text = next(
            (text for text, words in _MARKERS.items() if any(word in message.text for word in words)), None
        )
        child = self._child_named(family, message.text) if text is Text.REQUEST else self._asked_about.get(family)
        if text is None or child is None:
            self.unexpected.append(f"{message.destination} got an unknown text: {message.text}")
            return
        self._asked_about[family] = child
        child.seen.append(text)
        for reply in child.scenario.replies:
            if reply.to is text and reply.nth == child.seen.count(text):
                self._smscs[operator].start(self._send(family, reply))

    def _child_named(self, family: Family, text: str) -> Child | None:
        """The child that a request names; it must name the person who is asked, too."""
        if family.recipient is None or family.recipient.full_name not in text:
            return None
        return next((child for child in family.children if child.pupil.full_name in text), None)

    async def _send(self, family: Family, reply: ScriptedReply) -> None:
        await asyncio.sleep(self._clock.seconds(reply.after + self._random.random() * reply.spread))
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._last_reply_at.get(family, 0.0) + REPLY_PAUSE_SECONDS)
        self._last_reply_at[family] = at
        await asyncio.sleep(at - loop.time())
        text = reply.texts[family.number % len(reply.texts)]
        self._before_reply(family)
        self._on_exchange(Exchange(family, to_parent=False, text=text))
        half = len(text) // 2
        content = [text[:half], text[half:]] if reply.in_two_segments else text
        assert family.msisdn is not None, "a family that is asked has a number"
        for _ in range(reply.copies):
            await self._smscs[family.operator].reply(
                family.msisdn, content, until_accepted=True, within=REPLY_TIMEOUT_SECONDS
            )
