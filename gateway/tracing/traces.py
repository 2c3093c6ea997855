"""What a process records of lists, cases and requests to partners: nothing, unless OpenTelemetry takes it."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime

import aiohttp

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Traces:
    """Records nothing; gateway/tracing/otel.py has those that do. Nothing here raises or waits."""

    def of_requests(self) -> Sequence[aiohttp.TraceConfig]:
        """What the HTTP session of the partners is given."""
        return ()

    def list_accepted(
        self, list_id: str, *, headers: Mapping[str, str], began_at: datetime, created: bool, records: int
    ) -> None:
        """A list is stored; `headers` are those of its PUT, which began at that instant (ns of the wall clock)."""

    def case_status(
        self,
        case_id: str,
        status: str,
        *,
        list_id: str,
        service: str,
        opened_at: datetime,
        ended_at: datetime | None,
    ) -> None:
        """A status of a case is committed; `ended_at` is given with the one that ends the case."""

    def close(self) -> None:
        """Exports what is left, for two seconds at most; blocks."""


def are_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the variables of OpenTelemetry ask for traces by OTLP: by an endpoint, and nothing against it."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip() not in ("", "otlp"):
        return False
    return any(environ.get(name, "").strip() for name in _ENDPOINTS)
