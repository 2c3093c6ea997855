"""``GET /v1/cases/{case_id}/evidence``: the record of a consent, for auditors."""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from gateway.api.access_log import AccessNotes
from gateway.api.problems import JOURNAL_INCOMPLETE, Problem, not_found
from gateway.api.requests import Route, case_id_of, json_response, whole_number
from gateway.clock import Clock
from gateway.config import Config
from gateway.store.access_log import Action
from gateway.store.database import Database
from gateway.store.evidence import OutOfReachError, ServiceMissingError, record_of
from gateway.store.journal_blocks import JournalIncompleteError


class EvidenceApi:
    """The handler of the record, which is that of `gateway evidence`."""

    def __init__(self, *, database: Database, clock: Clock, config: Config, access: AccessNotes) -> None:
        self._database = database
        self._clock = clock
        self._rules = config.reply_rules
        self._alphabets = config.default_alphabets
        self._access = access

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/v1/cases/{case_id}/evidence", ("auditor",), self.get),)

    async def get(self, request: web.Request) -> web.StreamResponse:
        case_id = case_id_of(request)
        size = whole_number(request, "at", 0, least=1) or None
        await self._access.note(request, Action.EVIDENCE, [case_id])
        try:
            async with self._database.acquire() as connection:
                record = await record_of(
                    connection,
                    case_id,
                    made_at=self._clock.now(),
                    rules=self._rules,
                    alphabets=self._alphabets,
                    size=size,
                )
        except OutOfReachError as error:
            raise Problem(HTTPStatus.CONFLICT, f"at: this case needs a SEQ {error}.") from None
        except ServiceMissingError:
            detail = "The service of the case is no longer in the configuration."
            raise Problem(HTTPStatus.CONFLICT, detail) from None
        except JournalIncompleteError:
            raise Problem(HTTPStatus.CONFLICT, JOURNAL_INCOMPLETE) from None
        if record is None:
            raise not_found("case")
        return json_response(record)
