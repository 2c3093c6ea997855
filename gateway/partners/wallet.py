"""Client of the Social wallet: issues one digital voucher a pupil (order A2 §4)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from gateway.config.model import Wallet as WalletConfig
from gateway.consent.deadlines import Calendar
from gateway.consent.inputs import IssueVoucher, RejectVoucher
from gateway.logs.redaction import without_numbers
from gateway.partners.responses import (
    MAX_TEXT_LENGTH,
    REQUEST_ERRORS,
    Done,
    Invalid,
    InvalidResponse,
    Outcome,
    Unavailable,
    invalid_or_unavailable,
    is_valid_text,
    read_json_object,
)
from gateway.partners.silence import Silence
from gateway.store.cases import StoredCase
from gateway.tracing.context import HEADER, trace_of_case, traceparent

_ISSUED = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT})

_NUMBER_CHARACTERS = "0123456789 \u00a0()+-"
"""Characters of a number that a shortened reason may end in: a part of one would not be recognised and masked."""


class Wallet:
    """Requests vouchers.

    The case_id is the idempotency key: the wallet sees one key a consent, however often the request is repeated.
    """

    batch = 1

    def __init__(self, http: aiohttp.ClientSession, config: WalletConfig, calendar: Calendar) -> None:
        self._http = http
        self._url = config.url + "/v1/vouchers"
        self._headers = {"Authorization": f"Bearer {config.token}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout.total_seconds())
        self._silence = Silence("voucher")
        self._calendar = calendar

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One outcome for each of these cases, all of them consented; one request each."""
        return [await self._request_voucher(case) for case in stored]

    async def _request_voucher(self, stored: StoredCase) -> Outcome:
        case_id = stored.case_id
        try:
            with self._silence.request():
                async with self._http.post(
                    self._url,
                    data=orjson.dumps(self._request_body(stored)),
                    headers={
                        **self._headers,
                        "Idempotency-Key": case_id,
                        HEADER: traceparent(trace_of_case(case_id)),
                    },
                    timeout=self._timeout,
                    allow_redirects=False,
                ) as response:
                    if response.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                        return Done(case_id, RejectVoucher(reason=await _rejection_reason(response)))
                    if response.status not in _ISSUED:
                        return invalid_or_unavailable(response).retry(case_id)
                    voucher_id = (await read_json_object(response)).get("voucher_id")
        except REQUEST_ERRORS as error:
            return Unavailable.by_error(error).retry(case_id)
        except InvalidResponse as error:
            return Invalid(case_id, f"wallet: {error}")
        if not is_valid_text(voucher_id):
            return Invalid(case_id, "wallet: no voucher_id")
        return Done(case_id, IssueVoucher(voucher_id=voucher_id))

    def _request_body(self, stored: StoredCase) -> dict[str, Any]:
        case = stored.case
        assert case.answered_at is not None, "a consented case has answered_at"
        return {
            "case_id": stored.case_id,
            "service": stored.service,
            "category": stored.category,
            "school_year": self._calendar.school_year(case.answered_at),
            "pupil": _person(stored.pupil),
            "recipient": {"relation": case.relation, "msisdn": case.msisdn} | _person(stored.recipient),
            "consent": {"at": self._calendar.iso_local(case.answered_at), "evidence": case.evidence},
        }


def _person(person: Mapping[str, Any]) -> dict[str, Any]:
    """IIN and names; the key `patronymic` is absent where there is none."""
    names = ("iin", "surname", "given_name", "patronymic")
    return {name: person[name] for name in names if person.get(name) is not None}


async def _rejection_reason(response: aiohttp.ClientResponse) -> str:
    """The reason in the wallet's problem document; `refused` where there is no usable one."""
    try:
        body = await read_json_object(response)
    except InvalidResponse:
        return "refused"
    reason = body.get("reason") or body.get("code") or body.get("title")
    if not isinstance(reason, str):
        return "refused"
    shown = reason if len(reason) <= MAX_TEXT_LENGTH else reason[:MAX_TEXT_LENGTH].rstrip(_NUMBER_CHARACTERS)
    return without_numbers(shown) if is_valid_text(shown) else "refused"
