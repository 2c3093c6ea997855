"""The parents: each reads on the handset what a person can read there, thinks, and writes as the script says."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from gateway.demo.cast import Cast, Child, Family
from gateway.demo.clock import ObservedClock
from gateway.demo.roles import Network, Reaction, Text
from gateway.simulators.smsc import Message, SmscSimulator

BREATH = 2.5
"""Real seconds between two replies of a handset: the same octets within 2 are taken for one, delivered twice."""

_WORDS = {
    Text.REQUEST: ("тегін тамақтану қарастырылған", "предусмотрено бесплатное питание"),
    Text.AGREED: ("оң өңделді", "успешно обработано"),
    Text.REFUSED: ("бас тарттыңыз", "отказались от услуги"),
    Text.CLARIFY: ("түсініксіз", "не понят"),
}


class Exchange(NamedTuple):
    """A text on a handset (`to_parent`) or a reply from one."""

    family: Family
    to_parent: bool
    text: str


class Parents:
    """Everybody with a handset. `tell` hears every exchange."""

    def __init__(
        self,
        cast: Cast,
        networks: dict[str, SmscSimulator],
        clock: ObservedClock,
        tell: Callable[[Exchange], None],
        before_reply: Callable[[Family], None],
    ) -> None:
        self._cast = cast
        self._networks = networks
        self._clock = clock
        self._tell = tell
        self._before_reply = before_reply
        self._dice = random.Random(1414)
        self._asked_about: dict[Family, Child] = {}
        self._wrote_at: dict[Family, float] = {}
        self.surprises: list[str] = []
        """Texts that no parent can have expected."""
        for operator, network in networks.items():
            network.on_message = lambda message, operator=operator: self._reads(operator, message)

    def _reads(self, operator: str, message: Message) -> None:
        family = self._cast.by_msisdn.get(message.destination)
        if family is None:
            self.surprises.append(f"a text to {message.destination}, who is nobody's parent")
            return
        if family.role.network is Network.LOSES:
            return
        if family.operator != operator:
            self.surprises.append(f"{message.destination} is {family.operator}'s, the text came by {operator}")
        self._tell(Exchange(family, to_parent=True, text=message.text))
        text = next((text for text, words in _WORDS.items() if any(word in message.text for word in words)), None)
        child = self._child_named(family, message.text) if text is Text.REQUEST else self._asked_about.get(family)
        if text is None or child is None:
            self.surprises.append(f"{message.destination} cannot make out: {message.text}")
            return
        self._asked_about[family] = child
        child.seen.append(text)
        for reaction in child.script.reactions:
            if reaction.to is text and reaction.nth == child.seen.count(text):
                self._networks[operator].start(self._reply(family, reaction))

    def _child_named(self, family: Family, text: str) -> Child | None:
        """The child that a request is about; it must name the one who is asked, too."""
        if family.recipient is None or family.recipient.full_name not in text:
            return None
        return next((child for child in family.children if child.pupil.full_name in text), None)

    async def _reply(self, family: Family, reaction: Reaction) -> None:
        await asyncio.sleep(self._clock.seconds(reaction.after + self._dice.random() * reaction.hesitation))
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._wrote_at.get(family, 0.0) + BREATH)
        self._wrote_at[family] = at
        await asyncio.sleep(at - loop.time())
        words = reaction.say[family.number % len(reaction.say)]
        self._before_reply(family)
        self._tell(Exchange(family, to_parent=False, text=words))
        half = len(words) // 2
        network = self._networks[family.operator]
        assert family.msisdn is not None, "who was asked has a number"
        for _ in range(reaction.copies):
            await network.reply(
                family.msisdn, [words[:half], words[half:]] if reaction.cut else words, insist=True, within=60
            )
