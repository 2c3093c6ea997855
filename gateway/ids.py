"""ULIDs: ids that sort by the instant of their creation (ULID specification, canonical 26 characters)."""

import os
import threading
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_RANDOM_BITS = 80
_RANDOM_BYTES = _RANDOM_BITS // 8


class _Source:
    """Draws random bits once a millisecond and increments them: ids of one instant keep order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._random = 0

    def next(self, millisecond: int) -> int:
        with self._lock:
            if millisecond == self._millisecond:
                self._random += 1
            else:
                self._millisecond = millisecond
                # The top bit is 0: increments never overflow into the instant.
                self._random = int.from_bytes(os.urandom(_RANDOM_BYTES), "big") >> 1
            return millisecond << _RANDOM_BITS | self._random


_source = _Source()


def new_ulid(at: datetime) -> str:
    """A new id of 26 characters that begins with the millisecond of `at`; those of one instant keep order."""
    value = _source.next(int(at.timestamp() * 1000))
    pairs = _PAIRS
    return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])
