"""What the simulated SMSC initiates: replies from handsets, USSD dialogues, delivery receipts, raw octets."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import count
from typing import Any

from smpplib import consts

from gateway.simulators import handset, text_coding
from gateway.simulators.codec import TLV_TAGS
from gateway.simulators.habits import Habits
from gateway.simulators.observable import WITHIN_SECONDS, Observable
from gateway.simulators.receipt_forms import nul_terminated, receipt_addresses, receipt_fields
from gateway.simulators.receipts import id_in_form
from gateway.simulators.smsc_session import Delivered, NoResponse, Session
from gateway.simulators.submission import Submitted
from gateway.simulators.ussd import PSSR_INDICATION, Dialogue, Dialogues

REDELIVERY_PAUSE_SECONDS = 0.2
"""The pause before a message whose delivery was refused is delivered again."""


class SmscDelivery(Observable):
    """The part of SmscSimulator that sends requests to the ESME."""

    def __init__(self, short_code: str, habits: Habits) -> None:
        super().__init__()
        self.short_code = short_code
        self.habits = habits
        self.connections: list[Session] = []
        """Every connection so far, closed ones too, in the order of arrival."""
        self.delivered: list[Delivered] = []
        """Every deliver_sm and data_sm sent, in order."""
        self.on_event: Callable[[str, dict[str, Any]], object] | None = None
        """Called with the name and the details of every event."""
        self.failures: list[BaseException] = []
        """Exceptions of background tasks, such as NoResponse to a handset's reply."""
        self.dialogues = Dialogues()
        self.latest: dict[str, Submitted] = {}
        """What each handset was sent last: its replies go to that source_addr and that ESME."""
        self._references = count(1)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def habits(self) -> Habits:
        """What this SMSC does otherwise than others; can be replaced at any time."""
        return self._habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        self._habits = habits
        self.refused_since: float | None = None
        """The instant at which these habits first refused a submit_sm; monotonic seconds."""

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
        within: float = WITHIN_SECONDS,
        **fields: Any,
    ) -> int:
        """Sends a handset's message; the response's command_status, of several segments the first that is not 0.

        A list of texts or octets is one message, a segment an item; a text too long for one segment is split.
        Without `to` it goes to the source_addr of what the handset was sent last, by a session of that ESME; where
        nothing was sent, to the short code. `long` is udh8, udh16 or sar. `order` lists the segments to send, from
        1: they may be reordered, repeated or left out. `payload` puts the text into message_payload. `encoding` is
        gsm7, packed, ascii, latin1, cyrillic or ucs2; raw `octets` are sent as they are. `until_accepted` delivers
        again, on other sessions too, until the status is 0. `fields` are smpplib's, and
        `tlvs={name or tag: octets}`. NoResponse when the connection closes, TimeoutError after `within` seconds a
        segment.
        """
        data_coding, segments = text_coding.split(text, octets, encoding, data_coding)
        prepared: list[tuple[dict[str, Any], bytes]] = [({}, segments[0])]
        if len(segments) > 1:
            reference = next(self._references) & 0xFF if reference is None else reference
            prepared = list(handset.concatenated(segments, long, reference))
        destination, system_id = self._addressee(from_) if to is None else (to, "")
        statuses = []
        for number in order or range(1, len(prepared) + 1):
            extra, user_data = prepared[number - 1]
            name = "message_payload" if payload or as_data_sm else "short_message"
            content = {
                **handset.addresses(from_, destination),
                "data_coding": data_coding,
                name: user_data,
                **extra,
                **fields,
            }
            command = "data_sm" if as_data_sm else "deliver_sm"
            statuses.append(
                await self.deliver(
                    "reply", command, content, via, until_accepted, within, split=split, system_id=system_id
                )
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
        within: float = WITHIN_SECONDS,
    ) -> Dialogue:
        """Dials a USSD code on a handset; the dialogue, once the ESME has responded to the deliver_sm.

        `session_info` is the its_session_info of every message; by default a session number and a counter.
        """

        async def send(content: dict[str, Any]) -> int:
            addressed = {**handset.addresses(from_, self.short_code), **content}
            return await self.deliver("ussd", "deliver_sm", addressed, via, False, within)

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
        within: float = WITHIN_SECONDS,
        **fields: Any,
    ) -> int:
        """Sends a receipt for a segment, or for any message_id; the command_status of the response.

        `outcome` is a key of receipts.STATES. `fields` override those of the deliver_sm, `short_message` included.
        """
        message_id = message if isinstance(message, str) else id_in_form(message, id_form)
        habits = self.habits
        content = {
            **receipt_addresses(message, self.short_code, to_handset=habits.receipts_to_handset),
            **({"source_addr": source} if source else {}),
            **receipt_fields(message, message_id, outcome, form=form, intermediate=intermediate, habits=habits),
            **fields,
        }
        if as_data_sm:
            content["message_payload"] = content.pop("short_message", None)
        command = "data_sm" if as_data_sm else "deliver_sm"
        system_id = "" if isinstance(message, str) else message.system_id
        return await self.deliver("receipt", command, content, via, until_accepted, within, system_id=system_id)

    async def echo(self, submit: Submitted) -> None:
        """Delivers a submit_sm as it came, UDH included, with esm_class 0: as an MO of its destination."""
        payload = submit.tlvs.get(TLV_TAGS["message_payload"])
        octets = {"message_payload": payload} if payload else {"short_message": submit.short_message}
        content = {
            "source_addr": submit.destination,
            "source_addr_ton": submit.destination_ton,
            "source_addr_npi": submit.destination_npi,
            "destination_addr": submit.source,
            "data_coding": submit.data_coding,
            **octets,
        }
        with suppress(NoResponse, TimeoutError):
            await self.deliver("echo", "deliver_sm", content, system_id=submit.system_id)

    def session_bound(self, session: Session) -> None:
        """Closes the session, or delivers a message right after the bind, where that is the SMSC's habit."""
        if self.habits.close_at == "bound":
            session.close()
        elif self.habits.mo_after_bind and self._takes(session):
            self.start(self._deliver_after_bind(session, *self.habits.mo_after_bind.split(" ", 1)))

    async def _deliver_after_bind(self, session: Session, number: str, text: str = "") -> None:
        with suppress(NoResponse, TimeoutError):
            await self.reply(number, text, via=session)

    async def deliver(
        self,
        kind: str,
        command: str,
        content: dict[str, Any],
        via: Session | int | None = None,
        until_accepted: bool = False,
        within: float = WITHIN_SECONDS,
        *,
        split: int = 0,
        system_id: str = "",
    ) -> int:
        """Sends one deliver_sm or data_sm with these fields; the command_status of its response.

        By a session of this ESME, where one is named.
        """
        if self.habits.nul_terminated:
            content = nul_terminated(content)
        async with asyncio.timeout(within):
            while True:
                session = await self._receiver(via, within, system_id)
                record = Delivered(
                    kind, asyncio.get_running_loop().time(), session.number, content["source_addr"], content
                )
                self.delivered.append(record)
                self.emit("delivered", session, kind=kind, source=record.source)
                try:
                    response = await self._send_request(session, command, content, split)
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

    def _send_request(
        self, session: Session, command: str, content: dict[str, Any], split: int
    ) -> asyncio.Future[Any]:
        every = self.habits.unbind_every
        if every and len(self.delivered) % every == 0:
            return session.request_and_unbind(command, **content)
        return session.request(command, split=split, **content)

    def _addressee(self, handset_number: str) -> tuple[str, str]:
        """(destination_addr, system_id or "" for any ESME) of what a handset sends."""
        latest = self.latest.get(handset_number.lstrip("+"))
        if latest is None or latest.source_ton == consts.SMPP_TON_ALNUM:  # nobody can reply to a name
            return self.short_code, ""
        return latest.source, latest.system_id

    def _takes(self, session: Session) -> bool:
        """Whether deliveries go to this session."""
        return session.receives or (self.habits.on_transmitter and session.bound)

    async def _receiver(self, via: Session | int | None, within: float, system_id: str = "") -> Session:
        if isinstance(via, Session):
            return via
        if via is not None:
            return self.connections[via - 1]

        def found() -> Session | None:
            fit = [one for one in self.connections if self._takes(one) and system_id in ("", one.system_id)]
            transmitters = [one for one in fit if one.role == "transmitter"]
            return next(iter(transmitters or fit), None)

        return await self.wait_for(found, within=within)

    async def send_raw(self, octets: bytes, *, via: Session | int | None = None, split: int = 0) -> None:
        """Sends octets as they are."""
        (await self._receiver(via, WITHIN_SECONDS)).write(octets, split=split)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a background task that ends with the server at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def emit(self, event: str, session: Session, **detail: Any) -> None:
        """Calls `on_event`, if it is set."""
        if self.on_event is not None:
            self.on_event(event, {"session": session.number, **detail})
