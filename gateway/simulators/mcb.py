"""The mobile citizens base: an IIN in, a subscriber number out."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.simulators.partner import Call, Partner, answer

Number = tuple[str, str | None] | str | None


@dataclass(frozen=True, slots=True)
class Lookup:
    """One person asked about; `batch` is the number of people in that request."""

    at: float
    iin: str
    batch: int
    found: bool


def derived_number(iin: str) -> str:
    """The number that a bench's MCB gives anybody: 7701 and the fifth to eleventh digit of the IIN."""
    return "7701" + iin[4:11]


class McbSimulator(Partner):
    """`numbers` maps an IIN to a number, (number, operator) or None; `otherwise` decides on whom it lacks.

    A number goes out as it stands here, with `+` before eleven digits. `odd` maps an IIN to the answer about
    it as it is: JSON for a result, octets for a whole body.
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
        self.odd: dict[str, Any] = {}
        self.left_out: Counter[str] = Counter()
        """How many more batch answers will lack an IIN."""
        self.lookups: list[Lookup] = []
        """Everybody asked about and answered, in order."""
        self.looked_up = 0
        self.largest_batch = 0
        self._routes = {("POST", "/v1/lookup"): self._lookup, ("POST", "/v1/lookups"): self._lookups}

    def asked(self, iin: str) -> int:
        """How often a person was asked about, answered or not."""
        return sum(f'"{iin}"'.encode() in call.raw for call in self.calls)

    async def _lookup(self, call: Call) -> web.Response:
        match call.body:
            case {"iin": str(iin), **rest} if not rest:
                result = self._result(iin, 1)
                if isinstance(result, bytes):
                    return web.Response(body=result, content_type="application/json")
                return answer(result)
        return self.complain(f"/v1/lookup with {sorted(call.body)}")

    async def _lookups(self, call: Call) -> web.Response:
        match call.body:
            case {"iins": [*iins], **rest} if iins and not rest and all(isinstance(iin, str) for iin in iins):
                pass
            case _:
                return self.complain("/v1/lookups without a list of IINs")
        if len(set(iins)) < len(iins):
            return self.complain("/v1/lookups with a person twice")
        self.largest_batch = max(self.largest_batch, len(iins))
        results = []
        # In any order, says the contract: so the last comes first.
        for iin in reversed(iins):
            if self.left_out[iin] > 0:
                self.left_out[iin] -= 1
                continue
            result = self._result(iin, len(iins))
            if isinstance(result, bytes):
                return web.Response(body=result, content_type="application/json")
            results.append({"iin": iin, **result} if isinstance(result, dict) else result)
        return answer({"results": results})

    def _result(self, iin: str, batch: int) -> Any:
        self.looked_up += 1
        if iin in self.odd:
            return self.odd[iin]
        number = self.numbers[iin] if iin in self.numbers else self.otherwise(iin) if self.otherwise else None
        if self.record:
            at = asyncio.get_running_loop().time()
            self.lookups.append(Lookup(at, iin, batch, number is not None))
        if number is None:
            return {"found": False}
        msisdn, operator = (number, None) if isinstance(number, str) else number
        found = {"found": True, "msisdn": "+" + msisdn if len(msisdn) == 11 else msisdn}
        return found if operator is None else {**found, "operator": operator}
