"""The lines of a list as the gateway reads them, and a sample that keeps the children of a parent together."""

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gateway.intake.body import (
    Body,
    BodyEncodingError,
    BodyMalformedError,
    BodyTooLargeError,
    Gunzip,
    Plain,
    check_encoding,
)
from gateway.intake.records import Record, read_record
from gateway.rehearsal.parents import Parents

_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 1 << 18
_TOO_LONG = b"{}"
"""The line that replaces one that is too long: it is rejected as well."""


class ListError(Exception):
    """The list cannot be read; the message is one line with the reason."""


def records(path: Path, max_bytes: int, max_records: int) -> Iterator[tuple[bytes, Record | None]]:
    """Each line with its record; None: it is rejected. Raises ListError where the whole list would be."""
    read = 0
    try:
        with path.open("rb") as file:
            for entry in _entries(file, max_bytes):
                read += 1
                if read > max_records:
                    raise ListError(f"{path} has more records than http.max_list_records: the gateway rejects it")
                yield entry
    except OSError as error:
        raise ListError(f"{path} cannot be read: {error.strerror}") from None
    except BodyMalformedError as error:
        raise ListError(f"{path} cannot be read: {error}") from None
    except BodyEncodingError:
        raise ListError(f"{path} is not UTF-8: the gateway rejects the list as a whole") from None
    except BodyTooLargeError:
        raise ListError(f"{path} is longer than http.max_list_bytes: the gateway rejects it") from None
    if not read:
        raise ListError(f"{path} has no records: the gateway rejects it")


def _entries(file: BinaryIO, max_bytes: int) -> Iterator[tuple[bytes, Record | None]]:
    piece = file.read(_PIECE_BYTES)
    body = Body(Gunzip() if piece.startswith(_GZIP) else Plain(), max_bytes)
    while piece:
        for lines in body.feed(piece):
            yield from _read(lines)
        piece = file.read(_PIECE_BYTES)
    yield from _read(body.close())


def _read(lines: list[tuple[int, bytes | None]]) -> Iterator[tuple[bytes, Record | None]]:
    for _, line in lines:
        if line is None:
            yield _TOO_LONG, None
        elif line and not line.isspace():
            record = read_record(line)
            if isinstance(record, Record):
                yield line, record
            else:
                check_encoding(line)
                yield line, None


class Sample:
    """The `size` lines with the smallest numbers, which the seed and the first recipient's IIN make."""

    def __init__(self, size: int, parents: Parents) -> None:
        self._size = size
        self._parents = parents
        self._kept: list[tuple[int, int, bytes]] = []
        self._offered = 0

    def offer(self, line: bytes, content: Mapping[str, Any] | None) -> None:
        """The next line of the list, with the content of its record; None: it is rejected."""
        self._offered += 1
        family = line if content is None else content["recipients"][0]["iin"].encode()
        entry = (-self._parents.order(family), -self._offered, line)
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    @property
    def whole(self) -> bool:
        """Whether it is the whole list."""
        return self._offered <= self._size

    def lines(self) -> list[bytes]:
        """In the order of the list."""
        return [line for _, _, line in sorted(self._kept, key=lambda entry: -entry[1])]
