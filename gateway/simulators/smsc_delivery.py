"""What the simulated SMSC initiates: replies from handsets, USSD dialogues, delivery receipts, raw octets."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from smpplib import consts

from gateway.simulators import handset, text_coding
from gateway.simulators.observable import Observable
from gateway.simulators.receipts import id_in_form, receipt_fields
from gateway.simulators.smsc_session import Delivered, NoResponse, Session
from gateway.simulators.submission import Submitted
from gateway.simulators.ussd import PSSR_INDICATION, Dialogue, Dialogues

REDELIVERY_PAUSE_SECONDS = 0.2
"""Before a message whose delivery was refused is delivered again."""


class SmscDelivery(Observable):
    """The part of SmscSimulator that sends requests to the ESME."""

    def __init__(self, short_code: str) -> None:
        super().__init__()
        self.short_code = short_code
        self.connections: list[Session] = []
        """Every connection so far, closed ones too, in the order of arrival."""
        self.delivered: list[Delivered] = []
        """Every deliver_sm and data_sm sent, in order."""
        self.on_event: Callable[[str, dict[str, Any]], object] | None = None
        """Called with the name and the details of every event."""
        self.dialogues = Dialogues()
        self._references = count(1)

    async def reply(
        self,
        from_: str,
        text: str | list[str] = "",
        *,
        to: str | None = None,
        encoding: str = "auto",
        octets: bytes | list[bytes] | None = None,
        data_coding: int | None = None,
        long: str = "udh8",
        reference: int | None = None,
        order: Iterable[int] | None = None,
        as_data_sm: bool = False,
        payload: bool = False,
        via: Session | int | None = None,
        until_accepted: bool = False,
        split: int = 0,
        within: float = 10.0,
        **fields: Any,
    ) -> int:
        """Sends a handset's message; the response's command_status, of several segments the first that is not 0.

        A list of texts or octets is one message, a segment an item; a text too long for one segment is split.
        `long` is udh8, udh16 or sar. `order` lists the segments to send, from 1: they may be reordered, repeated
        or left out. `payload` puts the text into message_payload. `encoding` is gsm7, packed, ascii, latin1,
        cyrillic or ucs2; raw `octets` are sent as they are. `until_accepted` delivers again, on other sessions
        too, until the status is 0. `fields` are smpplib's, and `tlvs={name or tag: octets}`. NoResponse when the
        connection closes, TimeoutError after `within` seconds a segment.
        """
        data_coding, segments = text_coding.split(text, octets, encoding, data_coding)
        prepared: list[tuple[dict[str, Any], bytes]] = [({}, segments[0])]
        if len(segments) > 1:
            reference = next(self._references) & 0xFF if reference is None else reference
            prepared = list(handset.concatenated(segments, long, reference))
        statuses = []
        for number in order or range(1, len(prepared) + 1):
            extra, user_data = prepared[number - 1]
            name = "message_payload" if payload or as_data_sm else "short_message"
            content = {
                "source_addr": from_,
                "source_addr_ton": consts.SMPP_TON_INTL,
                "source_addr_npi": consts.SMPP_NPI_ISDN,
                "destination_addr": self.short_code if to is None else to,
                "data_coding": data_coding,
                name: user_data,
                **extra,
                **fields,
            }
            command = "data_sm" if as_data_sm else "deliver_sm"
            statuses.append(
                await self.deliver("reply", command, content, via, until_accepted, within, split=split)
            )
        return next((status for status in statuses if status), 0)

    async def dial(
        self,
        from_: str,
        code: str = "*1414*3#",
        *,
        op: int = PSSR_INDICATION,
        encoding: str = "auto",
        data_coding: int | None = None,
        session_info: bytes | None = None,
        via: Session | int | None = None,
        within: float = 10.0,
    ) -> Dialogue:
        """Dials a USSD code on a handset; the dialogue, once the ESME has responded to the deliver_sm.

        `session_info` is the its_session_info of every message; by default a session number and a counter.
        """

        async def send(content: dict[str, Any]) -> int:
            sender = {
                "source_addr": from_,
                "source_addr_ton": consts.SMPP_TON_INTL,
                "source_addr_npi": consts.SMPP_NPI_ISDN,
                "destination_addr": self.short_code,
            }
            return await self.deliver("ussd", "deliver_sm", {**sender, **content}, via, False, within)

        dialogue = self.dialogues.begin(self, from_, send, session_info)
        await dialogue.send(op, code, encoding=encoding, data_coding=data_coding)
        return dialogue

    async def receipt(
        self,
        message: Submitted | str,
        outcome: str = "delivered",
        *,
        source: str | None = None,
        id_form: str = "same",
        form: str = "both",
        intermediate: bool = False,
        as_data_sm: bool = False,
        via: Session | int | None = None,
        until_accepted: bool = False,
        within: float = 10.0,
        **fields: Any,
    ) -> int:
        """Sends a receipt for a segment, or for any message_id; the command_status of the response.

        `outcome` is a key of receipts.STATES. `fields` override those of the deliver_sm, `short_message` included.
        """
        message_id = message if isinstance(message, str) else id_in_form(message, id_form)
        handset_number = "" if isinstance(message, str) else message.destination
        content = {
            "source_addr": source or handset_number,
            "source_addr_ton": consts.SMPP_TON_INTL,
            "source_addr_npi": consts.SMPP_NPI_ISDN,
            "destination_addr": self.short_code,
            **receipt_fields(message_id, outcome, form=form, intermediate=intermediate),
            **fields,
        }
        if as_data_sm:
            content["message_payload"] = content.pop("short_message", None)
        command = "data_sm" if as_data_sm else "deliver_sm"
        return await self.deliver("receipt", command, content, via, until_accepted, within)

    async def deliver(
        self,
        kind: str,
        command: str,
        content: dict[str, Any],
        via: Session | int | None = None,
        until_accepted: bool = False,
        within: float = 10.0,
        *,
        split: int = 0,
    ) -> int:
        """Sends one deliver_sm or data_sm with these fields; the command_status of its response."""
        async with asyncio.timeout(within):
            while True:
                session = await self._receiver(via, within)
                record = Delivered(
                    kind, asyncio.get_running_loop().time(), session.number, content["source_addr"], content
                )
                self.delivered.append(record)
                self.emit("delivered", session, kind=kind, source=record.source)
                try:
                    response = await session.request(command, split=split, **content)
                except NoResponse:
                    if not until_accepted:
                        raise
                    continue
                record.status, record.responded_at = response.status, asyncio.get_running_loop().time()
                self.emit("acknowledged", session, kind=kind, source=record.source, status=response.status)
                self.changed()
                if response.status == 0 or not until_accepted:
                    return record.status
                await asyncio.sleep(REDELIVERY_PAUSE_SECONDS)

    async def _receiver(self, via: Session | int | None, within: float) -> Session:
        if isinstance(via, Session):
            return via
        if via is not None:
            return self.connections[via - 1]
        return await self.wait_for(
            lambda: next((session for session in self.connections if session.receives), None), within=within
        )

    async def send_raw(self, octets: bytes, *, via: Session | int | None = None, split: int = 0) -> None:
        """Sends octets as they are."""
        (await self._receiver(via, 5.0)).write(octets, split=split)

    def emit(self, event: str, session: Session, **detail: Any) -> None:
        """Calls `on_event`, if it is set."""
        if self.on_event is not None:
            self.on_event(event, {"session": session.number, **detail})
