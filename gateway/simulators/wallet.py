"""The simulated social wallet: one voucher per pupil, formed once per Idempotency-Key."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from gateway.clock import wall_now
from gateway.simulators.partner import Call, PartnerSimulator, json_response, problem

_NAMES = {"surname", "given_name", "patronymic"}
_FIELDS = {
    "": {"case_id", "service", "category", "school_year", "pupil", "recipient", "consent"},
    "pupil": {"iin"} | _NAMES,
    "recipient": {"relation", "iin", "msisdn"} | _NAMES,
    "consent": {"at", "evidence"},
}


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher and the request that formed it."""

    voucher_id: str
    key: str
    body: Any


class WalletSimulator(PartnerSimulator):
    """Forms vouchers; `has_voucher` and `reject` set in advance which pupils get 409 and 422."""

    def __init__(self, port: int = 0, **settings: Any) -> None:
        super().__init__(port, **settings)
        self.vouchers: dict[str, Voucher] = {}
        """The vouchers that the gateway's requests formed, by Idempotency-Key."""
        self.accepted: list[dict[str, Any]] = []
        """The events that the gateway has accepted, in order."""
        self.repeated = 0
        """Calls with a known key, which got 200."""
        self._of_pupil: dict[tuple[str, str, str], str] = {}
        self._existing: dict[str, str] = {}
        self._rejected: dict[str, str] = {}
        self._routes = {("POST", "/v1/vouchers"): self._form}

    def has_voucher(self, pupil_iin: str, voucher_id: str = "V-before") -> None:
        """The pupil has a voucher already: requests get 409."""
        self._existing[pupil_iin] = voucher_id

    def reject(self, pupil_iin: str, reason: str = "the pupil is not entitled") -> None:
        """The pupil's vouchers are refused permanently: requests get 422 with this detail."""
        self._rejected[pupil_iin] = reason

    @property
    def keys(self) -> list[str]:
        """The Idempotency-Key of every call, failed ones too, in order."""
        return [call.headers.get("Idempotency-Key", "") for call in self.calls]

    async def _form(self, call: Call) -> web.Response:
        key, body = call.headers.get("Idempotency-Key"), call.body
        if fault := _contract_fault(body, key):
            return self.complain(fault)
        iin = body["pupil"]["iin"]
        if before := self.vouchers.get(key):
            if before.body != body:
                return self.complain(f"key {key} was repeated with another body")
            self.repeated += 1
            return json_response({"voucher_id": before.voucher_id})
        if iin in self._rejected:
            return problem(422, self._rejected[iin])
        pupil = (iin, body["service"], body["school_year"])
        if voucher_id := self._existing.get(iin) or self._of_pupil.get(pupil):
            return json_response({"voucher_id": voucher_id}, status=409)
        voucher = Voucher(f"V-{len(self.vouchers) + 1:06d}", key, body)
        self.vouchers[key] = voucher
        self._of_pupil[pupil] = voucher.voucher_id
        self.emit("voucher_formed", voucher_id=voucher.voucher_id, case_id=body["case_id"])
        return json_response({"voucher_id": voucher.voucher_id}, status=201)

    async def post_events(
        self, gateway: str, token: str, events: Iterable[dict[str, Any]]
    ) -> tuple[int, dict[str, Any]]:
        """(status, body) of the gateway's response to POST /v1/wallet/events with these events."""
        sent = list(events)
        url = f"{gateway.rstrip('/')}/v1/wallet/events"
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(url, json={"events": sent}) as response,
        ):
            body: dict[str, Any] = await response.json(content_type=None)
        if response.status == HTTPStatus.OK and body["taken"] == len(sent):
            self.accepted += sent
            self.changed()
        return response.status, body

    @staticmethod
    def event(case_id: str, type_: str, *, event_id: str | None = None, at: str | None = None) -> dict[str, Any]:
        """An event for `post_events`; `type_` is `activated` or `used`."""
        return {
            "event_id": event_id or uuid4().hex,
            "case_id": case_id,
            "type": type_,
            "at": at or wall_now().isoformat(timespec="milliseconds"),
        }


def _contract_fault(body: Any, key: str | None) -> str | None:
    """What is wrong with a request, None if nothing."""
    for name, fields in _FIELDS.items():
        found = body.get(name) if name else body
        if not isinstance(found, dict):
            return f"/{name} is not an object"
        if differing := (set(found) ^ fields) - {"patronymic"}:
            return f"/{name}: {', '.join(sorted(differing))} missing or unknown"
    if not key or key != body["case_id"]:
        return f"Idempotency-Key {key} is not the case_id"
    if not body["consent"]["evidence"].startswith("sha256:"):
        return "/consent/evidence does not begin with sha256:"
    return None
