"""The rules for any line that `gateway tail` reads: it is shown in printable characters, within a length."""

import io
from typing import Final

import orjson

from gateway.cli.log_lines import as_json, lines
from gateway.cli.tail import shown
from gateway.limits import MAX_LOGGED_CHARACTERS

WORDS: Final = (
    b'{"event":"x"', b'"level":"error",', b'"at":"2026-11-22T10:15:03.512+00:00",', b'{"log":"', b'{"MESSAGE":',
    b"gateway-1  | ", b"[pod/x/y] ", b" stdout F ", b"Nov 22 10:15:03 host gateway[1]: ", b"\x1b[36m", b"\x1b]0;",
    b"\\u001b", b"\\u009b", b"\\u202e", b"\\ud800", b"\\n", b"\0", b"\r", b"\n", b"\xff", "\u2028".encode(),
    "\u202e".encode(), "\U000e0001".encode(), b'"exception":{"error":', b'"cause":{', b'"frames":[', b'"errors":[',
    b"[" * 40, b"{" * 40, b"}", b"]", b'"', b"null", b"1e999", b"99999999999999999999",
)  # fmt: skip
_FORMS: Final = 64 * MAX_LOGGED_CHARACTERS


def probe(octets: bytes) -> None:
    """Reads the octets as standard input. Raises AssertionError, or what the reading raised."""
    for line in lines(io.BytesIO(octets)):
        text = shown(line).plain
        assert all(part.isprintable() for part in text.split("\n"))
        assert len(text) < _FORMS
        if line.record is None:
            assert "\n" not in text
        elif (passed := as_json(line.record)) is not None:
            assert passed.isprintable()
            assert orjson.loads(passed) == line.record
