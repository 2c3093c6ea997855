"""The telephones on the page: the texts as a parent sees them, what was sent from them, and USSD dialogues."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.simulators.handset import Message
from gateway.simulators.playground.rejected import RejectedAct, Rejection
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.smsc_session import NoResponse
from gateway.simulators.ussd import Dialogue

MAX_SHOWN = 50
"""The number of telephones on the page: those with the latest messages."""
MAX_MESSAGES = 40
"""The latest messages of one telephone."""
MAX_TEXT_CHARACTERS = 1000
_NOT_DELIVERED = ("undeliverable", "expired", "rejected", "deleted")
_KAZAKH = re.compile("[әғқңөұүһі]", re.IGNORECASE)
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)

BusinessTime = Callable[[float], datetime | None]
"""The business instant of a monotonic one; None while it is not known."""


@dataclass(slots=True, eq=False)
class Sent:
    """A message from a telephone; `at` is monotonic seconds."""

    text: str
    at: float
    failed: bool = False
    """Whether no session of the operator accepted it."""


@dataclass(slots=True, eq=False)
class _Telephone:
    operator: str
    name: str = ""
    sent: list[Sent] = field(default_factory=list)
    closed: Dialogue | None = None
    """The dialogue whose screen the visitor has closed."""


class Telephones:
    """All telephones of these operators. `send_seconds` is how long a telephone tries to send."""

    def __init__(
        self, smscs: Mapping[str, SmscSimulator], business_time: BusinessTime, send_seconds: float
    ) -> None:
        self._smscs = smscs
        self._business_time = business_time
        self._send_seconds = send_seconds
        self._telephones: dict[str, _Telephone] = {}
        self._latest: dict[str, None] = {}
        """The numbers that are shown, the one with the latest message last."""

    def introduce(self, number: str, operator: str, name: str, *, show: bool) -> None:
        """Whose number it is; without `show` it is shown once it has a message."""
        self._telephones[number] = _Telephone(operator, name)
        if show:
            self._latest[number] = None

    def received(self, number: str, operator: str) -> None:
        """A message has arrived by this operator."""
        self._telephones.setdefault(number, _Telephone(operator)).operator = operator
        self._latest.pop(number, None)
        self._latest[number] = None

    def note_sent(self, number: str, text: str) -> Sent:
        """Shows what the telephone sends."""
        sent = Sent(text, asyncio.get_running_loop().time())
        self._telephones[number].sent.append(sent)
        return sent

    @property
    def shown(self) -> list[str]:
        """The numbers on the page, the one with the latest message first."""
        return list(reversed(self._latest))[:MAX_SHOWN]

    def state(self, number: str) -> dict[str, Any]:
        """What the page shows of one telephone."""
        telephone = self._telephones[number]
        smsc = self._smscs[telephone.operator]
        received = [
            message
            for message in smsc.inbox(number)[-MAX_MESSAGES:]
            if not any(segment.state in _NOT_DELIVERED for segment in message.segments.values())
        ]
        found = [(message.last.at, self._received(message)) for message in received]
        found += [(sent.at, self._sent(sent)) for sent in telephone.sent[-MAX_MESSAGES:]]
        return {
            "number": number,
            "name": telephone.name,
            "operator": telephone.operator,
            "messages": [shown for _, shown in sorted(found, key=lambda one: one[0])][-MAX_MESSAGES:],
            "dialogue": self._dialogue(smsc, number),
        }

    # What a telephone does

    async def send(self, number: str, text: str) -> None:
        """Sends a message to the short code, as the operator delivers it: until a session has accepted it."""
        smsc = self._smsc(number)
        sent = self.note_sent(number, text)
        try:
            await smsc.reply(number, text, until_accepted=True, within=self._send_seconds)
        except (TimeoutError, NoResponse):
            sent.failed = True
            raise RejectedAct(Rejection.NOT_BOUND) from None

    async def dial(self, number: str, code: str) -> None:
        """Begins a USSD dialogue; one that is open is ended."""
        smsc = self._smsc(number)
        await self.hang_up(number)
        await self._in_network(smsc.dial(number, code, within=self._send_seconds))

    async def type(self, number: str, text: str) -> None:
        """Replies to the screen of the open dialogue."""
        smsc = self._smsc(number)
        dialogue = self._latest_dialogue(smsc, number)
        if dialogue is None or dialogue.ended:
            raise RejectedAct(Rejection.NO_DIALOGUE)
        await self._in_network(dialogue.reply(text))

    async def hang_up(self, number: str) -> None:
        """Closes the dialogue's screen, and ends the dialogue if it is open."""
        smsc = self._smsc(number)
        dialogue = self._latest_dialogue(smsc, number)
        self._telephones[number].closed = dialogue
        if dialogue and not dialogue.ended:
            dialogue.ended = True
            await self._in_network(dialogue.abort())

    @staticmethod
    async def _in_network(work: Awaitable[object]) -> None:
        try:
            await work
        except (TimeoutError, NoResponse):
            raise RejectedAct(Rejection.NOT_BOUND) from None

    def _smsc(self, number: str) -> SmscSimulator:
        if number not in self._telephones:
            raise RejectedAct(Rejection.NO_TELEPHONE)
        smsc = self._smscs[self._telephones[number].operator]
        if smsc.is_down:
            raise RejectedAct(Rejection.OPERATOR_BROKEN)
        return smsc

    @staticmethod
    def _latest_dialogue(smsc: SmscSimulator, number: str) -> Dialogue | None:
        try:
            return smsc.dialogues.latest(number)
        except KeyError:
            return None

    # What the page shows

    def _received(self, message: Message) -> dict[str, Any]:
        return self._shown(message.text, message.last.at, mine=False, segments=message.total)

    def _sent(self, sent: Sent) -> dict[str, Any]:
        return self._shown(sent.text, sent.at, mine=True, failed=sent.failed)

    def _shown(self, text: str, at: float, **more: Any) -> dict[str, Any]:
        moment = self._business_time(at)
        time = moment.isoformat(timespec="seconds") if moment else None
        return {"text": text, "at": time, "language": language_of(text), **more}

    def _dialogue(self, smsc: SmscSimulator, number: str) -> dict[str, Any] | None:
        """The screen of the latest dialogue, and whether it waits for a reply; None once it is closed."""
        dialogue = self._latest_dialogue(smsc, number)
        if dialogue is None or dialogue is self._telephones[number].closed:
            return None
        screen = dialogue.screens[-1] if dialogue.screens else ""
        return {"screen": screen, "open": not dialogue.ended, "language": language_of(screen)}


def language_of(text: str) -> str | None:
    """kk or ru as the letters say, for who hears the text read out; None for neither."""
    if _KAZAKH.search(text):
        return "kk"
    return "ru" if _CYRILLIC.search(text) else None
