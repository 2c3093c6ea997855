"""Simulated Smart Data Ukimet (SDU): accepts pushed statuses, verifies their signature, and checks their order."""

import base64
import hashlib
import hmac
from collections import Counter
from typing import Any

from aiohttp import web

from gateway.clock import wall_now
from gateway.simulators.observable import WITHIN_SECONDS
from gateway.simulators.partner import Call, PartnerSimulator, json_response

TOLERANCE_SECONDS = 300
"""The largest difference of webhook-timestamp from the clock, as Standard Webhooks suggests."""
FIELDS = frozenset(
    ("event_id", "seq", "at", "status", "list_id", "record_id", "case_id", "service", "pupil_iin", "detail")
)


def new_secret(seed: bytes = b"a secret that only tests ever see") -> str:
    """A signing secret in the form of `sdu.signing_secret`; the same for the same seed."""
    return "whsec_" + base64.b64encode(hashlib.sha256(seed).digest()).decode()


def signature_fault(headers: Any, raw: bytes, secret: str, now: float) -> str | None:
    """Why the signature of a request is invalid, None if it is valid (Standard Webhooks, "Signature scheme")."""
    message_id, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
    given = headers.get("webhook-signature")
    if not message_id or not stamp or not given:
        return "webhook-id, webhook-timestamp or webhook-signature is missing"
    if not stamp.isdigit() or abs(int(stamp) - now) > TOLERANCE_SECONDS:
        return f"webhook-timestamp {stamp} is not current"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join((message_id.encode(), stamp.encode(), raw))
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    if not any(hmac.compare_digest(expected, signature) for signature in given.split(" ")):
        return "webhook-signature does not match"
    return None


class SduSimulator(PartnerSimulator):
    """Accepts events; with `secret` None signatures are not verified. `batch` is the limit of events a request."""

    def __init__(self, port: int = 0, *, secret: str | None = None, batch: int = 500, **settings: Any) -> None:
        super().__init__(port, **settings)
        self.secret, self.batch = secret, batch
        self.events: list[dict[str, Any]] = []
        """Each event once, in the order of first arrival."""
        self.repeated = 0
        """Events that were pushed again."""
        self.count: Counter[str] = Counter()
        """Events by status; repeated ones count only with `record` False."""
        self._known: dict[str, dict[str, Any]] = {}
        self._last_seq: dict[str, int] = {}
        self._of_record: dict[str, list[dict[str, Any]]] = {}
        self._routes = {("POST", "/v1/statuses"): self._accept}

    def of(self, record_id: str) -> list[dict[str, Any]]:
        """A record's (or a case's) events in order."""
        return list(self._of_record.get(record_id, ()))

    def statuses(self, record_id: str) -> list[str]:
        """A record's (or a case's) statuses in order."""
        return [event["status"] for event in self.of(record_id)]

    async def status(self, record_id: str, status: str, *, within: float = WITHIN_SECONDS) -> dict[str, Any]:
        """The record's (or case's) event with this status, once it has arrived; else TimeoutError."""

        def found() -> dict[str, Any] | None:
            return next((event for event in self.of(record_id) if event["status"] == status), None)

        event = await self.wait_for(found, within=within)
        assert event
        return event

    async def _accept(self, call: Call) -> web.Response:
        if self.secret is not None:
            fault = signature_fault(call.headers, call.raw, self.secret, wall_now().timestamp())
            if fault is not None:
                return self.complain(fault, 401)
        match call.body:
            case {"events": [_, *_] as events, **rest} if not rest:
                pass
            case _:
                return self.complain("the body is not a list of events")
        if len(events) > self.batch:
            return self.complain(f"{len(events)} events in one request")
        for event in events:
            if set(event) != FIELDS:
                return self.complain(f"event with {sorted(set(event) ^ FIELDS)} missing or unknown")
        if not self.record:
            self.count.update(event["status"] for event in events)
            return json_response({"taken": len(events)})
        for event in events:
            self._record(event)
        return json_response({"taken": len(events)})

    def _record(self, event: dict[str, Any]) -> None:
        known = self._known.get(event["event_id"])
        if known is not None:
            self.repeated += 1
            if known != event:
                self.note_violation(f"event {event['event_id']} was repeated with another content")
            return
        case_id = event["case_id"]
        if event["seq"] <= self._last_seq.get(case_id, 0):
            self.note_violation(f"case {case_id}: seq {event['seq']} after {self._last_seq[case_id]}")
        self._last_seq[case_id] = event["seq"]
        self._known[event["event_id"]] = event
        self.events.append(event)
        self.emit("status", record_id=event["record_id"], case_id=case_id, status=event["status"])
        self.count[event["status"]] += 1
        for name in {event["record_id"], case_id}:
            self._of_record.setdefault(name, []).append(event)
