"""The mobile citizens base: which subscriber number belongs to an IIN (order A1 §7)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import aiohttp

from gateway.clock import wall_now
from gateway.config.model import Mcb as McbConfig
from gateway.consent.identity import canonical_msisdn
from gateway.consent.inputs import Input, Park, SkipRecipient, UseNumber
from gateway.partners.responses import (
    TRANSIENT_ERRORS,
    Done,
    InvalidResponse,
    Outcome,
    Retry,
    is_retryable,
    is_storable,
    read_object,
    retry_after,
)
from gateway.store.cases import StoredCase


class Mcb:
    """Looks recipients up, one or many a request. No answer is never taken for *no number*."""

    def __init__(self, http: aiohttp.ClientSession, config: McbConfig) -> None:
        self.batch = config.batch
        self._http = http
        self._url = config.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {config.token}"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout.total_seconds())

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """Outcomes for the recipients whose turn it is in these cases; one request, unless a batch is nonsense."""
        if self.batch == 1:
            return [await self._look_up(case) for case in stored]
        by_iin: defaultdict[str, list[str]] = defaultdict(list)
        for case in stored:
            by_iin[case.recipient["iin"]].append(case.case_id)
        try:
            answer = await self._post("/v1/lookups", {"iins": list(by_iin)})
            if isinstance(answer, Retry):
                return [Retry(case.case_id, answer.reason, answer.retry_after) for case in stored]
            results = _results(answer)
        except InvalidResponse:  # one record of the batch may be to blame: each is asked for by itself
            return [await self._look_up(case) for case in stored]
        return [
            Done(case_id, _read(results[iin])) if iin in results else Retry(case_id, "missing from the answer")
            for iin, case_ids in by_iin.items()
            for case_id in case_ids
        ]

    async def _look_up(self, stored: StoredCase) -> Outcome:
        try:
            answer = await self._post("/v1/lookup", {"iin": stored.recipient["iin"]})
        except InvalidResponse as error:
            return Done(stored.case_id, Park(reason=f"mcb: {error}"))
        if isinstance(answer, Retry):
            return Retry(stored.case_id, answer.reason, answer.retry_after)
        return Done(stored.case_id, _read(answer))

    async def _post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object] | Retry:
        """The answer's object, or Retry (of no case yet); raises InvalidResponse for anything else."""
        try:
            async with self._http.post(
                self._url + path, json=body, headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if is_retryable(response.status):
                    return Retry("", str(response.status), retry_after(response.headers, wall_now()))
                if response.status != HTTPStatus.OK:
                    raise InvalidResponse(str(response.status))
                return await read_object(response)
        except TRANSIENT_ERRORS as error:
            return Retry("", type(error).__name__)


def _results(answer: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    results = answer.get("results")
    if not isinstance(results, list):
        raise InvalidResponse("no results")
    return {r["iin"]: r for r in results if isinstance(r, dict) and isinstance(r.get("iin"), str)}


def _read(answer: Mapping[str, object]) -> Input:
    """What one answer means. A number that is no Kazakh mobile number counts as none."""
    match answer:
        case {"found": False}:
            return SkipRecipient()
        case {"found": True, "msisdn": str(number)}:
            msisdn = canonical_msisdn(number)
            operator = answer.get("operator")
            if msisdn is None:
                return SkipRecipient(invalid=True)
            return UseNumber(msisdn=msisdn, operator=operator if is_storable(operator) else None)
        case _:
            return Park(reason="mcb: neither found nor not found")
