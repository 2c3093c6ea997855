"""What a partner's HTTP response means for a call: done, or to be retried. Shared by MCB, wallet and SDU."""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TypeGuard

import aiohttp
import orjson

from gateway.clock import wall_now
from gateway.consent.inputs import Input

MAX_RETRY_AFTER = timedelta(hours=1)
MAX_TEXT_LENGTH = 200
"""Characters of an identifier or a reason that a partner gives."""
MAX_RESPONSE_BYTES = 1 << 22
"""Octets of a response body, decompressed: a full batch of the MCB takes some three million."""

REQUEST_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""No response, or one that broke off: the call is retried. It is never taken for a negative response."""


@dataclass(frozen=True, slots=True)
class Done:
    """The partner has responded: an input for the case."""

    case_id: str
    given: Input


@dataclass(frozen=True, slots=True)
class Retry:
    """The call has to be made again, after `retry_after` if the partner has set that."""

    case_id: str
    reason: str
    retry_after: timedelta | None = None


Outcome = Done | Retry


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The partner could not process a request: the same one may succeed later.

    `reason` is the status code or the name of an exception.
    """

    reason: str
    retry_after: timedelta | None = None

    @classmethod
    def by_response(cls, response: aiohttp.ClientResponse) -> "Unavailable":
        """By its status and Retry-After; the body is not read."""
        return cls(str(response.status), retry_after(response.headers, wall_now()))

    @classmethod
    def by_error(cls, error: Exception) -> "Unavailable":
        """By one of REQUEST_ERRORS."""
        return cls(type(error).__name__)

    def retry(self, case_id: str) -> Retry:
        """The outcome for a case of the request."""
        return Retry(case_id, self.reason, self.retry_after)


class InvalidResponse(Exception):
    """A response that fits no contract: a person has to look. The message holds nothing of the response's body."""


def is_retryable(status: int) -> bool:
    """Whether the same call may succeed later."""
    return status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that Retry-After asks for, in seconds or as an HTTP date (RFC 9110 §10.2.3); an hour at most.

    None where there is no valid value, or one of 0 or in the past: the caller's own backoff then applies.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isascii() and value.isdecimal():
            digits = value.lstrip("0")[:6]  # int() raises for thousands of digits; six are past an hour
            wait = timedelta(seconds=int(digits or "0"))
        else:
            wait = _http_date(value) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta() else None


def _http_date(value: str) -> datetime:
    """In any of the three formats of RFC 9110 §5.6.7; that of asctime names no time zone and means UTC."""
    date = email.utils.parsedate_to_datetime(value)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def is_valid_text(text: object) -> TypeGuard[str]:
    """Whether a partner's identifier or reason can be stored: 1 to MAX_TEXT_LENGTH printable characters."""
    return isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH and text.isprintable()


async def read_json_object(response: aiohttp.ClientResponse) -> Mapping[str, object]:
    """The JSON object in the body, whatever its Content-Type.

    Raises InvalidResponse when there is none, or when the body is longer than MAX_RESPONSE_BYTES; raises one of
    REQUEST_ERRORS when the body breaks off.
    """
    octets = bytearray()
    async for chunk in response.content.iter_any():
        octets += chunk
        if len(octets) > MAX_RESPONSE_BYTES:
            raise InvalidResponse(f"{response.status} with more than {MAX_RESPONSE_BYTES} octets")
    try:
        body = orjson.loads(octets)
    except orjson.JSONDecodeError:
        raise InvalidResponse(f"{response.status} without JSON") from None
    if not isinstance(body, dict):
        raise InvalidResponse(f"{response.status} without a JSON object")
    return body
