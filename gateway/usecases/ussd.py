"""USSD dialogues: a second way to answer the open question (SMPP 3.4 §5.3.2.44).

====================  ==========================================  =====================================
the telephone         finds                                       and is shown
====================  ==========================================  =====================================
dials                 a question open at its number               the menu; the dialogue is noted
                      none, or by a link that may not carry it    menu_nothing, the end
types 1 or 2          the dialogue                                menu_agreed or menu_refused, the end;
                                                                  text 3 or 2 goes by SMS as well
types anything else   the dialogue, the menu shown once           the menu again
                      the dialogue, the menu shown twice          menu_invalid, the end
types                 no dialogue (any more)                      menu_invalid or, with no question
                                                                  open, menu_nothing; the end
leaves                                                            nothing: the dialogue is forgotten
====================  ==========================================  =====================================

What is typed counts for the case whose menu was shown, and for no other: a number may be asked about another
pupil in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway import metrics
from gateway.config import Link as LinkConfig
from gateway.consent.case import Event, EventType
from gateway.consent.inputs import Decision, ParentReply
from gateway.consent.reply import RULE_VERSION, Reading, Verdict, read_menu_answer
from gateway.consent.texts import LANGUAGES, Kind
from gateway.evidence.digests import reply_identity
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp.pdu import ShortMessage
from gateway.smpp.ussd import UssdMessage, UssdOp, dialled_service, encode_screen_tlvs
from gateway.store import cases, dialogues, inbound, journal, questions
from gateway.store.cases import StoredCase
from gateway.store.dialogues import Dialogue
from gateway.store.inbound import StoredReply
from gateway.store.questions import Question
from gateway.store.sms import NewScreen
from gateway.usecases.unit_of_work import Journeys, Step

log = get_logger()

MAX_MENUS = 2
"""How often the menu is shown in one dialogue."""

_CONFIRMED = {Verdict.AGREE: Kind.MENU_AGREED, Verdict.REFUSE: Kind.MENU_REFUSED}
_COUNTED = frozenset({EventType.CONSENTED, EventType.REFUSED, EventType.REPLY_REPEATED})


class UssdCall(NamedTuple):
    """One message of a dialogue, as it came in."""

    link: LinkConfig
    msisdn: str
    message: ShortMessage
    indication: UssdMessage

    @property
    def place(self) -> dialogues.Place:
        return self.link.name, self.msisdn

    @property
    def text(self) -> str | None:
        return self.indication.text(self.link.default_alphabet)


async def take(step: Step, calls: Sequence[UssdCall]) -> None:
    """Takes what telephones dialled and typed, in order, within the step's transaction."""
    calls = [call for call in calls if _can_be_answered(call.msisdn)]
    if calls:
        await _Calls(step).take(calls)


def _can_be_answered(msisdn: str) -> bool:
    return msisdn.isascii() and msisdn.removeprefix("+").isdigit()


