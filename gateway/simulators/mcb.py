"""The simulated mobile citizens base (MCB): a subscriber number for an IIN."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.simulators.partner import Call, PartnerSimulator, json_response

MSISDN_DIGITS = 11
Number = tuple[str, str | None] | str | None
"""(MSISDN, operator), an MSISDN, or None for nobody."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One look-up of one person; `batch` is the number of people in that request."""

    at: float
    iin: str
    batch: int
    found: bool


def derived_number(iin: str) -> str:
    """A number for any IIN: 7701 and the fifth to eleventh digit of the IIN."""
    return "7701" + iin[4:11]


class McbSimulator(PartnerSimulator):
    """`numbers` maps an IIN to its number; `otherwise` decides on an IIN that is not in it.

    A number is sent as it is here, with `+` before eleven digits. `overrides` maps an IIN to a replacement of
    the result: JSON for the result, octets for the whole body.
    """

    def __init__(
        self,
        port: int = 0,
        numbers: Mapping[str, Number] | None = None,
        *,
        otherwise: Callable[[str], Number] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(port, **settings)
        self.numbers: dict[str, Number] = dict(numbers or {})
        self.otherwise = otherwise
        self.overrides: dict[str, Any] = {}
        self.omitted: Counter[str] = Counter()
        """How many more batch responses will omit an IIN."""
        self.lookups: list[Lookup] = []
        """Every look-up that got a result, in order."""
        self.looked_up = 0
        self.largest_batch = 0
        self._routes = {("POST", "/v1/lookup"): self._lookup, ("POST", "/v1/lookups"): self._lookups}

    def asked(self, iin: str) -> int:
        """How often an IIN was requested, with a result or without."""
        return sum(f'"{iin}"'.encode() in call.raw for call in self.calls)

    async def _lookup(self, call: Call) -> web.Response:
        match call.body:
            case {"iin": str(iin), **rest} if not rest:
                result = self._result(iin, 1)
                if isinstance(result, bytes):
                    return web.Response(body=result, content_type="application/json")
                return json_response(result)
        return self.complain(f"/v1/lookup with {sorted(call.body)}")

    async def _lookups(self, call: Call) -> web.Response:
        match call.body:
            case {"iins": [*iins], **rest} if iins and not rest and all(isinstance(iin, str) for iin in iins):
                pass
            case _:
                return self.complain("/v1/lookups without a list of IINs")
        if len(set(iins)) < len(iins):
            return self.complain("/v1/lookups with a repeated IIN")
        self.largest_batch = max(self.largest_batch, len(iins))
        results = []
        # The contract allows any order, so the results are reversed.
        for iin in reversed(iins):
            if self.omitted[iin] > 0:
                self.omitted[iin] -= 1
                continue
            result = self._result(iin, len(iins))
            if isinstance(result, bytes):
                return web.Response(body=result, content_type="application/json")
            results.append({"iin": iin, **result} if isinstance(result, dict) else result)
        return json_response({"results": results})

    def _result(self, iin: str, batch: int) -> Any:
        self.looked_up += 1
        if iin in self.overrides:
            return self.overrides[iin]
        number = self.numbers[iin] if iin in self.numbers else self.otherwise(iin) if self.otherwise else None
        if self.record:
            at = asyncio.get_running_loop().time()
            self.lookups.append(Lookup(at, iin, batch, number is not None))
        if number is None:
            self.emit("looked_up", iin=iin, found=False)
            return {"found": False}
        msisdn, operator = (number, None) if isinstance(number, str) else number
        self.emit("looked_up", iin=iin, found=True, msisdn=msisdn)
        found = {"found": True, "msisdn": "+" + msisdn if len(msisdn) == MSISDN_DIGITS else msisdn}
        return found if operator is None else {**found, "operator": operator}
