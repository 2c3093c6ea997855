"""``GET /v1/access-log`` for auditors, and the rows that other handlers write into it."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway.api.callers import CALLER
from gateway.api.problems import RETRY_SOON, Problem
from gateway.api.requests import Route, json_response, whole_number
from gateway.consent.deadlines import Calendar
from gateway.store.access_log import Access, Action, StoredAccess
from gateway.usecases.access_log import AccessLog, AccessNotNotedError

MAX_ENTRIES = 1000
_MAX_REMEMBERED_PAGES = 1000


class AccessNotes:
    """Notes what the caller of a request is about to see or do, where that is a person."""

    def __init__(self, log: AccessLog, *, page_seconds: float) -> None:
        """`page_seconds`: for which a row of a page of cases stands for the same page, shown again by a poll."""
        self._log = log
        self._page_seconds = page_seconds
        self._pages: dict[tuple[str, str, str | None, str | None], float] = {}

    async def note(self, request: web.Request, action: Action, case_ids: Sequence[str]) -> None:
        """Writes a row about these cases; raises a Problem (503) when it cannot: nothing may be shown then."""
        await self._add(request, action, case_ids=case_ids)

    async def note_search(self, request: web.Request, kind: str, searched: str, case_ids: Sequence[str]) -> None:
        """Writes a row of a search and what it found; raises as `note` does. `searched` becomes a digest."""
        await self._add(request, Action.SEARCH, case_ids=case_ids, digest=self._log.digest(kind, searched))

    async def note_record(
        self, request: web.Request, list_id: str, record_id: str, case_ids: Sequence[str]
    ) -> None:
        """Writes a row of the search for the case of a record; raises as `note` does."""
        digest = self._log.digest("record", record_id)
        await self._add(request, Action.SEARCH, list_id=list_id, case_ids=case_ids, digest=digest)

    async def note_page(self, request: web.Request, list_id: str | None, state: str | None) -> None:
        """Writes a row of a page of cases, unless one stands for it; raises as `note` does."""
        caller, now = request[CALLER], time.monotonic()
        page = (caller.actor, caller.role, list_id, state)
        if now < self._pages.get(page, now):
            return
        await self._add(request, Action.LIST, list_id=list_id)
        if len(self._pages) >= _MAX_REMEMBERED_PAGES:
            self._pages.clear()
        self._pages[page] = now + self._page_seconds

    async def _add(
        self,
        request: web.Request,
        action: Action,
        *,
        list_id: str | None = None,
        case_ids: Sequence[str] | None = None,
        digest: str | None = None,
    ) -> None:
        caller = request[CALLER]
        if not caller.is_person:
            return
        try:
            await self._log.note(Access(caller.actor, caller.role, action, list_id, case_ids, digest))
        except AccessNotNotedError:
            detail = "The access log cannot be written, so nothing is shown or done; try again."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_SOON) from None


class AccessLogApi:
    """The handler of the access log."""

    def __init__(self, *, log: AccessLog, calendar: Calendar) -> None:
        self._log = log
        self._calendar = calendar

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/v1/access-log", ("auditor",), self.get),)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A page of the log. A reader that follows `next` misses no row."""
        after = whole_number(request, "after", 0)
        limit = whole_number(request, "limit", 100, least=1, most=MAX_ENTRIES)
        entries = await self._log.after(after, limit)
        return json_response(
            {
                "entries": [self._shown(entry) for entry in entries],
                "next": entries[-1].seq if entries else after,
            }
        )

    def _shown(self, entry: StoredAccess) -> dict[str, Any]:
        """The row without what it has not; one case is `case_id`, those of a search are `case_ids`."""
        shown: dict[str, Any] = {
            "seq": entry.seq,
            "at": self._calendar.iso_local(entry.at),
            "actor": entry.actor,
            "role": entry.role,
            "action": entry.action,
        }
        if entry.case_ids is not None:
            if entry.action != Action.SEARCH and len(entry.case_ids) == 1:
                shown["case_id"] = entry.case_ids[0]
            else:
                shown["case_ids"] = entry.case_ids
        optional = {"list_id": entry.list_id, "digest": entry.digest}
        return shown | {name: value for name, value in optional.items() if value is not None}