class _Calls:
    """The calls of one step."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._journeys: Journeys = step.journeys
        self._asked: Mapping[tuple[str, str], Question] = {}
        self._cases: dict[str, StoredCase] = {}
        self._dialogues: dict[dialogues.Place, Dialogue | None] = {}
        self._changed: dict[dialogues.Place, Dialogue | None] = {}
        self._screens: list[NewScreen] = []
        self._replies: list[StoredReply] = []
        self._entries: list[journal.Entry] = []
        self._answers: list[tuple[UssdCall, Dialogue, ParentReply]] = []

    async def take(self, calls: Sequence[UssdCall]) -> None:
        connection = self._step.connection
        self._asked = await questions.asked_there(connection, {call.msisdn for call in calls})
        self._dialogues = dict(await dialogues.lock(connection, {call.place for call in calls}))
        shown = {dialogue.case_id for dialogue in self._dialogues.values() if dialogue is not None}
        asked = {question.case_id for question in self._asked.values()}
        self._cases = await cases.fetch(connection, shown | asked)
        for call in calls:
            match call.indication.op:
                case UssdOp.PSSR_INDICATION | UssdOp.PSSD_INDICATION:
                    self._dialled(call)
                case UssdOp.USSR_CONFIRM:
                    self._typed(call)
                case UssdOp.ABORT:
                    self._left(call)
                case _:
                    metrics.UNEXPECTED_PDUS.labels(call.link.name).inc()
        if self._replies:
            await inbound.keep(connection, self._replies, self._step.now)
        self._step.journal(self._entries)
        decisions = await self._step.take([(dialogue.case_id, answer) for _, dialogue, answer in self._answers])
        for (call, dialogue, answer), decision in zip(self._answers, decisions, strict=True):
            self._confirm(call, dialogue, answer, decision)
        await dialogues.save(connection, self._changed)
        await self._step.show(self._screens, dialogues.DIALOGUE_LIFETIME_SECONDS)

    def _dialled(self, call: UssdCall) -> None:
        service, question = self._open_question(call)
        self._note(call, None)
        if question is None:
            self._end(call, service, Kind.MENU_NOTHING, None)
            reason = Event(EventType.REPLY_IGNORED, {"reason": "dialled with no open question"})
            self._entries.append(journal.entry(self._step.now, None, reason))
        elif call.indication.op == UssdOp.PSSD_INDICATION:  # that telephone could not answer a menu
            self._end(call, service, Kind.MENU_INVALID, question.case_id)
        else:
            session = call.indication.session
            self._menu(call, Dialogue(session=session, service=service, case_id=question.case_id, menus=1))

    def _typed(self, call: UssdCall) -> None:
        dialogue = self._dialogue(call)
        if dialogue is None:  # expired, or ended before: whose question it was is not known
            service, question = self._open_question(call)
            kind = Kind.MENU_NOTHING if question is None else Kind.MENU_INVALID
            self._end(call, service, kind, question.case_id if question is not None else None)
            return
        reading = read_menu_answer(call.text, self._journeys.services[dialogue.service].replies)
        digest = self._evidence(call, dialogue, reading)
        if reading.verdict in _CONFIRMED:
            answer = ParentReply(  # to a menu that was shown: the question was open
                msisdn=call.msisdn,
                verdict=reading.verdict,
                normalised=reading.normalised,
                reply_at=self._step.now,
                submitted=True,
                evidence="sha256:" + digest.rpartition(":")[2],
                link=call.link.name,
            )
            self._note(call, None)
            self._answers.append((call, dialogue, answer))
        elif dialogue.menus < MAX_MENUS:
            self._menu(call, replace(dialogue, menus=dialogue.menus + 1))
        else:
            self._note(call, None)
            self._end(call, dialogue.service, Kind.MENU_INVALID, dialogue.case_id)

    def _left(self, call: UssdCall) -> None:
        if (dialogue := self._dialogue(call)) is not None:
            self._note(call, None)
            left = Event(EventType.DIALOGUE_ABORTED, {"link": call.link.name})
            self._entries.append(journal.entry(self._step.now, dialogue.case_id, left))

    def _confirm(self, call: UssdCall, dialogue: Dialogue, answer: ParentReply, decision: Decision) -> None:
        """The last screen says what became of the answer: it may have come after another one."""
        counted = any(event.name in _COUNTED for event in decision.events)
        kind = _CONFIRMED[answer.verdict] if counted else Kind.MENU_NOTHING
        self._screen(call, dialogue.service, kind, dialogue.case_id, UssdOp.PSSR_RESPONSE)

    def _open_question(self, call: UssdCall) -> tuple[str, Question | None]:
        """The service dialled, else the one that asks at the number; and its question, if the telephone has it."""
        services = self._journeys.services
        dialled = dialled_service(call.text)
        codes = [dialled] if dialled is not None and dialled in services else list(services)
        for code in codes:
            question = self._asked.get((call.msisdn, code))
            if question is not None and question.open and question.submitted:
                if self._journeys.may_answer(call.link.name, question):
                    return code, question
                log.warning(LogEvent.REPLY_BY_WRONG_LINK, link=call.link.name, case_id=question.case_id)
                ignored = Event(EventType.REPLY_IGNORED, {"reason": "not by a link of the number"})
                self._entries.append(journal.entry(self._step.now, question.case_id, ignored))
        return codes[0], None

    def _dialogue(self, call: UssdCall) -> Dialogue | None:
        dialogue = self._dialogues.get(call.place)
        return dialogue if dialogue is not None and dialogue.session == call.indication.session else None

    def _note(self, call: UssdCall, dialogue: Dialogue | None) -> None:
        self._dialogues[call.place] = self._changed[call.place] = dialogue

    def _menu(self, call: UssdCall, dialogue: Dialogue) -> None:
        self._note(call, dialogue)
        self._screen(call, dialogue.service, Kind.MENU, dialogue.case_id, UssdOp.USSR_REQUEST)

    def _end(self, call: UssdCall, service: str, kind: Kind, case_id: str | None) -> None:
        one_way = call.indication.op == UssdOp.PSSD_INDICATION
        self._screen(call, service, kind, case_id, UssdOp.PSSD_RESPONSE if one_way else UssdOp.PSSR_RESPONSE)

    def _screen(self, call: UssdCall, code: str, kind: Kind, case_id: str | None, op: UssdOp) -> None:
        service = self._journeys.services[code]
        text = service.templates.screen(
            kind,
            self._language(call, code, case_id),
            service=code,
            agree=service.replies.agree,
            refuse=service.replies.refuse,
        )
        self._screens.append(
            NewScreen(
                case_id=case_id,
                kind=kind,
                link=call.link.name,
                msisdn=call.msisdn,
                template=text.template,
                body=text.body,
                tlvs=encode_screen_tlvs(op, call.indication.session_info),
            )
        )

    def _language(self, call: UssdCall, service: str, case_id: str | None) -> str:
        """That of the case, or of the latest one at the number."""
        question = self._asked.get((call.msisdn, service))
        known = case_id or (question.case_id if question is not None else None)
        stored = self._cases.get(known) if known is not None else None
        return stored.language if stored is not None else LANGUAGES[0]

    def _evidence(self, call: UssdCall, dialogue: Dialogue, reading: Reading) -> str:
        """Keeps what was typed as a reply is kept; its digest."""
        message, link = call.message, call.link.name
        metrics.REPLIES.labels(link, reading.verdict.value).inc()
        self._replies.append(
            StoredReply(
                case_id=dialogue.case_id,
                link=link,
                source_addr=call.msisdn,
                destination_addr=message.destination.addr,
                octets=message.payload,
                data_coding=message.data_coding,
                smsc_time=message.schedule_delivery_time,
                verdict=reading.verdict,
                normalised=reading.normalised,
                rule_version=RULE_VERSION,
            )
        )
        session = call.indication.session_info.hex()
        identity = reply_identity(
            link, call.msisdn, message.destination.addr, message.payload, message.schedule_delivery_time, session
        )
        digest = self._journeys.keyed_hash(identity, dialogue.case_id)
        told = {
            "verdict": reading.verdict,
            "normalised": reading.normalised,
            "rules": RULE_VERSION,
            "link": link,
            "ussd": True,
            "session": session,
            "reply": digest,
        }
        self._entries.append(journal.entry(self._step.now, dialogue.case_id, Event(EventType.REPLY_READ, told)))
        return digest
