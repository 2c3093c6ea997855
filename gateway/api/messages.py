"""``GET /v1/cases/{case_id}/messages``: what the parent of a case got and wrote, in clear, for ops."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from gateway.api.access_log import AccessNotes
from gateway.api.problems import not_found
from gateway.api.requests import Route, case_id_of, json_response
from gateway.consent.deadlines import Calendar
from gateway.store import cases, messages
from gateway.store.access_log import Action
from gateway.store.database import Database


class MessagesApi:
    """The handler of a case's messages. Unlike the case they are not masked: they are read on request only."""

    def __init__(
        self, *, database: Database, calendar: Calendar, alphabets: Mapping[str, str], access: AccessNotes
    ) -> None:
        """`alphabets` are the default ones by link."""
        self._database = database
        self._calendar = calendar
        self._alphabets = alphabets
        self._access = access

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/v1/cases/{case_id}/messages", ("ops",), self.get),)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Texts with their segments, and replies, oldest first."""
        case_id = case_id_of(request)
        await self._access.note(request, Action.MESSAGES, [case_id])
        async with self._database.acquire() as connection:
            if case_id not in await cases.fetch(connection, [case_id]):
                raise not_found("case")
            sent = await messages.sent(connection, case_id)
            received = await messages.received(connection, case_id, self._alphabets)
        local = self._calendar.iso_local
        shown: list[tuple[Any, dict[str, Any]]] = [
            (
                one.queued_at,
                {
                    "direction": "sent",
                    **one._asdict(),
                    "queued_at": local(one.queued_at),
                    "accepted_at": local(one.accepted_at) if one.accepted_at else None,
                },
            )
            for one in sent
        ]
        shown += [
            (one.received_at, {"direction": "received", **one._asdict(), "received_at": local(one.received_at)})
            for one in received
        ]
        return json_response({"messages": [message for _, message in sorted(shown, key=lambda pair: pair[0])]})
