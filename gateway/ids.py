"""ULIDs: ids that sort by the instant of their creation (ULID specification, canonical 26 characters)."""

import os
import threading
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_RANDOM_BITS = 80
_RANDOM_BYTES = _RANDOM_BITS // 8


_END_BITS = 20
"""The bits in which the ids of one instant differ, as long as they are fewer than a million."""


class _Source:
    """Draws random bits once a millisecond and increments them: ids of one instant keep order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._random = 0
        self._begin = -1  # of the last id, as a number and as text: it is encoded once
        self._begin_text = ""

    def next(self, millisecond: int) -> str:
        """An id of 26 characters."""
        with self._lock:
            if millisecond == self._millisecond:
                self._random += 1
            else:
                self._millisecond = millisecond
                # The top bit is 0: increments never overflow into the instant.
                self._random = int.from_bytes(os.urandom(_RANDOM_BYTES), "big") >> 1
            value = millisecond << _RANDOM_BITS | self._random
            begin, end = value >> _END_BITS, value & (1 << _END_BITS) - 1
            if begin != self._begin:
                self._begin = begin
                self._begin_text = "".join([_PAIRS[begin >> shift & 1023] for shift in range(100, -1, -10)])
            return self._begin_text + _PAIRS[end >> 10] + _PAIRS[end & 1023]


_source = _Source()


def new_ulid(at: datetime) -> str:
    """A new id of 26 characters that begins with the millisecond of `at`; those of one instant keep order."""
    return _source.next(int(at.timestamp() * 1000))
