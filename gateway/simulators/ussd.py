"""A handset in a USSD dialogue with the ESME (SMPP 3.4 §5.3.2.43–44)."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.simulators import text_coding
from gateway.simulators.codec import TLV_TAGS
from gateway.simulators.observable import WITHIN_SECONDS, Observable
from gateway.simulators.submission import Submitted

OP, SESSION = TLV_TAGS["ussd_service_op"], TLV_TAGS["its_session_info"]
PSSR_INDICATION, USSR_REQUEST, PSSD_RESPONSE, PSSR_RESPONSE, USSR_CONFIRM, ABORT = 1, 2, 16, 17, 18, 129

Send = Callable[[dict[str, Any]], Awaitable[int]]


class Dialogue:
    """One dialogue of one handset; `screens` are those it was shown, oldest first."""

    def __init__(
        self, smsc: Observable, number: str, session: int, send: Send, session_info: bytes | None
    ) -> None:
        self.number = number
        self.screens: list[str] = []
        self.ended = False
        self.status = 0
        """command_status of the last deliver_sm_resp."""
        self._smsc = smsc
        self._send = send
        self._session, self._messages, self._fixed = session, 0, session_info
        self._read = 0
        self.session_info = b""
        """its_session_info of the handset's latest message: the next screen has to echo it."""

    async def screen(self, *, within: float = WITHIN_SECONDS) -> str:
        """The next screen that was not read yet."""
        screen = await self._smsc.wait_for(
            lambda: self.screens[self._read] if len(self.screens) > self._read else None, within=within
        )
        self._read += 1
        return screen

    async def reply(self, text: str, *, encoding: str = "auto", data_coding: int | None = None) -> int:
        """Sends the text as the reply to the screen; the command_status of the response."""
        return await self.send(USSR_CONFIRM, text, encoding=encoding, data_coding=data_coding)

    async def abort(self) -> int:
        """Ends the dialogue from the handset; the command_status of the response."""
        status = await self.send(ABORT, "")
        self.ended = True
        return status

    async def send(self, op: int, text: str, *, encoding: str = "auto", data_coding: int | None = None) -> int:
        """Sends a message of the dialogue with any ussd_service_op; the command_status of the response."""
        coding, octets = text_coding.encode(text, encoding)
        self._messages += 1
        own = bytes((self._session & 0xFF, self._messages << 1 & 0xFF))
        self.session_info = own if self._fixed is None else self._fixed
        content = {
            "service_type": "USSD",
            "data_coding": coding if data_coding is None else data_coding,
            "short_message": octets,
            "tlvs": {OP: bytes((op,)), SESSION: self.session_info},
        }
        self.status = await self._send(content)
        return self.status

    def show(self, submit: Submitted) -> str:
        """Shows the ESME's screen; what is wrong with it, "" if nothing."""
        op = int.from_bytes(submit.tlvs[OP], "big")
        self.screens.append(submit.text or "")
        self.ended = op != USSR_REQUEST
        if op not in (USSR_REQUEST, PSSR_RESPONSE, PSSD_RESPONSE):
            return f"ussd_service_op {op} is no screen"
        if submit.service_type != "USSD":
            return f"a screen of service_type {submit.service_type!r}"
        return "a screen that asks for a receipt" if submit.registered_delivery & 0x1F else ""


def is_screen(submit: Submitted) -> bool:
    """Whether the submit_sm belongs to a USSD dialogue."""
    return OP in submit.tlvs


class Dialogues:
    """All dialogues so far, by MSISDN."""

    def __init__(self) -> None:
        self._by_number: dict[str, list[Dialogue]] = {}

    def begin(self, smsc: Observable, number: str, send: Send, session_info: bytes | None) -> Dialogue:
        dialogues = self._by_number.setdefault(number, [])
        dialogues.append(Dialogue(smsc, number, len(dialogues) + 1, send, session_info))
        return dialogues[-1]

    def latest(self, number: str) -> Dialogue:
        """The dialogue that this number began last; KeyError when it began none."""
        return self._by_number[number][-1]

    def show(self, submit: Submitted) -> str:
        """Shows the screen in the dialogue whose session info it echoes; what is wrong with it, "" if nothing."""
        echoed = submit.tlvs.get(SESSION, b"")
        for dialogue in self._by_number.get(submit.destination, []):
            if not dialogue.ended and dialogue.session_info == echoed:
                return dialogue.show(submit)
        return f"a screen for no open dialogue: its_session_info {echoed.hex() or 'missing'}"
