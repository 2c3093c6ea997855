"""A list's body as it streams in: decompressed, counted, hashed and cut into lines, in bounded memory.

Sans-I/O: octets in, lines out. A fault of the body as a whole is raised and ends the intake; a fault of one line
concerns that line only.
"""

import codecs
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

MAX_LINE_BYTES = 65_536
"""The longest line, without its end."""

_PIECE_BYTES = 32_768
"""The octets decompressed at once: the memory that a gzip bomb takes, and the work before other tasks run."""
_GZIP = 16 + zlib.MAX_WBITS
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BodyMalformedError(Exception):
    """The body cannot be decompressed, or is cut off. The whole list is to be rejected."""


class BodyTooLargeError(Exception):
    """The decompressed body is longer than a list may be. The whole list is to be rejected."""


class TooManyRecordsError(Exception):
    """The body has more records than a list may have. The whole list is to be rejected."""


class BodyEmptyError(Exception):
    """No line of the body is a record. The whole list is to be rejected."""


class BodyWithoutLinesError(Exception):
    """The body has no line feed and is no record: another form of list. The whole list is to be rejected."""


class BodyEncodingError(Exception):
    """The body is not UTF-8. The whole list is to be rejected: its names cannot be read."""


def check_encoding(line: bytes, *, whole: bool = True) -> None:
    """Raises BodyEncodingError for a line that is not UTF-8; `whole` is False for the beginning of one.

    UTF-16 and UTF-32 without a byte order mark may be valid UTF-8, but JSON then has a NUL among its first two
    octets (RFC 4627 §3).
    """
    if 0 in line[:2]:
        raise BodyEncodingError
    try:
        codecs.utf_8_decode(line, "strict", whole)
    except UnicodeDecodeError:
        raise BodyEncodingError from None


def check_last_line(number: int, line: bytes | None) -> None:
    """Raises BodyWithoutLinesError when the last line is the first one, and can be no record.

    That is a JSON array, lines that a carriage return ends, or a line that is too long (None).
    """
    if number > 1:
        return
    if line is not None:
        check_encoding(line)
        line = line.strip()
    if line is None or line.startswith(b"[") or b"\r" in line:
        raise BodyWithoutLinesError


class Decoder(Protocol):
    """A Content-Encoding."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The decoded octets, in pieces of bounded length."""
        ...

    def close(self) -> None:
        """The body has ended; raises BodyMalformedError when it must not end here."""
        ...


class Plain:
    """A body without Content-Encoding."""

    def feed(self, data: bytes) -> Iterable[bytes]:
        return (data[begin : begin + _PIECE_BYTES] for begin in range(0, len(data), _PIECE_BYTES))

    def close(self) -> None:
        return


class Gunzip:
    """A body of gzip members (RFC 1952), one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises BodyMalformedError where the octets are not gzip."""
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            yield self._decompress(data)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        # zlib may hold decompressed octets back when a piece was full.
        while not self._member.eof and (piece := self._decompress(b"")):
            yield piece

    def close(self) -> None:
        if not self._member.eof:
            raise BodyMalformedError("the gzip is cut off")

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._member.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            raise BodyMalformedError("the gzip is invalid") from error


class Body:
    """The lines of a body and the SHA-256 of its octets; `max_bytes` is its longest decoded length."""

    def __init__(self, decoder: Decoder, max_bytes: int) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._bytes = 0
        self._rest: list[bytes] = []  # of a line that is not complete
        self._rest_bytes = 0
        self._line = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of the decoded octets so far."""
        return self._sha256.digest()

    def feed(self, data: bytes) -> Iterator[list[tuple[int, bytes | None]]]:
        """Complete lines with their numbers, in batches; None stands for a line that is too long.

        Raises BodyMalformedError, BodyTooLargeError, and BodyEncodingError where a line that is too long is not
        UTF-8; the other lines are not decoded here.
        """
        for piece in self._decoder.feed(data):
            self._bytes += len(piece)
            if self._bytes > self._max_bytes:
                raise BodyTooLargeError
            self._sha256.update(piece)
            yield self._cut(piece)

    def close(self) -> list[tuple[int, bytes | None]]:
        """The last line, when no line feed ended it. Raises BodyMalformedError when the body is cut off."""
        self._decoder.close()
        return [self._take_rest()] if self._rest_bytes else []

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
        self._rest_bytes += len(piece)
        if self._rest_bytes <= MAX_LINE_BYTES + len(_BYTE_ORDER_MARK):
            self._rest.append(piece)
        elif self._rest:
            check_encoding(b"".join(self._rest), whole=False)
            self._rest.clear()

    def _take_rest(self) -> tuple[int, bytes | None]:
        self._line += 1
        line: bytes | None = b"".join(self._rest)
        octets = self._rest_bytes
        self._rest, self._rest_bytes = [], 0
        if self._line == 1 and line is not None and line.startswith(_BYTE_ORDER_MARK):
            line = line.removeprefix(_BYTE_ORDER_MARK)
            octets -= len(_BYTE_ORDER_MARK)
        return self._line, line if octets <= MAX_LINE_BYTES else None
