"""``/v1/cases``: the state and the journal of a case, and the actions of SDU and ops on it."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import web

from gateway.api.access_log import AccessNotes
from gateway.api.callers import CALLER
from gateway.api.fields import text_error, unknown_field_errors
from gateway.api.lists import LIST_ID, shown_state
from gateway.api.problems import FieldError, Problem, not_found
from gateway.api.requests import (
    CASE_ID,
    Route,
    case_id_of,
    json_response,
    read_object,
    unprocessable,
    whole_number,
)
from gateway.config.model import Role
from gateway.consent.case import AGREED, State
from gateway.consent.deadlines import Calendar
from gateway.consent.identity import mask_msisdn
from gateway.consent.inputs import Decision
from gateway.intake.fields import MAX_ID_LENGTH, has_control, text_fault
from gateway.logs.redaction import without_numbers
from gateway.store import cases, held_replies, history
from gateway.store.access_log import Action
from gateway.store.case_entries import ForOps
from gateway.store.cases import StoredCase
from gateway.store.database import Connection, Database
from gateway.store.held_replies import HeldReply
from gateway.store.history import Page, PagePosition
from gateway.usecases.manual_actions import ManualActions

MAX_REASON_LENGTH = 500
MAX_PAGE = 1000
MAX_RELEASED = 500
"""Cases released by one request, in one transaction."""

_SDU_AND_OPS: tuple[Role, ...] = ("sdu", "ops")
_NOT_HELD = "No reply of the case is held."
_NOT_HELD_IN = {
    **dict.fromkeys(AGREED, "The case has its consent: a reply was counted already."),
    State.REFUSED: "The case has its refusal: a reply was counted already.",
    State.CANCELLED: "The case was cancelled.",
}
"""Why no reply can be counted, by the state of the case."""


class _Filter(NamedTuple):
    """The cases that are searched for."""

    states: frozenset[State] | None = None  # None: any
    for_ops: ForOps | None = None  # those on which ops have to decide, of all lists too

    def fits(self, stored: StoredCase) -> bool:
        if self.for_ops is ForOps.HELD:
            return stored.case.held is not None
        return self.states is None or stored.case.state in self.states


class CasesApi:
    """The handlers of ``/v1/cases``."""

    def __init__(
        self,
        *,
        database: Database,
        calendar: Calendar,
        actions: ManualActions,
        access: AccessNotes,
        max_scanned: int,
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._actions = actions
        self._access = access
        self._max_scanned = max_scanned

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v1/cases", _SDU_AND_OPS, self.find),
            Route("GET", "/v1/cases/{case_id}", ("sdu", "ops", "support"), self.get),
            Route("POST", "/v1/cases/release", ("ops",), self.release_many),
            Route("POST", "/v1/cases/{case_id}/cancel", _SDU_AND_OPS, self.cancel),
            Route("POST", "/v1/cases/{case_id}/release", ("ops",), self.release),
            Route("POST", "/v1/cases/{case_id}/resend", ("ops", "support"), self.resend),
            Route("POST", "/v1/cases/{case_id}/accept-reply", ("ops",), self.accept_reply),
        )

    async def find(self, request: web.Request) -> web.StreamResponse:
        """The case of a record; or a page of the cases of a list, or of those for ops of all lists."""
        wanted = _filter(request)
        of_all_lists = wanted.for_ops is not None and request.query.keys().isdisjoint(("list_id", "record_id"))
        list_id = None if of_all_lists else _list_id(request)
        record_id = _searched(request, "record_id") if "record_id" in request.query else None
        after = _after(request)
        limit = whole_number(request, "limit", 100, least=1, most=MAX_PAGE)
        async with self._database.acquire() as connection:
            if list_id is not None and record_id is not None:
                case_id = await history.case_of_record(connection, list_id, record_id)
                page = None
                case_ids = [case_id] if case_id is not None else []
            else:
                position = await _position(connection, after, list_id)
                page = await self._page(connection, list_id, wanted, position, limit)
                case_ids = page.case_ids
            shown = await self._found(connection, case_ids, wanted)
        if list_id is not None and record_id is not None:
            await self._access.note_record(request, list_id, record_id, case_ids)
        else:
            await self._access.note_page(request, list_id, request.query.get("state"))
        return json_response({"cases": shown} if page is None else {"cases": shown, "next": page.next})

    async def _page(
        self,
        connection: Connection,
        list_id: str | None,
        wanted: _Filter,
        after: PagePosition | None,
        limit: int,
    ) -> Page:
        if wanted.for_ops is not None:
            return await history.for_ops(connection, wanted.for_ops, list_id, after, limit)
        assert list_id is not None, "of all lists only the cases for ops are searched for"
        return await history.of_list(connection, list_id, wanted.states, after, limit, self._max_scanned)

    async def get(self, request: web.Request) -> web.StreamResponse:
        case_id = case_id_of(request)
        await self._access.note(request, Action.VIEW, [case_id])
        return json_response(await self._with_journal(case_id))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        case_id = case_id_of(request)
        reason = _reason(await read_object(request))
        await self._access.note(request, Action.CANCEL, [case_id])
        decision = await self._actions.cancel(case_id, reason, request[CALLER].actor)
        return await self._done(case_id, decision, "The case has ended, or its consent is being carried out.")

    async def release(self, request: web.Request) -> web.StreamResponse:
        return await self._act(request, Action.RELEASE, self._actions.release, "The case is not parked.")

    async def release_many(self, request: web.Request) -> web.StreamResponse:
        case_ids = _case_ids(await read_object(request))
        await self._access.note(request, Action.RELEASE, case_ids)
        return json_response({"released": await self._actions.release_all(case_ids, request[CALLER].actor)})

    async def resend(self, request: web.Request) -> web.StreamResponse:
        return await self._act(request, Action.RESEND, self._actions.resend, "The case has no text to send again.")

    async def accept_reply(self, request: web.Request) -> web.StreamResponse:
        case_id = case_id_of(request)
        await self._access.note(request, Action.ACCEPT_REPLY, [case_id])
        decision = await self._actions.accept_reply(case_id, request[CALLER].actor)
        conflict = _NOT_HELD if decision is None else _NOT_HELD_IN.get(decision.case.state, _NOT_HELD)
        return await self._done(case_id, decision, conflict)

    async def _act(
        self,
        request: web.Request,
        action: Action,
        act: Callable[[str, str], Awaitable[Decision | None]],
        conflict: str,
    ) -> web.StreamResponse:
        case_id = case_id_of(request)
        await self._access.note(request, action, [case_id])
        return await self._done(case_id, await act(case_id, request[CALLER].actor), conflict)

    async def _done(self, case_id: str, decision: Decision | None, conflict: str) -> web.StreamResponse:
        if decision is None:
            raise not_found("case")
        if decision.rejected:
            raise Problem(HTTPStatus.CONFLICT, conflict)
        return json_response(await self._with_journal(case_id))

    async def _with_journal(self, case_id: str) -> dict[str, Any]:
        async with self._database.acquire() as connection:
            found = await cases.fetch(connection, [case_id])
            if case_id not in found:
                raise not_found("case")
            entries = await history.of_case(connection, case_id)
            held = await held_replies.of_cases(connection, [case_id])
        journal = [
            {
                "seq": entry.seq,
                "at": self._calendar.iso_local(entry.at),
                "event": entry.event,
                "detail": entry.detail,
            }
            for entry in entries
        ]
        return {**self._shown(found[case_id], held.get(case_id)), "journal": journal}

    async def _found(
        self, connection: Connection, case_ids: Sequence[str], wanted: _Filter
    ) -> list[dict[str, Any]]:
        """Those of the cases that are wanted, in this order, without journals; the parked ones with the reason."""
        fetched = await cases.fetch(connection, case_ids)
        stored = {case_id: fetched[case_id] for case_id in case_ids if wanted.fits(fetched[case_id])}
        parked = [case_id for case_id, one in stored.items() if one.case.state is State.PARKED]
        parkings = await history.parkings(connection, parked) if parked else {}
        holding = [case_id for case_id, one in stored.items() if one.case.held is not None]
        held = await held_replies.of_cases(connection, holding) if holding else {}
        found = []
        for case_id, one in stored.items():
            shown = self._shown(one, held.get(case_id))
            if parking := parkings.get(case_id):
                shown["parked"] = {"at": self._calendar.iso_local(parking.at), "reason": parking.reason}
            found.append(shown)
        return found

    def _shown(self, stored: StoredCase, held: HeldReply | None) -> dict[str, Any]:
        case = stored.case
        recipient = None
        if case.msisdn is not None and stored.record is not None:
            recipient = {"relation": case.relation, "msisdn": mask_msisdn(case.msisdn)}
        shown = {
            "case_id": stored.case_id,
            "list_id": stored.list_id,
            "record_id": stored.record_id,
            "service": stored.service,
            "state": shown_state(case.state),
            "opened_at": self._calendar.iso_local(stored.opened_at),
            "ended_at": None if case.ended_at is None else self._calendar.iso_local(case.ended_at),
            "recipient": recipient,
        }
        if held is not None:
            shown["held"] = {
                "at": self._calendar.iso_local(held.received_at),
                "link": held.link,
                "operator": held.operator,
                "verdict": held.verdict,
            }
        return shown


def _searched(request: web.Request, name: str) -> str:
    """A query field that is searched for; raises a Problem (400) for a value that no record can have."""
    text = request.query.get(name, "")
    if text_fault(text, MAX_ID_LENGTH) is not None:
        must = f"must be 1 to {MAX_ID_LENGTH} characters, none of them control characters"
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name} {must}.")
    return text


def _list_id(request: web.Request) -> str:
    """The list that is searched; raises a Problem for none, and for what no list can be called."""
    list_id = request.query.get("list_id")
    if list_id is None:  # it depends on the state, which no schema of a parameter can say
        raise Problem(HTTPStatus.BAD_REQUEST, "list_id must name a list, unless state is parked or held.")
    if not LIST_ID.fullmatch(list_id):
        raise Problem(HTTPStatus.BAD_REQUEST, "list_id must be 1 to 64 of A-Z, a-z, 0-9, dot, dash, underscore.")
    return list_id


def _filter(request: web.Request) -> _Filter:
    """The cases in the states that are shown under the requested name, or those with a held reply."""
    asked = request.query.get("state")
    if asked is None:
        return _Filter()
    for_ops = next((one for one in ForOps if one == asked), None)
    states = frozenset(state for state in State if shown_state(state) == asked)
    if states or for_ops is not None:
        return _Filter(states, for_ops)
    raise Problem(HTTPStatus.BAD_REQUEST, "state must be one that the progress of a list names, or held.")


def _after(request: web.Request) -> str | None:
    """The case after which the page begins; raises a Problem (400) for what is no case_id."""
    after = request.query.get("after")
    if after is not None and not CASE_ID.fullmatch(after):
        raise Problem(HTTPStatus.BAD_REQUEST, "after must be the `next` of the previous page.")
    return after


async def _position(connection: Connection, case_id: str | None, list_id: str | None) -> PagePosition | None:
    """The position after this case; raises a Problem (404) unless it is one of the list."""
    if case_id is None:
        return None
    after = await history.position(connection, case_id)
    if after is None or list_id not in (None, after.list_id):
        raise Problem(
            HTTPStatus.NOT_FOUND, "after must be the `next` of the previous page: there is no such case."
        )
    return after


def _case_ids(body: dict[str, Any]) -> list[str]:
    errors = unknown_field_errors(body, "case_ids")
    case_ids = body.get("case_ids")
    if case_ids is None:
        errors.append(FieldError("/case_ids", "required", "must name the cases"))
    elif not isinstance(case_ids, list):
        errors.append(FieldError("/case_ids", "type", "must be an array of case_ids"))
    elif not 0 < len(case_ids) <= MAX_RELEASED:
        errors.append(FieldError("/case_ids", "length", f"must hold 1 to {MAX_RELEASED} case_ids"))
    else:
        for place, case_id in enumerate(case_ids):
            if not isinstance(case_id, str) or not CASE_ID.fullmatch(case_id):
                errors.append(FieldError(f"/case_ids/{place}", "format", "must be a case_id"))
    if errors or not isinstance(case_ids, list):
        raise unprocessable(errors)
    return case_ids


def _reason(body: dict[str, Any]) -> str:
    errors = unknown_field_errors(body, "reason")
    reason = body.get("reason")
    if isinstance(reason, str) and not has_control(reason):  # else a line break at its end would be no error
        reason = reason.strip()
    if error := text_error(reason, "/reason", MAX_REASON_LENGTH, required="must give the reason"):
        errors.append(error)
    if errors or not isinstance(reason, str):
        raise unprocessable(errors)
    return without_numbers(reason)  # the journal is never erased
