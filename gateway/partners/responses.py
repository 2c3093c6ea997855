"""What a partner's HTTP response means for a call: done, to be retried, or invalid.

Shared by MCB, wallet and SDU.
"""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
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
MAX_VALUES = 10_000
"""Values in a response, and MAX_VALUES_PER_RECORD more for each record: a million take half a second to read, in
which nothing else runs.
"""
MAX_VALUES_PER_RECORD = 12

REQUEST_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""No response, or one that broke off: the call is retried. It is never taken for a negative response."""


class FailureKind(StrEnum):
    """Why a request failed, and so what is done about it."""

    OUTAGE = "outage"
    """The same request may succeed later: it is retried with backoff."""
    CREDENTIALS = "credentials"
    """The partner does not accept our token: no request succeeds until a person has settled it."""
    ADDRESS = "address"
    """The partner is not where the configuration says: as for CREDENTIALS."""
    TOO_LARGE = "too_large"
    """The request is to be made with fewer records. Where it has one only, the response is invalid."""
    INVALID = "invalid"
    """The response fits no contract. One record may be to blame, or, after many in a row, the partner."""


_KIND_OF_STATUS: Mapping[int, FailureKind] = {
    HTTPStatus.UNAUTHORIZED: FailureKind.CREDENTIALS,
    HTTPStatus.FORBIDDEN: FailureKind.CREDENTIALS,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: FailureKind.CREDENTIALS,
    HTTPStatus.NOT_FOUND: FailureKind.ADDRESS,
    HTTPStatus.METHOD_NOT_ALLOWED: FailureKind.ADDRESS,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: FailureKind.TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: FailureKind.OUTAGE,
    HTTPStatus.TOO_EARLY: FailureKind.OUTAGE,
    HTTPStatus.TOO_MANY_REQUESTS: FailureKind.OUTAGE,
}


def failure_kind(status: int) -> FailureKind:
    """What a status code means where a partner's contract does not say more."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FailureKind.OUTAGE
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:  # redirects are not followed
        return FailureKind.ADDRESS
    return _KIND_OF_STATUS.get(status, FailureKind.INVALID)


@dataclass(frozen=True, slots=True)
class Done:
    """The partner has responded: an input for the case."""

    case_id: str
    given: Input


@dataclass(frozen=True, slots=True)
class Retry:
    """The call has to be made again, not before `retry_after` if the partner has set that."""

    case_id: str
    reason: str
    retry_after: timedelta | None = None
    kind: FailureKind = FailureKind.OUTAGE


@dataclass(frozen=True, slots=True)
class Invalid:
    """The response for the case fits no contract: a person has to look at the case, or at the partner."""

    case_id: str
    reason: str


Outcome = Done | Retry | Invalid


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The partner did not process a request: the same one may succeed later.

    `reason` is the status code or the name of an exception.
    """

    reason: str
    retry_after: timedelta | None = None
    kind: FailureKind = FailureKind.OUTAGE

    @classmethod
    def by_response(cls, response: aiohttp.ClientResponse) -> "Unavailable":
        """By its status and Retry-After; the body is not read."""
        wait = retry_after(response.headers, wall_now())
        return cls(str(response.status), wait, failure_kind(response.status))

    @classmethod
    def by_error(cls, error: Exception) -> "Unavailable":
        """By one of REQUEST_ERRORS."""
        return cls(type(error).__name__)

    def retry(self, case_id: str) -> Retry:
        """The outcome for a case of the request."""
        return Retry(case_id, self.reason, self.retry_after, self.kind)


class InvalidResponse(Exception):
    """A response that fits no contract: a person has to look. The message holds nothing of the response's body."""


class RequestTooLarge(InvalidResponse):
    """413: the request has too many records, or the partner accepts none."""


def invalid_or_unavailable(response: aiohttp.ClientResponse) -> Unavailable:
    """Why a request about cases failed, by a status that the partner's contract does not have.

    Raises InvalidResponse where the same request cannot succeed: RequestTooLarge for 413.
    """
    unavailable = Unavailable.by_response(response)
    match unavailable.kind:
        case FailureKind.TOO_LARGE:
            raise RequestTooLarge(unavailable.reason)
        case FailureKind.INVALID:
            raise InvalidResponse(unavailable.reason)
    return unavailable


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that Retry-After asks for, in seconds or as an HTTP date (RFC 9110 §10.2.3); an hour at most.

    A date is compared with the partner's own clock, where the response has its Date: `now` is this host's, which
    may be wrong. None where there is no valid value, or one of 0 or in the past. The caller's own backoff applies
    as well: a request is never repeated before it has passed.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isascii() and value.isdecimal():
            digits = value.lstrip("0")[:6]  # int() raises for thousands of digits; six are past an hour
            wait = timedelta(seconds=int(digits or "0"))
        else:
            wait = _http_date(value) - _date_of(headers, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta() else None


def _date_of(headers: Mapping[str, str], now: datetime) -> datetime:
    try:
        return _http_date(headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return now


def _http_date(value: str) -> datetime:
    """In any of the three formats of RFC 9110 §5.6.7; that of asctime names no time zone and means UTC."""
    date = email.utils.parsedate_to_datetime(value)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def at_least(seconds: float, retry_after: timedelta | None) -> float:
    """The wait by backoff, or the one that the partner asks for where that is longer."""
    return seconds if retry_after is None else max(seconds, retry_after.total_seconds())


def is_valid_text(text: object) -> TypeGuard[str]:
    """Whether a partner's identifier or reason can be stored: 1 to MAX_TEXT_LENGTH printable characters."""
    return isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH and text.isprintable()


async def read_json_object(response: aiohttp.ClientResponse, records: int = 1) -> Mapping[str, object]:
    """The JSON object in the body, whatever its Content-Type; of a response about so many records.

    Raises InvalidResponse when there is none, when the body is longer than MAX_RESPONSE_BYTES or has more values
    than MAX_VALUES allows; raises one of REQUEST_ERRORS when the body breaks off.
    """
    octets = bytearray()
    async for chunk in response.content.iter_any():
        octets += chunk
        if len(octets) > MAX_RESPONSE_BYTES:
            raise InvalidResponse(f"{response.status} with more than {MAX_RESPONSE_BYTES} octets")
    if sum(map(octets.count, b"[{,")) > MAX_VALUES + MAX_VALUES_PER_RECORD * records:
        raise InvalidResponse(f"{response.status} with too many values")
    try:
        body = orjson.loads(octets)
    except orjson.JSONDecodeError:
        raise InvalidResponse(f"{response.status} without JSON") from None
    if not isinstance(body, dict):
        raise InvalidResponse(f"{response.status} without a JSON object")
    return body
