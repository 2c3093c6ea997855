"""The rules for any response of MCB, wallet and SDU: one outcome a case, its words short and printable.

The first line has the status and, where there is one, the value of Retry-After; the body follows.
"""

import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, TypeVar

from gateway.consent.identity import canonical_msisdn
from gateway.consent.inputs import IssueVoucher, RejectVoucher, SkipRecipient, UseNumber
from gateway.partners.responses import (
    MAX_RETRY_AFTER,
    MAX_TEXT_LENGTH,
    Done,
    Invalid,
    Outcome,
    Retry,
    is_valid_text,
)
from tests.partners.partner_calls import CASES, Partner, outcomes, push

WORDS: Final = (
    b"200", b"201", b"204", b"302", b"401", b"404", b"409", b"413", b"422", b"429", b"500", b"503", b" 120\n",
    b" 1e9\n", b" Wed, 25 Nov 2026 05:00:00 GMT\n", b" Sun, 99 Nov 2026 99:00:00 +9999\n", b"null", b"true",
    b"false", b"{}", b"[]", b'""', b"1e999", b"-1", b"99999999999999999999", b'"\\u0000"', b'"found"',
    b'"msisdn"', b'"operator"', b'"results"', b'"iin"', b'"voucher_id"', b'"reason"', b'"code"', b'"title"',
    b'"tel:+77011234567"', b"870312497005", b"\xff",
)  # fmt: skip
_URL: Final = "http://127.0.0.1:9"
_STATUS: Final = re.compile(rb"([1-5][0-9]{2})(?: (.*))?")
_REASON: Final = re.compile(r"(?:(?:mcb|wallet): )?[0-9A-Za-z_ ]{1,80}")
_MASK_GROWTH: Final = 2
T = TypeVar("T")


class _Response:
    """What the clients read of an aiohttp.ClientResponse."""

    def __init__(self, octets: bytes) -> None:
        head, _, self._body = octets.partition(b"\n")
        found = _STATUS.fullmatch(head)
        self.status = int(found[1]) if found else 200
        self.headers = {"Retry-After": (found[2] or b"").decode("latin-1")} if found else {}
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body

    async def __aenter__(self) -> "_Response":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Http:
    """A session all of whose requests get one response."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def post(self, _url: str, **_options: object) -> _Response:
        return _Response(self._octets)


def probe(octets: bytes) -> None:
    """Every client gets the octets as its response. Raises AssertionError, or what a client raised."""
    http: Any = _Http(octets)
    for partner, cases in ((Partner.MCB, 1), (Partner.MCB_BATCH, 2), (Partner.WALLET, 1)):
        _fit(_result(outcomes(partner, http, _URL)), cases)
    unavailable = _result(push(http, _URL))
    if unavailable is not None:
        _is_a_wait(unavailable.retry_after)
        assert _REASON.fullmatch(unavailable.reason)


def _result(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns; it waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")


def _fit(found: Sequence[Outcome], cases: int) -> None:
    assert sorted(outcome.case_id for outcome in found) == [case.case_id for case in CASES[:cases]]
    for outcome in found:
        match outcome:
            case Retry(reason=reason, retry_after=wait):
                _is_a_wait(wait)
                assert _REASON.fullmatch(reason), "a reason quotes the response"
            case Invalid(reason=reason):
                assert _REASON.fullmatch(reason), "a reason quotes the response"
            case Done(given=UseNumber(msisdn=msisdn, operator=operator)):
                assert canonical_msisdn(msisdn) == msisdn
                assert operator is None or is_valid_text(operator)
            case Done(given=IssueVoucher(voucher_id=text)):
                assert is_valid_text(text)
            case Done(given=RejectVoucher(reason=text)):
                assert text.isprintable()
                assert 0 < len(text) <= _MASK_GROWTH * MAX_TEXT_LENGTH
            case Done(given=given):
                assert isinstance(given, SkipRecipient)


def _is_a_wait(wait: timedelta | None) -> None:
    assert wait is None or timedelta() < wait <= MAX_RETRY_AFTER
