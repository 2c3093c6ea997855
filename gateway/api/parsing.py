"""Requests as aiohttp's parser finds them, in bounded memory and without what one of them could do to another.

aiohttp limits each line of a head, not the head: 64 headers of 8 KB are half a megabyte. The trailers of a chunked
body have no limit of their own, and the last of them becomes a header of the next request (in 3.14.5 still): a
connection ends after a chunked body.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy

CONTINUE_AWAITED = "Gateway-Continue-Awaited"
"""The header that replaces `Expect: 100-continue`, to which aiohttp would respond before the token is checked."""

_SEPARATORS_BYTES = 4  # of a header: a colon, a space, CR and LF
_REQUEST_LINE_BYTES = 20  # method, version, spaces, CR and LF
_Parsed = tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]


class RequestParser(HttpRequestParser):
    """aiohttp's parser; raises LineTooLong for a head, or for trailers, longer than `max_head_bytes`."""

    def __init__(
        self, protocol: Any, loop: asyncio.AbstractEventLoop, *, limit: int, max_head_bytes: int, **settings: Any
    ) -> None:
        super().__init__(protocol, loop, limit, payload_exception=RequestPayloadError, **settings)
        self._max_head_bytes = max_head_bytes
        self._body: StreamReader = EMPTY_PAYLOAD  # of the latest request
        self._body_bytes = 0
        self._unfinished_bytes = 0  # of the head or the trailers that are being received
        self._failed = False

    def feed_data(self, incoming_data: bytes) -> _Parsed:  # type: ignore[override]  # the compiled parser's signature
        """The requests whose heads are complete. After an error nothing more is read of the connection."""
        if self._failed:
            return [], False, b""
        try:
            found, upgraded, tail = super().feed_data(incoming_data)
            messages = [(self._checked(message), body) for message, body in found]
            self._check_progress(len(incoming_data), messages)
        except HttpProcessingError:
            self._failed = True
            self._body.set_exception(RequestPayloadError("the body is malformed"))
            raise
        return messages, upgraded, tail

    def _checked(self, message: RawRequestMessage) -> RawRequestMessage:
        """The message as handlers may see it. Nobody needs its headers as octets."""
        octets = sum(len(name) + len(value) + _SEPARATORS_BYTES for name, value in message.raw_headers)
        if octets + len(message.path) + _REQUEST_LINE_BYTES > self._max_head_bytes:
            raise self._too_long()
        headers = message.headers
        if hdrs.EXPECT in headers:
            headers = _without_expectation(headers)
        closes = message.should_close or message.chunked
        return message._replace(raw_headers=(), headers=headers, should_close=closes)

    def _check_progress(self, received: int, messages: Sequence[tuple[RawRequestMessage, StreamReader]]) -> None:
        """Counts octets that neither complete a head nor belong to a body."""
        progressed = bool(messages) or self._body.total_bytes != self._body_bytes
        self._unfinished_bytes = 0 if progressed else self._unfinished_bytes + received
        if messages:
            _, self._body = messages[-1]
        self._body_bytes = self._body.total_bytes
        if self._unfinished_bytes > self._max_head_bytes:
            raise self._too_long()

    def _too_long(self) -> LineTooLong:
        return LineTooLong("the head", self._max_head_bytes)


def _without_expectation(headers: "CIMultiDictProxy[str]") -> "CIMultiDictProxy[str]":
    """The headers with CONTINUE_AWAITED for 100-continue. Other expectations are ignored (RFC 9110 §10.1.1)."""
    kept = CIMultiDict(headers)
    expected = kept.popall(hdrs.EXPECT)
    if [value.lower() for value in expected] == ["100-continue"]:
        kept[CONTINUE_AWAITED] = "yes"
    return CIMultiDictProxy(kept)
