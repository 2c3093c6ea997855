"""A list's body as it streams in: unpacked, counted, digested and cut into lines, in bounded memory.

Sans-I/O: octets in, lines out. What is wrong with the body as a whole is raised and ends the intake; what is
wrong with one line is that line's matter.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

MAX_LINE_BYTES = 65_536
"""Octets of a line, its end not counted."""

_PIECE = 32_768
"""Octets given out at once: a gzip bomb fills no more, and other tasks wait for no more than their lines."""
_GZIP = 16 + zlib.MAX_WBITS
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BodyMalformedError(Exception):
    """The body does not unpack, or ends before it is complete. Refuse the whole list."""


class BodyTooLargeError(Exception):
    """The body is longer, unpacked, than lists may be. Refuse the whole list."""


class Unpacker(Protocol):
    def feed(self, data: bytes) -> Iterable[bytes]:
        """The unpacked octets, in pieces of bounded length."""
        ...

    def close(self) -> None:
        """The body has ended; raises BodyMalformedError when it must not end here."""
        ...


class Plain:
    """A body without Content-Encoding."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        return (data[begin : begin + _PIECE] for begin in range(0, len(data), _PIECE))

    def close(self) -> None:
        return


class Gunzip:
    """A body of gzip members (RFC 1952), one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises BodyMalformedError where the octets are no gzip."""
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            yield self._unpack(data)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        # What zlib holds back of a piece that was full comes out without new input.
        while not self._member.eof and (piece := self._unpack(b"")):
            yield piece

    def close(self) -> None:
        if not self._member.eof:
            raise BodyMalformedError("the gzip ends too early")

    def _unpack(self, data: bytes) -> bytes:
        try:
            return self._member.decompress(data, _PIECE)
        except zlib.error as error:
            raise BodyMalformedError("the gzip does not unpack") from error


class Body:
    """The lines of a body and the SHA-256 of its octets; `limit` is the most it may hold, unpacked."""

    def __init__(self, unpacker: Unpacker, limit: int) -> None:
        self._unpacker = unpacker
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self._octets = 0
        self._rest: list[bytes] = []  # of a line that is not complete
        self._rest_octets = 0
        self._line = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of the unpacked octets so far."""
        return self._sha256.digest()

    def feed(self, data: bytes) -> Iterator[list[tuple[int, bytes | None]]]:
        """Complete lines with their numbers, in batches; None stands for a line that is too long.

        Raises BodyMalformedError and BodyTooLargeError.
        """
        for piece in self._unpacker.feed(data):
            self._octets += len(piece)
            if self._octets > self._limit:
                raise BodyTooLargeError
            self._sha256.update(piece)
            yield self._cut(piece)

    def close(self) -> list[tuple[int, bytes | None]]:
        """The last line, when no line feed ended it. Raises BodyMalformedError when the body is cut off."""
        self._unpacker.close()
        return [self._take_rest()] if self._rest_octets else []

    def _cut(self, piece: bytes) -> list[tuple[int, bytes | None]]:
        first, *lines = piece.split(b"\n")
        self._keep(first)
        if not lines:
            return []
        complete = [self._take_rest()]
        last = lines.pop()
        for line in lines:
            self._line += 1
            complete.append((self._line, line if len(line) <= MAX_LINE_BYTES else None))
        self._keep(last)
        return complete

    def _keep(self, piece: bytes) -> None:
        self._rest_octets += len(piece)
        if self._rest_octets <= MAX_LINE_BYTES + len(_BYTE_ORDER_MARK):
            self._rest.append(piece)
        else:
            self._rest.clear()

    def _take_rest(self) -> tuple[int, bytes | None]:
        self._line += 1
        line: bytes | None = b"".join(self._rest)
        octets = self._rest_octets
        self._rest, self._rest_octets = [], 0
        if self._line == 1 and line is not None and line.startswith(_BYTE_ORDER_MARK):
            line = line.removeprefix(_BYTE_ORDER_MARK)
            octets -= len(_BYTE_ORDER_MARK)
        return self._line, line if octets <= MAX_LINE_BYTES else None
