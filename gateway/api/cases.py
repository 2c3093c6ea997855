"""``/v1/cases``: where a case is and how it came there; and what people may do about it."""

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway.api.lists import shown_state
from gateway.api.problems import FieldError, Problem, not_found
from gateway.api.requests import Route, json_response, read_object, unprocessable
from gateway.config.model import Role
from gateway.consent.identity import mask_msisdn
from gateway.consent.inputs import Decision
from gateway.journeys import Journeys
from gateway.store import cases, history
from gateway.store.cases import StoredCase

LONGEST_REASON = 500

_CASE_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NEVER_KEPT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # surrogates: octets that are no UTF-8
_WHO: tuple[Role, ...] = ("sdu", "ops")


class CasesApi:
    """The handlers of ``/v1/cases``."""

    def __init__(self, journeys: Journeys) -> None:
        self._journeys = journeys
        self._database = journeys.database
        self._calendar = journeys.rules.calendar

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v1/cases", _WHO, self.find),
            Route("GET", "/v1/cases/{case_id}", _WHO, self.get),
            Route("POST", "/v1/cases/{case_id}/cancel", _WHO, self.cancel),
            Route("POST", "/v1/cases/{case_id}/release", ("ops",), self.release),
            Route("POST", "/v1/cases/{case_id}/resend", ("ops",), self.resend),
        )

    async def find(self, request: web.Request) -> web.StreamResponse:
        list_id, record_id = _searched(request, "list_id"), _searched(request, "record_id")
        async with self._database.acquire() as connection:
            case_id = await history.case_of_record(connection, list_id, record_id)
            found = await cases.fetch(connection, [case_id]) if case_id is not None else {}
        return json_response({"cases": [self._shown(stored) for stored in found.values()]})

    async def get(self, request: web.Request) -> web.StreamResponse:
        return json_response(await self._with_journal(_case_id(request)))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        case_id = _case_id(request)
        reason = _reason(await read_object(request))
        decision = await self._journeys.cancel(case_id, reason)
        return await self._done(case_id, decision, "The case has ended, or its consent is being carried out.")

    async def release(self, request: web.Request) -> web.StreamResponse:
        return await self._act(request, self._journeys.release, "The case is not parked.")

    async def resend(self, request: web.Request) -> web.StreamResponse:
        return await self._act(request, self._journeys.resend, "The case has no text to send again.")

    async def _act(
        self, request: web.Request, act: Callable[[str], Awaitable[Decision | None]], refused: str
    ) -> web.StreamResponse:
        case_id = _case_id(request)
        return await self._done(case_id, await act(case_id), refused)

    async def _done(self, case_id: str, decision: Decision | None, refused: str) -> web.StreamResponse:
        if decision is None:
            raise not_found("case")
        if decision.refused:
            raise Problem(HTTPStatus.CONFLICT, refused)
        return json_response(await self._with_journal(case_id))

    async def _with_journal(self, case_id: str) -> dict[str, Any]:
        async with self._database.acquire() as connection:
            found = await cases.fetch(connection, [case_id])
            if case_id not in found:
                raise not_found("case")
            entries = await history.of_case(connection, case_id)
        journal = [
            {
                "seq": entry.seq,
                "at": self._calendar.iso_local(entry.at),
                "event": entry.event,
                "detail": entry.detail,
            }
            for entry in entries
        ]
        return {**self._shown(found[case_id]), "journal": journal}

    def _shown(self, stored: StoredCase) -> dict[str, Any]:
        case = stored.case
        recipient = None
        if case.msisdn is not None and stored.record is not None:
            recipient = {"relation": case.relation, "msisdn": mask_msisdn(case.msisdn)}
        return {
            "case_id": stored.case_id,
            "list_id": stored.list_id,
            "record_id": stored.record_id,
            "service": stored.service,
            "state": shown_state(case.state),
            "opened_at": self._calendar.iso_local(stored.opened_at),
            "ended_at": None if case.ended_at is None else self._calendar.iso_local(case.ended_at),
            "recipient": recipient,
        }


def _case_id(request: web.Request) -> str:
    case_id = request.match_info["case_id"]
    if not _CASE_ID.fullmatch(case_id):
        raise not_found("case")
    return case_id


def _searched(request: web.Request, name: str) -> str:
    """A query field that is to be found as it stands; raises a Problem (400) where no record can have it."""
    text = request.query.get(name, "")
    if not 0 < len(text) <= 64 or _NEVER_KEPT.search(text):
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"{name} must be 1 to 64 characters, none of them control characters."
        )
    return text


def _reason(body: dict[str, Any]) -> str:
    errors = [
        FieldError(f"/{field.replace('~', '~0').replace('/', '~1')}", "unknown_field", "is not known here")
        for field in body
        if field != "reason"
    ]
    reason = body.get("reason")
    if reason is None:
        errors.append(FieldError("/reason", "required", "must say why"))
    elif not isinstance(reason, str):
        errors.append(FieldError("/reason", "type", "must be a string"))
    elif not 0 < len(reason.strip()) <= LONGEST_REASON:
        errors.append(FieldError("/reason", "length", f"must be 1 to {LONGEST_REASON} characters"))
    elif _CONTROL.search(reason):
        errors.append(FieldError("/reason", "format", "must hold no control characters"))
    if errors or not isinstance(reason, str):
        raise unprocessable(errors)
    return reason.strip()
