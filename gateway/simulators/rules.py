"""What the SMSC does with a submit_sm: rules, each a match and an answer, first match wins.

A rule is written the same in Python and on the command line: `"throttle every=10"`,
`"refuse to=7701* status=11"`, `"delay delay=0.5 probability=0.1 seed=7"`; the first word is a key of ANSWERS.
"""

import random
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from smpplib import consts

from gateway.simulators.codec import status_number
from gateway.simulators.handset import Submitted

UNLISTED_TLV: Mapping[str | int, bytes] = {0x1403: b"\x01\x02\x03", 0x3FFF: b""}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReaction:
    """How one submit_sm is answered."""

    status: int = 0
    body: bool = True
    message_id: str | None = None
    """None: the next one of the SMSC's own; "" leaves it empty."""
    nack: bool = False
    """generic_nack in place of submit_sm_resp."""
    silent: bool = False
    """No answer at all."""
    delay: float = 0.0
    """Seconds."""
    reorder: int = 0
    """Answers of this rule are held until there are so many (or 0.2 s passed), then leave last first."""
    tlvs: Mapping[str | int, bytes] = field(default_factory=dict)
    foreign: bool = False
    """A PDU with a command_id that SMPP does not know goes out before the answer."""
    split: int = 0
    """Octets per write; 0 sends the answer in one."""
    drop: str = ""
    """"before" or "after" the answer the TCP connection is cut."""
    taken: bool = True
    """False: the SMSC loses the segment although it did not refuse it."""


ANSWERS: Mapping[str, SubmitReaction] = {
    "accept": SubmitReaction(),
    "throttle": SubmitReaction(status=consts.SMPP_ESME_RTHROTTLED),
    "full": SubmitReaction(status=consts.SMPP_ESME_RMSGQFUL),
    "refuse": SubmitReaction(status=consts.SMPP_ESME_RINVDSTADR),
    "nack": SubmitReaction(nack=True, status=consts.SMPP_ESME_RSYSERR),
    "no_answer": SubmitReaction(silent=True),
    "delay": SubmitReaction(delay=1.0),
    "reorder": SubmitReaction(reorder=10),
    "no_body": SubmitReaction(body=False, status=consts.SMPP_ESME_RINVDSTADR),
    "empty_id": SubmitReaction(message_id=""),
    "drop_before": SubmitReaction(drop="before"),
    "drop_after": SubmitReaction(drop="after"),
    "unknown_tlv": SubmitReaction(tlvs=UNLISTED_TLV),
    "foreign": SubmitReaction(foreign=True),
    "split": SubmitReaction(split=1),
}


class Rule:
    """A match and an answer; `nth`, `every`, `first`, `after` count what `to` and `text` admit."""

    def __init__(
        self,
        name: str,
        *,
        to: str = "*",
        text: str = "",
        nth: int = 0,
        every: int = 0,
        first: int = 0,
        after: int = 0,
        times: int = 0,
        probability: float = 1.0,
        seed: int = 0,
        **answer: Any,
    ) -> None:
        if "status" in answer:
            answer["status"] = status_number(answer["status"])
        if name not in ANSWERS:
            raise ValueError(f"no such answer: {name}; there are {', '.join(ANSWERS)}")
        self.answer = replace(ANSWERS[name], **answer)
        self.name = name
        self._to, self._text = to, re.compile(text)
        self._nth, self._every, self._first, self._after = nth, every, first, after
        self._times, self._probability = times, probability
        self._random = random.Random(seed)
        self.seen = 0
        self.fired = 0

    @classmethod
    def parse(cls, line: str) -> "Rule":
        """A rule from its words; ValueError says what is wrong with them."""
        name, *words = shlex.split(line)
        settings: dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"{word}: key=value is wanted")
            settings[key] = _value(key, value)
        try:
            return cls(name, **settings)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{line}: {error}") from None

    def counts(self, submit: Submitted) -> bool:
        """Whether it is this submit_sm's turn, by `to`, `text` and the count of those that they admit."""
        if not fnmatchcase(submit.destination, self._to) or not self._text.search(submit.text or ""):
            return False
        self.seen += 1
        return not (
            (self._nth and self.seen != self._nth)
            or (self._every and self.seen % self._every)
            or (self._first and self.seen > self._first)
            or self.seen <= self._after
        )

    def fires(self) -> bool:
        """Whether the rule acts on a submit_sm whose turn it is, by `times` and `probability`."""
        if self._times and self.fired >= self._times:
            return False
        if self._probability < 1 and self._random.random() >= self._probability:
            return False
        self.fired += 1
        return True


_WHOLE = {"nth", "every", "first", "after", "times", "seed", "reorder", "split"}
_REAL = {"probability", "delay"}
_SWITCH = {"body", "nack", "silent", "foreign", "taken"}


def _value(key: str, value: str) -> int | float | bool | str:
    if key in _WHOLE:
        return int(value)
    if key in _REAL:
        return float(value)
    if key in _SWITCH:
        if value not in ("yes", "no"):
            raise ValueError(f"{key}: yes or no is wanted")
        return value == "yes"
    return value


def rulebook(rules: Iterable[Rule | str]) -> list[Rule]:
    """Rules, whichever way each is written."""
    return [Rule.parse(rule) if isinstance(rule, str) else rule for rule in rules]


def answer_to(submit: Submitted, rules: Iterable[Rule]) -> tuple[SubmitReaction, Rule | None]:
    """The answer of the first rule that fires, and that rule; those behind it only count the submit_sm."""
    acting = None
    for rule in rules:
        if rule.counts(submit) and acting is None and rule.fires():
            acting = rule
    return (acting.answer, acting) if acting else (ANSWERS["accept"], None)
