"""``/v1/rewind``: ops see what a rewound database lacks, and accept it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway.api.callers import CALLER
from gateway.api.problems import Problem, not_found
from gateway.api.requests import Route, json_response
from gateway.consent.deadlines import Calendar
from gateway.usecases.rewind import RewindAcceptance, RewindReport


class RewindsApi:
    """The handlers of ``/v1/rewind``."""

    def __init__(self, *, acceptance: RewindAcceptance, calendar: Calendar, pushes: bool) -> None:
        """`pushes`: whether statuses are pushed to SDU; else SDU pulls them."""
        self._acceptance = acceptance
        self._calendar = calendar
        self._pushes = pushes

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v1/rewind", ("ops",), self.get),
            Route("POST", "/v1/rewind/accept", ("ops",), self.accept),
        )

    async def get(self, _request: web.Request) -> web.StreamResponse:
        report = await self._acceptance.report()
        if report is None:
            raise not_found("rewind that waits to be accepted")
        return json_response(self._shown(report))

    async def accept(self, request: web.Request) -> web.StreamResponse:
        report = await self._acceptance.accept(request[CALLER].actor)
        if report is None:
            raise Problem(HTTPStatus.CONFLICT, "The database is not rewound; there is nothing to accept.")
        return json_response(self._shown(report))

    def _shown(self, report: RewindReport) -> dict[str, Any]:
        rewind = report.rewind
        return {
            "found_at": self._calendar.iso_local(rewind.found_at),
            "found_by": rewind.found_by,
            "seq": rewind.seq,
            "hash": rewind.hash.hex(),
            "ended_at": self._calendar.iso_local(report.ended_at) if report.ended_at else None,
            "known_seq": rewind.known_seq,
            "known_hash": rewind.known_hash.hex() if rewind.known_hash else None,
            "sdu": {
                "pushed": self._pushes,
                "first": rewind.read_from + 1,
                "last": rewind.known_seq,
                "read_from": rewind.read_from,
            },
            "wallet": {"vouchers": report.vouchers},
            "texts": report.texts,
        }
