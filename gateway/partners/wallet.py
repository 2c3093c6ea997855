"""The Social wallet: forms one digital voucher per pupil from what we send it (order A2 §4)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from gateway.clock import wall_now
from gateway.config.model import Wallet as WalletConfig
from gateway.consent.deadlines import Calendar
from gateway.consent.inputs import IssueVoucher, Park, RejectVoucher
from gateway.logs.redaction import without_numbers
from gateway.partners.responses import (
    MAX_TEXT_LENGTH,
    TRANSIENT_ERRORS,
    Done,
    InvalidResponse,
    Outcome,
    Retry,
    is_retryable,
    is_storable,
    read_object,
    retry_after,
)
from gateway.store.cases import StoredCase

_ISSUED = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT})


class Wallet:
    """Asks for vouchers. The case_id is the idempotency key: however often we are killed, one key per consent."""

    batch = 1

    def __init__(self, http: aiohttp.ClientSession, config: WalletConfig, calendar: Calendar) -> None:
        self._http = http
        self._url = config.url.rstrip("/") + "/v1/vouchers"
        self._headers = {"Authorization": f"Bearer {config.token}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout.total_seconds())
        self._calendar = calendar

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """Outcomes for consented cases."""
        return [await self._form(case) for case in stored]

    async def _form(self, stored: StoredCase) -> Outcome:
        case_id = stored.case_id
        try:
            async with self._http.post(
                self._url,
                data=orjson.dumps(self._order(stored)),
                headers=self._headers | {"Idempotency-Key": case_id},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if is_retryable(response.status):
                    return Retry(case_id, str(response.status), retry_after(response.headers, wall_now()))
                if response.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                    return Done(case_id, RejectVoucher(reason=await _reason(response)))
                if response.status not in _ISSUED:
                    raise InvalidResponse(str(response.status))
                voucher_id = (await read_object(response)).get("voucher_id")
        except TRANSIENT_ERRORS as error:
            return Retry(case_id, type(error).__name__)
        except InvalidResponse as error:
            return Done(case_id, Park(reason=f"wallet: {error}"))
        if not is_storable(voucher_id):
            return Done(case_id, Park(reason="wallet: no voucher_id"))
        return Done(case_id, IssueVoucher(voucher_id=voucher_id))

    def _order(self, stored: StoredCase) -> dict[str, Any]:
        case = stored.case
        assert case.answered_at is not None, "a consent has an instant"
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
    """IIN and names; no patronymic where there is none."""
    names = ("iin", "surname", "given_name", "patronymic")
    return {name: person[name] for name in names if person.get(name) is not None}


async def _reason(response: aiohttp.ClientResponse) -> str:
    """Why the wallet refused, from its problem document; nothing free of form."""
    try:
        body = await read_object(response)
    except InvalidResponse:
        return "refused"
    reason = body.get("reason") or body.get("code") or body.get("title")
    shown = reason[:MAX_TEXT_LENGTH] if isinstance(reason, str) else None
    return without_numbers(shown) if is_storable(shown) else "refused"
