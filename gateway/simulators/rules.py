"""Rules for how the SMSC reacts to a submit_sm: each has conditions and a reaction, and the first that fires acts.

A rule has the same form in Python and on the command line: `"throttle every=10"`,
`"refuse to=7701* status=11"`, `"delay delay=0.5 probability=0.1 seed=7"`. The first word is a key of REACTIONS.
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
from gateway.simulators.submission import Submitted

UNLISTED_TLV: Mapping[str | int, bytes] = {0x1403: b"\x01\x02\x03", 0x3FFF: b""}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReaction:
    """What the SMSC does with one submit_sm: the response, its delay and form, and what happens to the segment."""

    status: int = 0
    """command_status of the response."""
    body: bool = True
    """False: the response is only a header."""
    message_id: str | None = None
    """None: the SMSC's next one; "" leaves it empty."""
    nack: bool = False
    """generic_nack in place of submit_sm_resp."""
    silent: bool = False
    """No response at all."""
    delay: float = 0.0
    """Seconds before the response."""
    reorder: int = 0
    """Responses of this rule are held until there are so many (or 0.2 s passed), then sent in reverse order."""
    tlvs: Mapping[str | int, bytes] = field(default_factory=dict)
    """Appended to the response."""
    foreign: bool = False
    """A PDU with a command_id that SMPP does not define is sent before the response."""
    stray: bool = False
    """A submit_sm_resp to no submit_sm is sent before the response."""
    split: int = 0
    """Octets per write; 0 writes the response at once."""
    drop: str = ""
    """"before" or "after": when the TCP connection is cut, relative to the response."""
    taken: bool = True
    """False: the SMSC loses the segment although it did not refuse it."""


REACTIONS: Mapping[str, SubmitReaction] = {
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
    "stray": SubmitReaction(stray=True),
    "split": SubmitReaction(split=1),
}
"""The reactions by name, before a rule's settings change them."""


class Rule:
    """Conditions and a reaction; `nth`, `every`, `first`, `after` count the submit_sm that `to` and `text` match.

    ValueError on an unknown name or command_status, TypeError on a setting that does not exist.
    """

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
        **settings: Any,
    ) -> None:
        if "status" in settings:
            settings["status"] = status_number(settings["status"])
        if name not in REACTIONS:
            raise ValueError(f"no such reaction: {name}; there are {', '.join(REACTIONS)}")
        self.reaction = replace(REACTIONS[name], **settings)
        self.name = name
        self._to, self._text = to, re.compile(text)
        self._nth, self._every, self._first, self._after = nth, every, first, after
        self._times, self._probability = times, probability
        self._random = random.Random(seed)
        self.matched = 0
        self.fired = 0

    @classmethod
    def parse(cls, line: str) -> "Rule":
        """A rule from `NAME key=value …`; ValueError names what is wrong."""
        name, *words = shlex.split(line)
        settings: dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"{word}: key=value is expected")
            settings[key] = _value(key, value)
        try:
            return cls(name, **settings)
        except (TypeError, AttributeError, re.error) as error:
            raise ValueError(f"{line}: {error}") from None

    def counts(self, submit: Submitted) -> bool:
        """Whether `to` and `text` match, and the count of such matches satisfies the counting conditions."""
        if not fnmatchcase(submit.destination, self._to) or not self._text.search(submit.text or ""):
            return False
        self.matched += 1
        return not (
            (self._nth and self.matched != self._nth)
            or (self._every and self.matched % self._every)
            or (self._first and self.matched > self._first)
            or self.matched <= self._after
        )

    def fires(self) -> bool:
        """Whether the rule acts on a submit_sm that it counts, by `times` and `probability`."""
        if self._times and self.fired >= self._times:
            return False
        if self._probability < 1 and self._random.random() >= self._probability:
            return False
        self.fired += 1
        return True


_INTEGERS = {"nth", "every", "first", "after", "times", "seed", "reorder", "split"}
_FLOATS = {"probability", "delay"}
_BOOLEANS = {"body", "nack", "silent", "foreign", "stray", "taken"}


def _value(key: str, value: str) -> int | float | bool | str:
    if key in _INTEGERS:
        return int(value)
    if key in _FLOATS:
        return float(value)
    if key in _BOOLEANS:
        if value not in ("yes", "no"):
            raise ValueError(f"{key}: yes or no is expected")
        return value == "yes"
    return value


def parse_rules(rules: Iterable[Rule | str]) -> list[Rule]:
    """The rules, each given as a Rule or as its line."""
    return [Rule.parse(rule) if isinstance(rule, str) else rule for rule in rules]


def reaction_to(submit: Submitted, rules: Iterable[Rule]) -> tuple[SubmitReaction, Rule | None]:
    """The reaction of the first rule that fires, and that rule; the rules after it only count the submit_sm."""
    acting = None
    for rule in rules:
        if rule.counts(submit) and acting is None and rule.fires():
            acting = rule
    return (acting.reaction, acting) if acting else (REACTIONS["accept"], None)
