"""``POST /v1/wallet/events``: the wallet reports that vouchers were activated and used."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gateway.api.fields import text_error, unknown_field_errors
from gateway.api.problems import FieldError
from gateway.api.requests import Route, json_response, read_object, unprocessable
from gateway.intake.fields import MAX_ID_LENGTH
from gateway.metrics import WALLET_EVENTS
from gateway.store.wallet_events import VoucherEvent
from gateway.time_slice import TimeSlice
from gateway.usecases.wallet_events import EventType, Rejection, WalletEvents

MAX_BODY_BYTES = 1 << 20
MAX_EVENTS = 5000

_FIELDS = dict.fromkeys(("event_id", "case_id", "type", "at")).keys()
_TYPES = tuple(EventType)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class WalletApi:
    """The handler of ``/v1/wallet/events``."""

    def __init__(self, events: WalletEvents) -> None:
        self._events = events

    def routes(self) -> Sequence[Route]:
        return (Route("POST", "/v1/wallet/events", ("wallet",), self.accept),)

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """Accepts the valid events whatever the others are; the response has the errors of those, by position."""
        given = _events(await read_object(request, MAX_BODY_BYTES))
        valid: dict[int, VoucherEvent] = {}
        errors: list[tuple[int, FieldError]] = []
        time_slice = TimeSlice()
        for position, value in enumerate(given):
            await time_slice.yield_if_spent()
            event = _read(value, f"/events/{position}")
            if isinstance(event, VoucherEvent):
                valid[position] = event
            else:
                errors += [(position, error) for error in event]

        rejected = [(position, _rejected(position, why)) for position, why in await self._events.accept(valid)]
        accepted = len(valid) - len(rejected)
        WALLET_EVENTS.labels("accepted").inc(accepted)
        WALLET_EVENTS.labels("rejected").inc(len(given) - accepted)
        shown = sorted(errors + rejected, key=lambda error: error[0])
        return json_response({"taken": accepted, "errors": [error.as_json() for _, error in shown]})


def _events(body: Mapping[str, Any]) -> list[object]:
    """The events of the body, each still to be read; raises a Problem (422) for another body."""
    faults = unknown_field_errors(body, "events")
    given = body.get("events")
    if not isinstance(given, list):
        faults.append(FieldError("/events", "required" if given is None else "type", "must be an array of events"))
    elif len(given) > MAX_EVENTS:
        faults.append(FieldError("/events", "length", f"may hold {MAX_EVENTS} events"))
    if faults or not isinstance(given, list):
        raise unprocessable(faults)
    return given


REJECTIONS = {
    Rejection.UNKNOWN_CASE: "there is no such case",
    Rejection.NO_VOUCHER: "the case has no voucher",
}


def _rejected(position: int, rejection: Rejection) -> FieldError:
    return FieldError(f"/events/{position}/case_id", rejection, REJECTIONS[rejection])


def _read(value: object, at: str) -> VoucherEvent | list[FieldError]:
    """The event, or all its errors."""
    if not isinstance(value, dict):
        return [FieldError(at, "type", "must be an object")]
    errors: list[FieldError] = []
    event_id = _text(value, "event_id", at, errors)
    case_id = _text(value, "case_id", at, errors)
    kind = _text(value, "type", at, errors)
    if kind and kind not in _TYPES:
        errors.append(FieldError(f"{at}/type", "range", "must be activated or used"))
    text = _text(value, "at", at, errors)
    instant = _instant(text)
    if text and instant is None:
        errors.append(FieldError(f"{at}/at", "format", "must be an RFC 3339 instant with an offset"))
    if not value.keys() <= _FIELDS:
        errors.append(FieldError(at, "unknown_field", f"may have {', '.join(_FIELDS)} only"))
    if errors or instant is None:
        return errors
    return VoucherEvent(event_id, case_id, kind, instant)


def _text(value: Mapping[str, object], field: str, at: str, errors: list[FieldError]) -> str:
    """The field, or "" and an error in `errors`."""
    text = value.get(field)
    error = text_error(text, f"{at}/{field}", MAX_ID_LENGTH, printable=True)
    if error is None:
        return str(text)
    errors.append(error)
    return ""


def _instant(text: str) -> datetime | None:
    """The instant, UTC; None when the text is none, or one beyond the range of datetime."""
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
