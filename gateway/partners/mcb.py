"""Client of the MCB (base of mobile citizens): which subscriber number belongs to an IIN (order A1 §7)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

import aiohttp

from gateway.config.model import Mcb as McbConfig
from gateway.consent.identity import canonical_msisdn
from gateway.consent.inputs import SkipRecipient, UseNumber
from gateway.partners.batch_size import BatchSize
from gateway.partners.responses import (
    REQUEST_ERRORS,
    Done,
    FailureKind,
    Invalid,
    InvalidResponse,
    Outcome,
    RequestTooLarge,
    Retry,
    Unavailable,
    invalid_or_unavailable,
    is_valid_text,
    read_json_object,
)
from gateway.partners.silence import Silence
from gateway.store.cases import StoredCase
from gateway.time_slice import TimeSlice
from gateway.tracing.context import HEADER, trace_of_batch, trace_of_case, traceparent

MAX_CONSECUTIVE_FAILURES = 3
"""Lookups of a batch that fail one by one before the MCB counts as unavailable for the others as well."""
MAX_CONSECUTIVE_INVALID = 20
"""Invalid responses to lookups of a batch one by one, after which the others are retried later."""


class Mcb:
    """Looks up the numbers of recipients, one or many a request. A failed request never means *no number*."""

    def __init__(self, http: aiohttp.ClientSession, config: McbConfig) -> None:
        self._http = http
        self._has_batches = config.batch > 1
        self._size = BatchSize(config.batch)
        self._url = config.url
        self._headers = {"Authorization": f"Bearer {config.token}"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout.total_seconds())
        self._silence = Silence("lookup")

    @property
    def batch(self) -> int:
        """Cases for one call: fewer than configured while the MCB finds requests too large."""
        return self._size.records

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One outcome for the current recipient of each case.

        Makes one request; several smaller ones where the MCB finds it too large; after an invalid response to a
        batch, one request for each case.
        """
        if not self._has_batches:
            return await self._look_up_singly(stored)
        outcomes: list[Outcome] = []
        while waiting := stored[len(outcomes) :]:
            batch = waiting[: self._size.records]
            try:
                found = await self._look_up_batch(batch)
            except InvalidResponse as error:  # one recipient of the batch may be to blame
                if isinstance(error, RequestTooLarge) and len(batch) > 1:
                    self._size.too_large(len(batch))
                    continue
                found = await self._look_up_singly(batch)
            if isinstance(found, Unavailable):
                return outcomes + [found.retry(case.case_id) for case in waiting]
            outcomes += found
        return outcomes

    async def _look_up_batch(self, stored: Sequence[StoredCase]) -> list[Outcome] | Unavailable:
        """One request; raises InvalidResponse."""
        by_iin: defaultdict[str, list[str]] = defaultdict(list)
        for case in stored:
            by_iin[case.recipient["iin"]].append(case.case_id)
        case_ids = [case.case_id for case in stored]
        body = await self._post("/v1/lookups", {"iins": list(by_iin)}, trace_of_batch(case_ids), case_ids)
        if isinstance(body, Unavailable):
            return body
        results = await _outcomes_by_iin(body)
        self._size.accepted(len(stored))
        return [
            replace(results[iin], case_id=case_id)
            if iin in results
            else Retry(case_id, "missing from the response")
            for iin, case_ids in by_iin.items()
            for case_id in case_ids
        ]

    async def _look_up_singly(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One request for each case; none for those that are left once the MCB seems to fail for all."""
        outcomes: list[Outcome] = []
        failed = invalid = 0
        for position, case in enumerate(stored, start=1):
            outcome = await self._look_up(case)
            outcomes.append(outcome)
            failed = failed + 1 if isinstance(outcome, Retry) else 0
            invalid = invalid + 1 if isinstance(outcome, Invalid) else 0
            if isinstance(outcome, Retry):
                if failed == MAX_CONSECUTIVE_FAILURES or outcome.kind is not FailureKind.OUTAGE:
                    return outcomes + [replace(outcome, case_id=left.case_id) for left in stored[position:]]
            elif invalid == MAX_CONSECUTIVE_INVALID:
                return outcomes + [Retry(left.case_id, "invalid responses") for left in stored[position:]]
        return outcomes

    async def _look_up(self, stored: StoredCase) -> Outcome:
        try:
            iin = {"iin": stored.recipient["iin"]}
            body = await self._post("/v1/lookup", iin, trace_of_case(stored.case_id))
        except InvalidResponse as error:
            return Invalid(stored.case_id, f"mcb: {error}")
        if isinstance(body, Unavailable):
            return body.retry(stored.case_id)
        return _outcome(stored.case_id, body)

    async def _post(
        self, path: str, body: Mapping[str, object], trace_id: str, of_cases: Sequence[str] = ()
    ) -> Mapping[str, object] | Unavailable:
        """The JSON object of a 200; raises InvalidResponse (RequestTooLarge) for what is not worth a retry.

        `of_cases`: the cases of a request that has a trace of its own.
        """
        try:
            with self._silence.request():
                async with self._http.post(
                    self._url + path,
                    json=body,
                    headers=self._headers | {HEADER: traceparent(trace_id)},
                    timeout=self._timeout,
                    allow_redirects=False,
                    trace_request_ctx=of_cases,
                ) as response:
                    if response.status != HTTPStatus.OK:
                        return invalid_or_unavailable(response)
                    return await read_json_object(response, max(len(of_cases), 1))
        except REQUEST_ERRORS as error:
            return Unavailable.by_error(error)


async def _outcomes_by_iin(body: Mapping[str, object]) -> dict[str, Outcome]:
    """The outcomes, for no case yet. Other tasks run in between: a batch may be large."""
    results = body.get("results")
    if not isinstance(results, list):
        raise InvalidResponse("no results")
    by_iin: dict[str, Outcome] = {}
    time_slice = TimeSlice()
    for result in results:
        await time_slice.yield_if_spent()
        match result:
            case {"iin": str(iin)}:
                outcome = _outcome("", result)
                if by_iin.setdefault(iin, outcome) != outcome:
                    raise InvalidResponse("contradictory results")
    return by_iin


def _outcome(case_id: str, result: Mapping[str, object]) -> Outcome:
    """The outcome for a case by the result for its recipient. A number that is no Kazakh mobile number is none."""
    match result:
        case {"found": False}:
            return Done(case_id, SkipRecipient())
        case {"found": True, "msisdn": str(number)}:
            msisdn = canonical_msisdn(number.removeprefix("tel:"))  # RFC 3966
            operator = result.get("operator")
            if msisdn is None:
                return Done(case_id, SkipRecipient(invalid=True))
            return Done(case_id, UseNumber(msisdn=msisdn, operator=operator if is_valid_text(operator) else None))
        case _:
            return Invalid(case_id, "mcb: neither found nor not found")
