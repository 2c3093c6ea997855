"""USSD dialogues: a second way to reply to the open question (SMPP 3.4 §5.3.2.44).

====================  ==========================================  =====================================
the subscriber        state                                       response
====================  ==========================================  =====================================
dials                 a question open at the number               the menu; the dialogue is stored
                      none                                        menu_nothing, the end
types 1, 2, 3#1, 3#2  the dialogue                                menu_agreed or menu_refused, the end;
                                                                  text 3 or 2 goes by SMS as well
                      the same by a link that may not carry it    the reply is held for ops; menu_invalid,
                                                                  which asks for an SMS, the end
types anything else   the dialogue, the menu shown once           the menu again
                      the dialogue, the menu shown twice          menu_invalid, the end
types                 no dialogue (any more)                      menu_invalid or, with no question
                                                                  open to the link, menu_nothing; the end
aborts                                                            none; the dialogue is deleted
====================  ==========================================  =====================================

Some SMSCs deliver what was typed as if it were dialled: while a dialogue is open at the number, a dialled text is
its reply if it reads as one.

A reply belongs to the case whose menu was shown, also when another pupil's question was opened at the number
meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway import metrics
from gateway.config.routing import Routing
from gateway.consent.details import Link
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Decision, HoldReply, ParentReply
from gateway.consent.question import Question
from gateway.consent.reply import Reading, Verdict, read_menu_reply
from gateway.consent.texts import LANGUAGES, Kind
from gateway.evidence.digests import Sender
from gateway.smpp.pdu import is_number
from gateway.smpp.ussd import UssdMessage, UssdOp, dialled_service, encode_screen_tlvs
from gateway.store import cases, dialogues, inbound, questions
from gateway.store.cases import StoredCase
from gateway.store.dialogues import Dialogue
from gateway.store.inbound import StoredReply
from gateway.store.outbox import NewScreen
from gateway.store.writes import Write
from gateway.usecases.reply_evidence import (
    Reply,
    as_decided,
    fits,
    ignore_reply,
    log_wrong_link,
    record_reply,
    reply_links,
)
from gateway.usecases.texts import Service, TextRenderer
from gateway.usecases.unit_of_work import UnitOfWork

MAX_MENUS = 2
"""The number of menus per dialogue: the first one, and those after an invalid reply."""

NOT_FROM_A_NUMBER = "not from a number"

_CONFIRMATION = {Verdict.AGREE: Kind.MENU_AGREED, Verdict.REFUSE: Kind.MENU_REFUSED}
_COUNTED = frozenset({EventType.CONSENTED, EventType.REFUSED, EventType.REPLY_REPEATED})


class DialogueMessage(NamedTuple):
    """One message of a dialogue, as received."""

    link: str
    msisdn: str
    destination_addr: str
    smsc_time: str
    received: Sender
    ussd: UssdMessage
    text: str | None  # what was dialled or typed; None when the octets do not decode

    @property
    def key(self) -> dialogues.DialogueKey:
        return self.link, self.msisdn


class _MenuReply(NamedTuple):
    """A clear reply to the menu of a dialogue, and its place among the rows to keep."""

    message: DialogueMessage
    dialogue: Dialogue
    given: ParentReply | HoldReply
    place: int


class UssdDialogues:
    """The use case of USSD dialogues."""

    def __init__(
        self,
        *,
        services: Mapping[str, Service],
        routing: Routing,
        texts: TextRenderer,
        lifetime_seconds: float,
    ) -> None:
        """`lifetime_seconds`: without a reply, after which a dialogue is over, and its screen gone."""
        self._services = services
        self._routing = routing
        self._texts = texts
        self._lifetime_seconds = lifetime_seconds

    async def receive(self, uow: UnitOfWork, messages: Sequence[DialogueMessage]) -> None:
        """Processes what was dialled and typed, in order, within the unit of work.

        Messages whose sender is no number are only kept and journaled: there is no address for a response.
        """
        if valid := [message for message in messages if is_number(message.msisdn)]:
            messages_of_unit = _Messages(uow, self._services, self._routing, self._texts, self._lifetime_seconds)
            await messages_of_unit.receive(valid)
        nobody = [message for message in messages if not is_number(message.msisdn)]
        kept = [_kept_for_nobody(uow, message) for message in nobody if message.ussd.op != UssdOp.ABORT]
        if kept:
            await uow.apply([], lambda _: [inbound.keeping(kept, uow.now)])
        for message in nobody:
            ignore_reply(uow, None, NOT_FROM_A_NUMBER)
            metrics.REPLIES_IGNORED.labels(message.link, NOT_FROM_A_NUMBER).inc()


class _Messages:
    """The messages of one unit of work."""

    def __init__(
        self,
        uow: UnitOfWork,
        services: Mapping[str, Service],
        routing: Routing,
        texts: TextRenderer,
        lifetime_seconds: float,
    ) -> None:
        self._uow = uow
        self._services = services
        self._routing = routing
        self._texts = texts
        self._lifetime_seconds = lifetime_seconds
        self._asked: Mapping[tuple[str, str], Question] = {}
        self._cases: dict[str, StoredCase] = {}
        self._dialogues: dict[dialogues.DialogueKey, Dialogue | None] = {}
        self._changed: dict[dialogues.DialogueKey, Dialogue | None] = {}
        self._screens: list[NewScreen] = []
        self._kept: list[StoredReply] = []
        self._menu_replies: list[_MenuReply] = []

    async def receive(self, messages: Sequence[DialogueMessage]) -> None:
        connection = self._uow.connection
        self._asked = await questions.asked_at(connection, {message.msisdn for message in messages})
        keys = {message.key for message in messages}
        self._dialogues = dict(await dialogues.lock(connection, keys, self._uow.waits_end_at))
        shown = {dialogue.case_id for dialogue in self._dialogues.values() if dialogue is not None}
        asked = {question.case_id for question in self._asked.values()}
        self._cases = await cases.fetch(connection, shown | asked)
        for message in messages:
            match message.ussd.op:
                case UssdOp.PSSR_INDICATION | UssdOp.PSSD_INDICATION:
                    if (dialogue := self._replied_to(message)) is not None:
                        self._typed(message, dialogue)
                    else:
                        self._dialled(message)
                case UssdOp.USSR_CONFIRM:
                    self._typed(message, self._dialogue(message))
                case UssdOp.ABORT:
                    self._aborted(message)
        menu_replies = self._menu_replies
        decisions = await self._uow.apply(
            [(typed.dialogue.case_id, typed.given) for typed in menu_replies], self._keep
        )
        for typed, decision in zip(menu_replies, decisions, strict=True):
            self._confirm(typed, decision)
        await dialogues.save(connection, self._changed, lifetime_seconds=self._lifetime_seconds)
        await self._uow.queue_screens(self._screens, self._lifetime_seconds)

    def _keep(self, decisions: Sequence[Decision]) -> Sequence[Write]:
        """The rows of what was typed; a held reply is its case's once the decision has held it."""
        for typed, decision in zip(self._menu_replies, decisions, strict=True):
            stored, case_id = self._kept[typed.place], typed.dialogue.case_id
            self._kept[typed.place] = as_decided(stored, case_id, typed.given, decision)
        return [inbound.keeping(self._kept, self._uow.now)] if self._kept else []

    def _dialled(self, message: DialogueMessage) -> None:
        service, question = self._open_question(message)
        self._note(message, None)
        self._kept.append(_kept_for_nobody(self._uow, message))
        if question is None:
            self._end(message, service, Kind.MENU_NOTHING, None)
            ignore_reply(self._uow, None, "dialled with no open question")
        elif message.ussd.op == UssdOp.PSSD_INDICATION:  # one-way: the handset cannot reply to a menu
            self._end(message, service, Kind.MENU_INVALID, question.case_id)
        else:
            session = message.ussd.session
            self._menu(message, Dialogue(session=session, service=service, case_id=question.case_id, menus=1))

    def _typed(self, message: DialogueMessage, dialogue: Dialogue | None) -> None:
        if dialogue is None:  # it has expired or ended: the case whose menu was shown is unknown
            service, question = self._open_question(message)
            self._kept.append(_kept_for_nobody(self._uow, message))
            if question is not None and not fits(message.link, reply_links(self._routing, question)):
                log_wrong_link(message.link, question.case_id)
                ignore_reply(self._uow, question.case_id, "not by a link of the number")
                question = None
            else:
                ignore_reply(
                    self._uow, question.case_id if question is not None else None, "typed with no dialogue open"
                )
            kind = Kind.MENU_NOTHING if question is None else Kind.MENU_INVALID
            self._end(message, service, kind, question.case_id if question is not None else None)
            return
        reading = read_menu_reply(message.text, self._services[dialogue.service].replies)
        operator, links = self._origin(message, dialogue)
        link_fits = fits(message.link, links)
        clear = reading.verdict in _CONFIRMATION
        kept = record_reply(
            self._uow,
            _reply(message),
            reading,
            dialogue.case_id,
            submitted=True,
            counts=link_fits or not clear,
            links=links,
        )
        self._kept.append(kept.stored)
        if clear:
            self._note(message, None)
            given: ParentReply | HoldReply = kept.given
            if not link_fits:
                log_wrong_link(message.link, dialogue.case_id)
                given = HoldReply(reply=kept.given, operator=operator or "", digest=kept.digest)
            self._menu_replies.append(_MenuReply(message, dialogue, given, len(self._kept) - 1))
        elif dialogue.menus < MAX_MENUS:
            self._menu(message, replace(dialogue, menus=dialogue.menus + 1))
        else:
            self._note(message, None)
            self._end(message, dialogue.service, Kind.MENU_INVALID, dialogue.case_id)

    def _aborted(self, message: DialogueMessage) -> None:
        if (dialogue := self._dialogue(message)) is None:
            ignore_reply(self._uow, None, "aborted with no dialogue open")
        else:
            self._note(message, None)
            aborted = Event(EventType.DIALOGUE_ABORTED, Link(message.link))
            self._uow.journal([(dialogue.case_id, aborted)])

    def _origin(self, message: DialogueMessage, dialogue: Dialogue) -> tuple[str | None, Sequence[str] | None]:
        """The operator of the number, and the links by which the case may have its reply; None: any."""
        question = self._asked.get((message.msisdn, dialogue.service))
        if question is not None and question.case_id == dialogue.case_id:
            return question.operator, reply_links(self._routing, question)
        stored = self._cases.get(dialogue.case_id)
        operator = stored.case.operator if stored is not None else None
        return operator, self._routing.carriers(operator)

    def _confirm(self, typed: _MenuReply, decision: Decision) -> None:
        """Queues the last screen, which shows whether the reply counted: another one may have come before it."""
        names = {event.name for event in decision.events}
        kind = Kind.MENU_NOTHING
        if isinstance(typed.given, ParentReply) and names & _COUNTED:
            kind = _CONFIRMATION[typed.given.verdict]
        elif EventType.REPLY_HELD in names:
            kind = Kind.MENU_INVALID
        dialogue = typed.dialogue
        self._screen(typed.message, dialogue.service, kind, dialogue.case_id, UssdOp.PSSR_RESPONSE)

    def _open_question(self, message: DialogueMessage) -> tuple[str, Question | None]:
        """The service dialled, or one with an open question at the number; and that question."""
        dialled = dialled_service(message.text)
        codes = [dialled] if dialled is not None and dialled in self._services else list(self._services)
        for code in codes:
            question = self._asked.get((message.msisdn, code))
            if question is not None and question.open and question.submitted:
                return code, question
        return codes[0], None

    def _replied_to(self, message: DialogueMessage) -> Dialogue | None:
        """The dialogue open at the number, in any session, whose menu the dialled text replies to."""
        dialogue = self._dialogues.get(message.key)
        if dialogue is None or message.ussd.op != UssdOp.PSSR_INDICATION:
            return None
        reading = read_menu_reply(message.text, self._services[dialogue.service].replies)
        return dialogue if reading.verdict in _CONFIRMATION else None

    def _dialogue(self, message: DialogueMessage) -> Dialogue | None:
        dialogue = self._dialogues.get(message.key)
        return dialogue if dialogue is not None and dialogue.session == message.ussd.session else None

    def _note(self, message: DialogueMessage, dialogue: Dialogue | None) -> None:
        self._dialogues[message.key] = self._changed[message.key] = dialogue

    def _menu(self, message: DialogueMessage, dialogue: Dialogue) -> None:
        self._note(message, dialogue)
        self._screen(message, dialogue.service, Kind.MENU, dialogue.case_id, UssdOp.USSR_REQUEST)

    def _end(self, message: DialogueMessage, service: str, kind: Kind, case_id: str | None) -> None:
        one_way = message.ussd.op == UssdOp.PSSD_INDICATION
        op = UssdOp.PSSD_RESPONSE if one_way else UssdOp.PSSR_RESPONSE
        self._screen(message, service, kind, case_id, op)

    def _screen(self, message: DialogueMessage, service: str, kind: Kind, case_id: str | None, op: UssdOp) -> None:
        text = self._texts.screen(kind, self._language(message, service, case_id), service)
        self._screens.append(
            NewScreen(
                case_id=case_id,
                kind=kind,
                link=message.link,
                msisdn=message.msisdn,
                template=text.template,
                body=text.body,
                tlvs=encode_screen_tlvs(op, message.ussd.session_info),
            )
        )

    def _language(self, message: DialogueMessage, service: str, case_id: str | None) -> str:
        """The language of the case, else of the latest case at the number, else Kazakh."""
        question = self._asked.get((message.msisdn, service))
        known = case_id or (question.case_id if question is not None else None)
        stored = self._cases.get(known) if known is not None else None
        return stored.language if stored is not None else LANGUAGES[0]


def _kept_for_nobody(uow: UnitOfWork, message: DialogueMessage) -> StoredReply:
    """The row of what is no reply to a menu: what was dialled, and what was typed without a menu."""
    return record_reply(uow, _reply(message), Reading(verdict=Verdict.OTHER), None, submitted=False).stored


def _reply(message: DialogueMessage) -> Reply:
    """The typed reply in the form of its evidence."""
    return Reply(
        link=message.link,
        source_addr=message.msisdn,
        destination_addr=message.destination_addr,
        octets=message.ussd.octets,
        data_coding=message.ussd.data_coding,
        smsc_time=message.smsc_time,
        text=message.text,
        session=message.ussd.session_info.hex(),
        received=message.received,
    )
