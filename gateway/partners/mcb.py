"""Client of the MCB (base of mobile citizens): which subscriber number belongs to an IIN (order A1 §7)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

import aiohttp

from gateway.config.model import Mcb as McbConfig
from gateway.consent.identity import canonical_msisdn
from gateway.consent.inputs import Input, Park, SkipRecipient, UseNumber
from gateway.partners.responses import (
    REQUEST_ERRORS,
    Done,
    InvalidResponse,
    Outcome,
    Retry,
    Unavailable,
    is_retryable,
    is_valid_text,
    read_json_object,
)
from gateway.store.cases import StoredCase

MAX_CONSECUTIVE_FAILURES = 3
"""Lookups of a batch that fail one by one before the MCB counts as unavailable for the others as well."""


class Mcb:
    """Looks up the numbers of recipients, one or many a request. A failed request never means *no number*."""

    def __init__(self, http: aiohttp.ClientSession, config: McbConfig) -> None:
        self.batch = config.batch
        self._http = http
        self._url = config.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {config.token}"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout.total_seconds())

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One outcome for the current recipient of each case.

        Makes one request; after an invalid response to a batch, one request for each case.
        """
        if self.batch == 1:
            return await self._look_up_singly(stored)
        by_iin: defaultdict[str, list[str]] = defaultdict(list)
        for case in stored:
            by_iin[case.recipient["iin"]].append(case.case_id)
        try:
            body = await self._post("/v1/lookups", {"iins": list(by_iin)})
            if isinstance(body, Unavailable):
                return [body.retry(case.case_id) for case in stored]
            results = _results_by_iin(body)
        except InvalidResponse:  # one recipient of the batch may be to blame
            return await self._look_up_singly(stored)
        return [
            Done(case_id, _input_from(results[iin]))
            if iin in results
            else Retry(case_id, "missing from the answer")
            for iin, case_ids in by_iin.items()
            for case_id in case_ids
        ]

    async def _look_up_singly(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One request for each case; none once MAX_CONSECUTIVE_FAILURES requests have failed in a row."""
        outcomes: list[Outcome] = []
        for case in stored:
            failed = [last for last in outcomes[-MAX_CONSECUTIVE_FAILURES:] if isinstance(last, Retry)]
            unavailable = len(failed) == MAX_CONSECUTIVE_FAILURES
            outcomes.append(
                replace(failed[-1], case_id=case.case_id) if unavailable else await self._look_up(case)
            )
        return outcomes

    async def _look_up(self, stored: StoredCase) -> Outcome:
        try:
            body = await self._post("/v1/lookup", {"iin": stored.recipient["iin"]})
        except InvalidResponse as error:
            return Done(stored.case_id, Park(reason=f"mcb: {error}"))
        if isinstance(body, Unavailable):
            return body.retry(stored.case_id)
        return Done(stored.case_id, _input_from(body))

    async def _post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object] | Unavailable:
        """The JSON object of a 200; raises InvalidResponse for what is neither that nor worth a retry."""
        try:
            async with self._http.post(
                self._url + path, json=body, headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if is_retryable(response.status):
                    return Unavailable.by_response(response)
                if response.status != HTTPStatus.OK:
                    raise InvalidResponse(str(response.status))
                return await read_json_object(response)
        except REQUEST_ERRORS as error:
            return Unavailable.by_error(error)


def _results_by_iin(body: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    results = body.get("results")
    if not isinstance(results, list):
        raise InvalidResponse("no results")
    by_iin: dict[str, Mapping[str, object]] = {}
    for result in results:
        match result:
            case {"iin": str(iin)}:
                if by_iin.setdefault(iin, result) != result:
                    raise InvalidResponse("contradictory results")
    return by_iin


def _input_from(result: Mapping[str, object]) -> Input:
    """The input for a case by the result for its recipient. A number that is no Kazakh mobile number is none."""
    match result:
        case {"found": False}:
            return SkipRecipient()
        case {"found": True, "msisdn": str(number)}:
            msisdn = canonical_msisdn(number)
            operator = result.get("operator")
            if msisdn is None:
                return SkipRecipient(invalid=True)
            return UseNumber(msisdn=msisdn, operator=operator if is_valid_text(operator) else None)
        case _:
            return Park(reason="mcb: neither found nor not found")
