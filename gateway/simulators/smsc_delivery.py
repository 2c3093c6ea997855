"""What the fake SMSC sends of itself: replies from handsets, delivery receipts, raw octets."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from smpplib import consts, gsm

from gateway.simulators import handset
from gateway.simulators.handset import Submitted
from gateway.simulators.receipts import id_in_form, receipt_fields
from gateway.simulators.smsc_session import Delivered, NoAnswer, Session
from gateway.simulators.ussd import PSSR_INDICATION, Dialogue, Dialogues
from gateway.simulators.watched import Watched

INSIST_PAUSE = 0.2  # seconds before a message that was not taken is delivered again


class Delivering(Watched):
    """The half of SmscSimulator that speaks first."""

    def __init__(self, short_code: str) -> None:
        super().__init__()
        self.short_code = short_code
        self.connections: list[Session] = []
        """Every connection there ever was, in the order of arrival."""
        self.delivered: list[Delivered] = []
        """Every deliver_sm and data_sm sent, in order."""
        self.on_event: Callable[[str, dict[str, Any]], object] | None = None
        """Called with a name and details of everything that happens."""
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
        insist: bool = False,
        split: int = 0,
        within: float = 10.0,
        **fields: Any,
    ) -> int:
        """Sends what a handset wrote; the response's command_status, of several segments the first not 0.

        A list of texts or octets is one message in so many segments; a text too long for one is cut here.
        `long` is udh8, udh16 or sar; `order` sends the segments (from 1) in another order, some twice, some
        never. `payload` puts the text into message_payload. `encoding` is gsm7, packed, ascii, latin1,
        cyrillic, ucs2; raw `octets` go as they are. `insist` repeats, through other sessions too, until the
        answer is 0. `fields` are smpplib's, and `tlvs={name or tag: octets}`. NoAnswer when the connection
        goes, TimeoutError after `within` seconds a segment.
        """
        data_coding, cut = _segments(text, octets, encoding, data_coding)
        whole: list[tuple[dict[str, Any], bytes]] = [({}, cut[0])]
        if len(cut) > 1:
            reference = next(self._references) & 0xFF if reference is None else reference
            whole = list(handset.concatenated(cut, long, reference))
        statuses = []
        for number in order or range(1, len(whole) + 1):
            extra, user_data = whole[number - 1]
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
            statuses.append(await self.deliver("reply", command, content, via, insist, within, split=split))
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
        """Dials a USSD code on a handset and, once the ESME has answered the deliver_sm, gives the dialogue.

        `session_info` is what every message of the dialogue bears; by default a session's number and a count.
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
        await dialogue.say(op, code, encoding=encoding, data_coding=data_coding)
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
        insist: bool = False,
        within: float = 10.0,
        **fields: Any,
    ) -> int:
        """Sends a receipt for a segment, or for any message_id; the command_status of the response.

        `outcome` is a key of receipts.STATES; `fields` override those of the deliver_sm, `short_message` too.
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
        return await self.deliver("receipt", command, content, via, insist, within)

    async def deliver(
        self,
        kind: str,
        command: str,
        content: dict[str, Any],
        via: Session | int | None = None,
        insist: bool = False,
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
                self.happened("delivered", session, kind=kind, source=record.source)
                try:
                    response = await session.request(command, split=split, **content)
                except NoAnswer:
                    if not insist:
                        raise
                    continue
                record.status, record.answered_at = response.status, asyncio.get_running_loop().time()
                self.happened("taken", session, kind=kind, source=record.source, status=response.status)
                self.changed()
                if response.status == 0 or not insist:
                    return record.status
                await asyncio.sleep(INSIST_PAUSE)

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

    def happened(self, event: str, session: Session, **detail: Any) -> None:
        """Tells `on_event`, when there is one."""
        if self.on_event is not None:
            self.on_event(event, {"session": session.number, **detail})


def _segments(
    text: str | list[str], octets: bytes | list[bytes] | None, encoding: str, data_coding: int | None
) -> tuple[int, list[bytes]]:
    """(data_coding, user data of each segment) of what a handset wrote."""
    if octets is not None:
        return data_coding or 0, [octets] if isinstance(octets, bytes) else octets
    coding, whole = handset.write(text if isinstance(text, str) else "".join(text), encoding)
    if isinstance(text, list):
        name = "ucs2" if encoding == "auto" and coding == consts.SMPP_ENCODING_ISO10646 else encoding
        cut = [handset.write(piece, name)[1] for piece in text]
    else:
        single, segment = (
            (consts.SEVENBIT_LENGTH, consts.SEVENBIT_PART_SIZE - 1)
            if coding == consts.SMPP_ENCODING_DEFAULT
            else (consts.UCS2_LENGTH, consts.UCS2_PART_SIZE - 2)
        )
        cut = [whole] if len(whole) <= single else gsm.split_sequence(whole, segment)
    return coding if data_coding is None else data_coding, cut
