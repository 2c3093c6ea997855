"""``POST /v1/cases/search``: the cases of a person or a number. By POST: neither stands in a URL."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiohttp import web

from gateway.api.access_log import AccessNotes
from gateway.api.fields import unknown_field_errors
from gateway.api.lists import shown_state
from gateway.api.problems import FieldError
from gateway.api.requests import Route, json_response, read_object, unprocessable
from gateway.consent.case import State
from gateway.consent.deadlines import Calendar
from gateway.consent.identity import IinFault, canonical_msisdn, iin_fault, mask_msisdn
from gateway.intake.fields import DETAILS, Code, text_fault
from gateway.store import people
from gateway.store.database import Database
from gateway.store.people import FoundCase

MAX_FOUND = 100
"""The number of cases of one response, the newest; `truncated` says that there are more."""
_MAX_SERVICE_LENGTH = 6
_GAP = r"[ \u00a0().\u2010-\u2015/-]{0,3}"
MSISDN_PATTERN = (
    r"^(?: {0,3}\+)?~(?:8~1~0~|0~0~)?(?:[78]~)?7~(?:0~[0-25-8]|4~7|6~[0-4]|7~[15-8]|8~5)(?:~[0-9]){7}~$"
).replace("~", _GAP)
"""The spellings of a number that a search accepts, as openapi.json has them."""
MAX_MSISDN_LENGTH = 64
_MSISDN = re.compile(MSISDN_PATTERN)


class _Search(NamedTuple):
    """What is searched for: an IIN or a number."""

    iin: str | None
    msisdn: str | None
    service: str | None


class SearchApi:
    """The handler of the search."""

    def __init__(self, *, database: Database, calendar: Calendar, access: AccessNotes) -> None:
        self._database = database
        self._calendar = calendar
        self._access = access

    def routes(self) -> Sequence[Route]:
        return (Route("POST", "/v1/cases/search", ("ops", "support", "auditor"), self.search),)

    async def search(self, request: web.Request) -> web.StreamResponse:
        wanted = _search(await read_object(request))
        async with self._database.acquire() as connection:
            indexing = wanted.iin is not None and await people.is_due(connection)
            if wanted.iin is not None:
                found = await people.by_iin(connection, wanted.iin, wanted.service, MAX_FOUND + 1)
            else:
                found = await people.by_number(connection, wanted.msisdn or "", wanted.service, MAX_FOUND + 1)
        shown = found[:MAX_FOUND]
        kind, searched = ("msisdn", wanted.msisdn or "") if wanted.iin is None else ("iin", wanted.iin)
        await self._access.note_search(request, kind, searched, [case.case_id for case in shown])
        body: dict[str, Any] = {"cases": [self._shown(case) for case in shown]}
        mistyped = wanted.iin is not None and iin_fault(wanted.iin) is not None
        notes = {"truncated": len(found) > MAX_FOUND, "indexing": indexing, "mistyped": mistyped}
        return json_response(body | {note: True for note, holds in notes.items() if holds})

    def _shown(self, found: FoundCase) -> dict[str, Any]:
        known = found.msisdn is not None
        return {
            "case_id": found.case_id,
            "list_id": found.list_id,
            "record_id": found.record_id,
            "service": found.service,
            "state": shown_state(State(found.state)),
            "opened_at": self._calendar.iso_local(found.opened_at),
            "relation": found.relation if known else None,
            "msisdn": mask_msisdn(found.msisdn) if found.msisdn is not None else None,
        }


def _number(msisdn: object) -> str | None:
    """The number as 11 digits; None for what is none, or is spelt otherwise than openapi.json says."""
    if not isinstance(msisdn, str) or len(msisdn) > MAX_MSISDN_LENGTH or not _MSISDN.match(msisdn):
        return None
    return canonical_msisdn(re.sub("[^0-9]", "", msisdn))


def _search(body: dict[str, Any]) -> _Search:
    """The search of a body; raises a Problem (422) for one that is none."""
    errors = unknown_field_errors(body, "iin", "msisdn", "service")
    iin, msisdn = body.get("iin"), body.get("msisdn")
    number = _number(msisdn)
    if "iin" not in body and "msisdn" not in body:
        errors.append(FieldError("", Code.REQUIRED, "must have iin or msisdn"))
    if "iin" in body and "msisdn" in body:
        errors.append(FieldError("/msisdn", Code.UNKNOWN_FIELD, "may not stand beside iin"))
    fault = iin_fault(iin) if isinstance(iin, str) else Code.TYPE
    if "iin" in body and fault not in (None, IinFault.CHECKSUM):  # no pattern can say which check digit is right
        errors.append(FieldError("/iin", fault, DETAILS[fault]))
    if "msisdn" in body and number is None:
        code = Code.FORMAT if isinstance(msisdn, str) else Code.TYPE
        errors.append(FieldError("/msisdn", code, "must be a Kazakh mobile number"))
    if "service" in body and (wrong := text_fault(body["service"], _MAX_SERVICE_LENGTH)) is not None:
        errors.append(FieldError("/service", wrong, "must be the code of a service"))
    if errors:
        raise unprocessable(errors)
    return _Search(iin, number, body.get("service"))
