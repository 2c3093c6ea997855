"""What a partner's HTTP answer means for a call: done, or once more. MCB, wallet and SDU share it."""

import email.utils
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TypeGuard

import aiohttp
import orjson

from gateway.consent.inputs import Input

BACKOFF = (timedelta(seconds=1), timedelta(minutes=5))
"""First and longest wait before a failed call is made again."""
MAX_RETRY_AFTER = timedelta(hours=1)
MAX_TEXT_LENGTH = 200
"""Characters of an identifier or a reason that a partner gives."""
MAX_RESPONSE_BYTES = 1 << 22
"""Octets of an answer, unpacked: a full batch of the MCB takes some three million."""

TRANSIENT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""No answer at all: that is not a *no*."""


@dataclass(frozen=True, slots=True)
class Done:
    """The partner has answered: an input for the case."""

    case_id: str
    given: Input


@dataclass(frozen=True, slots=True)
class Retry:
    """The partner could not answer; `retry_after` when it has said from when on it can."""

    case_id: str
    reason: str
    retry_after: timedelta | None = None


Outcome = Done | Retry


class InvalidResponse(Exception):
    """An answer that fits no contract: a person has to look. The text holds nothing of the answer's contents."""


def is_retryable(status: int) -> bool:
    """The same call may well succeed later."""
    return status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """What Retry-After says, in seconds or as an HTTP date; at most an hour."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(timedelta(seconds=min(int(value), 86_400)), MAX_RETRY_AFTER)
    try:
        wait: timedelta = email.utils.parsedate_to_datetime(value) - now
    except (ValueError, TypeError):
        return None
    return min(max(timedelta(), wait), MAX_RETRY_AFTER)


def backoff(attempts: int) -> timedelta:
    """How long to wait after `attempts` failures before this one: doubling, with jitter."""
    first, longest = BACKOFF
    return min(longest, first * 2.0 ** min(attempts, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def is_storable(text: object) -> TypeGuard[str]:
    """Whether a partner's identifier can be kept and shown: text of sensible length, all of it printable."""
    return isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH and text.isprintable()


async def read_object(response: aiohttp.ClientResponse) -> Mapping[str, object]:
    """The JSON object an answer holds; raises InvalidResponse when it holds none, or is longer than any may be."""
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
