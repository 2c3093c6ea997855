"""How the parents of a rehearsal behave: drawn from a seed and their IIN, the same in every run and every part."""

import math
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from gateway.config import Link
from gateway.consent.identity import canonical_msisdn


class Behaviour(StrEnum):
    """What a parent does. `unclear`: writes something else first, and agrees when asked to be clear."""

    AGREE = "agree"
    REFUSE = "refuse"
    UNCLEAR = "unclear"
    UNDELIVERABLE = "undeliverable"
    NO_NUMBER = "no_number"
    SILENT = "silent"


DEFAULT_SHARES: Mapping[Behaviour, float] = {
    Behaviour.AGREE: 0.55,
    Behaviour.REFUSE: 0.08,
    Behaviour.UNCLEAR: 0.04,
    Behaviour.UNDELIVERABLE: 0.03,
    Behaviour.NO_NUMBER: 0.05,
}
"""The shares of all persons; the rest is silent. An assumption, not a measurement."""

MEDIAN_REPLY_HOURS = 3.0
"""The time in which half of those who reply have replied to the request; longer ones follow an exponential law."""

_FOREMOST = (Behaviour.AGREE, Behaviour.REFUSE, Behaviour.UNCLEAR, Behaviour.UNDELIVERABLE)
_RANGE = 1 << 32
_LOCAL_NUMBERS = 10**7
_ANY_PREFIX = "701"


class Parent(NamedTuple):
    """The telephone of a person, and what the person does with it."""

    behaviour: Behaviour
    link: Link
    msisdn: str
    reply_hours: float  # from a text to the reply to it


class Parents:
    """All of them. `shares`: of the behaviours but `silent`; `links`: with the share of the numbers of each."""

    def __init__(
        self,
        shares: Mapping[Behaviour, float],
        links: Sequence[tuple[Link, float]],
        *,
        seed: int,
        max_hours: float,
    ) -> None:
        self._key = seed.to_bytes(16, "big", signed=True)
        self._no_number = shares.get(Behaviour.NO_NUMBER, 0.0)
        with_number = 1.0 - self._no_number or 1.0
        self._limits = list(accumulate(shares.get(one, 0.0) / with_number for one in _FOREMOST))
        self._links = [link for link, _ in links]
        self._link_limits = list(accumulate(share for _, share in links))
        self._prefixes = [_usable_prefixes(link) for link in self._links]
        self._max_hours = max_hours

    def of(self, iin: str) -> Parent | None:
        """The parent with this IIN; None when the simulated MCB has no number."""
        no_number, on_link, prefix, number = self._draw(iin)
        if no_number < self._no_number:
            return None
        place = min(bisect_right(self._link_limits, on_link), len(self._links) - 1)
        prefixes = self._prefixes[place]
        chosen = prefixes[int(prefix * len(prefixes))]
        msisdn = f"7{chosen}{int(number * _LOCAL_NUMBERS):07}"
        # By the number, so that two persons who happen to have the same one behave alike.
        which, delay, _, _ = self._draw(msisdn)
        behaviours = (*_FOREMOST, Behaviour.SILENT)
        hours = min(-math.log2(1.0 - delay) * MEDIAN_REPLY_HOURS, self._max_hours)
        return Parent(behaviours[bisect_right(self._limits, which)], self._links[place], msisdn, hours)

    def order(self, octets: bytes) -> int:
        """A number by which samples are drawn: those with the smallest ones are in."""
        return int.from_bytes(blake2b(octets, key=self._key, digest_size=8, person=b"sample").digest(), "big")

    def _draw(self, text: str) -> tuple[float, ...]:
        """Four numbers from 0 to below 1."""
        digest = blake2b(text.encode(), key=self._key, digest_size=16).digest()
        return tuple(value / _RANGE for value in struct.unpack(">4I", digest))


def link_shares(links: Sequence[Link], given: Mapping[str, float]) -> list[tuple[Link, float]]:
    """Every link with its share of the numbers: as given, else in proportion to its prefixes."""
    if given:
        return [(link, given.get(link.name, 0.0)) for link in links]
    weights = [max(len(link.prefixes), 1) for link in links]
    return [(link, weight / sum(weights)) for link, weight in zip(links, weights, strict=True)]


def _usable_prefixes(link: Link) -> list[str]:
    return [one for one in link.prefixes if canonical_msisdn(f"7{one}0000000")] or [_ANY_PREFIX]
