"""The body of a list as octets: the lines do not depend on the chunks, and memory stays bounded."""

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.body import (
    MAX_LINE_BYTES,
    Body,
    BodyEncodingError,
    BodyMalformedError,
    BodyTooLargeError,
    BodyWithoutLinesError,
    Decoder,
    Gunzip,
    Plain,
    check_encoding,
    check_last_line,
)

Lines = list[tuple[int, bytes | None]]


def read(pieces: Iterable[bytes], unpacker: Decoder | None = None, limit: int = 1 << 30) -> tuple[Lines, bytes]:
    body = Body(unpacker or Plain(), limit)
    lines: Lines = []
    for piece in pieces:
        for batch in body.feed(piece):
            lines += batch
    return lines + body.close(), body.digest


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[i : i + size] for i in range(0, len(octets), size)]


def test_lines_of_a_body_are_numbered_and_the_last_needs_no_line_feed() -> None:
    assert read([b"one\ntwo\n\nthree"])[0] == [(1, b"one"), (2, b"two"), (3, b""), (4, b"three")]
    assert read([b"one\n"])[0] == [(1, b"one")]
    assert read([])[0] == []


def test_a_byte_order_mark_at_the_start_is_not_part_of_the_first_line() -> None:
    lines, digest = read([b"\xef", b"\xbb\xbfone\n\xef\xbb\xbftwo"])
    assert lines == [(1, b"one"), (2, b"\xef\xbb\xbftwo")]
    assert digest == hashlib.sha256(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo").digest()


@given(st.binary(max_size=300), st.integers(1, 7))
def test_lines_are_the_same_for_a_body_fed_whole_or_in_pieces(octets: bytes, size: int) -> None:
    assert read(cut(octets, size)) == read([octets])


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4), st.integers(1, 9))
def test_consecutive_gzip_members_are_one_body(parts: list[bytes], size: int) -> None:
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    assert read(cut(packed, size), Gunzip()) == read([b"".join(parts)])


@pytest.mark.parametrize("octets", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES])
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_line_above_the_limit_is_reported_and_the_next_one_read(octets: int, size: int) -> None:
    body = b"first\n" + b"x" * octets + b"\nlast"
    lines = read(cut(body, size))[0]
    assert [(number, line is None) for number, line in lines] == [
        (1, False),
        (2, octets > MAX_LINE_BYTES),
        (3, False),
    ]
    assert lines[2] == (3, b"last")


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1251", "koi8-r"]
)
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_line_above_the_limit_that_is_not_utf_8_is_rejected_with_the_body(encoding: str, size: int) -> None:
    body = ('[{"surname": "Ахметов"},' + "x" * MAX_LINE_BYTES).encode(encoding)
    with pytest.raises(BodyEncodingError):
        read(cut(body, size))


@pytest.mark.parametrize("size", [999, 1000, 1 << 20])
def test_a_line_above_the_limit_may_be_cut_within_a_character(size: int) -> None:
    assert read(cut("Ұ".encode() * MAX_LINE_BYTES, size))[0] == [(1, None)]


@pytest.mark.parametrize("line", [b"", b"{", b'{"a": "\x00"}', '"Ұлы"'.encode(), b"\xef\xbb\xbf{}"])
def test_a_line_of_utf_8_passes_the_check_of_its_encoding(line: bytes) -> None:
    check_encoding(line)


@pytest.mark.parametrize("line", [b"\xff", b"\xd0", b"\xed\xa0\x80", b"\x00{", b"{\x00", b"\x00"])
def test_a_line_of_another_encoding_fails_the_check(line: bytes) -> None:
    with pytest.raises(BodyEncodingError):
        check_encoding(line)


@pytest.mark.parametrize(
    "body", [b"[" + b"1," * 10 + b"1]", b" \r[{}]", b"{}\r{}\r", b"{}\r{}", b"x" * (MAX_LINE_BYTES + 1)]
)
def test_a_body_of_one_line_that_can_be_no_record_has_no_lines(body: bytes) -> None:
    with pytest.raises(BodyWithoutLinesError):
        check_last_line(*read([body])[0][-1])


@pytest.mark.parametrize(
    "body", [b"{}", b"{}\r\n{}", b"?", b"{}\r\n", b"{}\n[", b"\n" + b"x" * (MAX_LINE_BYTES + 1)]
)
def test_a_last_line_that_may_be_a_record_or_is_not_the_only_one_is_read(body: bytes) -> None:
    for line in read([body])[0][-1:]:
        check_last_line(*line)


def test_a_body_above_its_limit_is_rejected() -> None:
    assert len(read([b"x" * 100], limit=100)[0]) == 1
    with pytest.raises(BodyTooLargeError):
        read([b"x" * 50, b"x" * 51], limit=100)


PACKED = gzip.compress(b'{"record_id": "r-1"}\n' * 100, mtime=0)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}\n",
        PACKED[:-1],
        PACKED[: len(PACKED) // 2],
        PACKED[:5],
        PACKED + b"garbage",
        PACKED + PACKED[:8],
        PACKED[:-8] + b"\x00" * 8,
        zlib.compress(b"{}"),
        PACKED[:12] + b"\xff\xff\xff" + PACKED[15:],
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_invalid_gzip_is_malformed(octets: bytes, size: int) -> None:
    with pytest.raises(BodyMalformedError):
        read(cut(octets, size), Gunzip())


def test_a_gzip_bomb_is_rejected_in_bounded_memory() -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            read([bomb], Gunzip(), limit=100_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
