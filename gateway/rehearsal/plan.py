"""What becomes of every record of a list, calculated from its parents' behaviour, a record at a time.

The journey is that of consent/journey.py for these behaviours; machinery.py runs a part of the same list, and the
report says where the two differ. Memory grows by what recognises duplicates and shared numbers only.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gateway.config import Config, Link, Service
from gateway.config.templates import load_templates
from gateway.consent.case import State
from gateway.consent.texts import LANGUAGES, Kind, Name
from gateway.intake.records import Record
from gateway.rehearsal.load import HOURS_PER_DAY, SECONDS_PER_HOUR, Load
from gateway.rehearsal.parents import Behaviour, Parent, Parents
from gateway.smpp.text import segment_count

CLARIFIED_HOURS = 0.1
"""The time from the text that asks for a clear reply to that reply."""
_CYRILLIC = re.compile("(?=.*[А-я])[А-яЁёӘәҒғҚқҢңӨөҰұҮүҺһІі -]+")
_NAMES = ("{recipient}", "{pupil}")


class _People(NamedTuple):
    """Who a text is about; all that a template needs of a record."""

    language: str
    recipient: Name
    pupil: Name


class Plan:
    """The journey of a list. `keep_outcomes`: by record, for a comparison; not for a list of a million."""

    def __init__(self, config: Config, service: Service, parents: Parents, *, keep_outcomes: bool = False) -> None:
        self.records = self.accepted = self.rejected = self.duplicates = self.waited = 0
        self.outcomes: Counter[State] = Counter()
        self.texts: Counter[Kind] = Counter()
        """Texts sent, and `segments` the segments of them, by kind."""
        self.segments: Counter[Kind] = Counter()
        self.load = Load(config.links, config.journey.send_window)
        self.outcome_of: dict[str, State] | None = {} if keep_outcomes else None
        """The outcome by record_id."""
        self.lost: set[str] = set()
        """The numbers that were asked and that no text reaches; with `keep_outcomes` only."""
        self._journey, self._service, self._parents = config.journey, service, parents
        self._grace_hours = config.journey.grace.total_seconds() / SECONDS_PER_HOUR
        self._templates = load_templates(service.templates)
        self._long_messages = {link.name: link.long_messages for link in config.links}
        self._by_length: dict[tuple[Kind, str, str, int, int], int] = {}
        self._fixed = self._lengths_without_names()
        self._record_ids: set[int] = set()
        self._pupils: set[int] = set()
        self._free_at: dict[int, float] = {}
        """The hour from which a number may get the next question."""

    def add(self, record: Record | None, content: Mapping[str, Any] | None = None) -> None:
        """The next record, and its `content` where that is read already; None: a line that is rejected."""
        self.records += 1
        if record is None or (record_id := hash(record.record_id)) in self._record_ids:
            self.rejected += 1
            return
        self._record_ids.add(record_id)
        if (pupil := int(record.pupil_iin)) in self._pupils:
            self.duplicates += 1
            return
        self._pupils.add(pupil)
        self.accepted += 1
        state = self._case(record.language, content or orjson.loads(record.content))
        self.outcomes[state] += 1
        if self.outcome_of is not None:
            self.outcome_of[record.record_id] = state

    def forget(self) -> None:
        """Frees the memory that only further records would need."""
        self._record_ids, self._pupils, self._free_at = set(), set(), {}

    def _case(self, language: str, content: Mapping[str, Any]) -> State:
        """The end of a case: every recipient is asked in turn, until one has a number that works."""
        pupil = _name(content["pupil"])
        ready, unreachable = 0.0, False
        for recipient in content["recipients"]:
            parent = self._parents.of(recipient["iin"])
            if parent is None:
                continue
            people = _People(language, _name(recipient), pupil)
            if self.outcome_of is not None and parent.behaviour is Behaviour.UNDELIVERABLE:
                self.lost.add(parent.msisdn)
            asked = self._ask(parent, people, ready)
            if self._is_lost(parent) and self._journey.fallback_on_undeliverable:
                ready, unreachable = asked, True
                self._free_at[int(parent.msisdn)] = asked
                continue
            state, ended = self._replied(parent, people, asked)
            self._free_at[int(parent.msisdn)] = ended
            return state
        return State.UNDELIVERABLE if unreachable else State.NO_NUMBER

    def _ask(self, parent: Parent, people: _People, ready: float) -> float:
        """Sends the request once the number is free; the hour at which it leaves."""
        free = self._free_at.get(int(parent.msisdn), 0.0)
        self.waited += free > ready
        segments = self._send(Kind.REQUEST, parent.link, people)
        if not (at := max(ready, free)):
            return self.load.first_question(parent.link.name, segments)
        return self.load.question(parent.link.name, segments, at)

    def _replied(self, parent: Parent, people: _People, asked: float) -> tuple[State, float]:
        """The end of the case of a parent who was asked at that hour, and its hour."""
        replied = asked + parent.reply_hours
        match parent.behaviour:
            case Behaviour.AGREE:
                return self._close(Kind.AGREED, State.VOUCHER_ISSUED, parent, people, replied)
            case Behaviour.REFUSE:
                return self._close(Kind.REFUSED, State.REFUSED, parent, people, replied)
            case Behaviour.UNCLEAR if self._journey.clarify:
                self.load.answer(parent.link.name, self._send(Kind.CLARIFY, parent.link, people), replied)
                clear = replied + CLARIFIED_HOURS
                return self._close(Kind.AGREED, State.VOUCHER_ISSUED, parent, people, clear)
        state = State.UNDELIVERABLE if self._is_lost(parent) else State.NO_ANSWER
        return state, self._repeat(parent, people, asked)

    def _close(
        self, kind: Kind, state: State, parent: Parent, people: _People, replied: float
    ) -> tuple[State, float]:
        self.load.answer(parent.link.name, self._send(kind, parent.link, people), replied)
        return state, replied

    def _repeat(self, parent: Parent, people: _People, asked: float) -> float:
        """Sends the repeats that nobody answers; the hour at which the case ends."""
        for _ in range(self._journey.repeats):
            segments = self._send(Kind.REPEAT, parent.link, people)
            asked = self.load.question(parent.link.name, segments, self._after_replies(asked))
        return self._after_replies(asked) + self._grace_hours

    def _after_replies(self, asked: float) -> float:
        """The midnight after the days to reply."""
        return (asked // HOURS_PER_DAY + self._journey.answer_days + 1) * HOURS_PER_DAY

    def _is_lost(self, parent: Parent) -> bool:
        """Whether the gateway learns that a text did not arrive."""
        return parent.behaviour is Behaviour.UNDELIVERABLE and parent.link.receipts != "none"

    # --- segments -----------------------------------------------------------------------------------------------

    def _send(self, kind: Kind, link: Link, people: _People) -> int:
        template = Kind.REQUEST if kind is Kind.REPEAT else kind
        segments = self._fixed.get((template, people.language, link.name))
        if segments is None:
            segments = self._count(template, link, people)
        self.texts[kind] += 1
        self.segments[kind] += segments
        return segments

    def _count(self, kind: Kind, link: Link, people: _People) -> int:
        """The segments of a text that names somebody.

        With Cyrillic names they follow from the lengths of the names: the text is UCS-2, NFC changes nothing, and
        the lengths put every character of the template in its place. Other names are counted each time.
        """
        recipient, pupil = people.recipient.full, people.pupil.full
        if not (_CYRILLIC.fullmatch(recipient) and _CYRILLIC.fullmatch(pupil)):
            return segment_count(self._body(kind, people), link.long_messages)
        key = (kind, people.language, link.name, len(recipient), len(pupil))
        if (segments := self._by_length.get(key)) is None:
            segments = segment_count(self._body(kind, people), link.long_messages)
            self._by_length[key] = segments
        return segments

    def _body(self, kind: Kind, people: _People) -> str:
        service = self._service
        return self._templates.render(
            kind, people.language, recipient=people.recipient, pupil=people.pupil, link=service.link,
            service=service.code, agree=service.agree, refuse=service.refuse,
        ).body  # fmt: skip

    def _lengths_without_names(self) -> Mapping[tuple[Kind, str, str], int]:
        """The segments of the texts that name nobody, by kind, language and link."""
        bodies = {(one.name, one.language): one.body for one in self._templates.all()}
        nobody = Name("", "", None)
        return {
            (kind, language, name): segment_count(self._body(kind, _People(language, nobody, nobody)), how)
            for kind in (Kind.REQUEST, Kind.AGREED, Kind.REFUSED, Kind.CLARIFY)
            for language in LANGUAGES
            if not any(one in bodies[kind, language] for one in _NAMES)
            for name, how in self._long_messages.items()
        }


def _name(person: Mapping[str, Any]) -> Name:
    return Name(person["surname"], person["given_name"], person["patronymic"])
