"""Makes the calls that wait as rows: claims them in batches, a bounded number of requests at once, and records the
outcomes in batches.

A partner that does not respond, or not as its contract says, gets no calls for a while; they wait in their rows,
however many.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from gateway import metrics
from gateway.backoff import Backoff
from gateway.cluster.retry import batch_then_singly, run_with_retry
from gateway.cluster.wakeups import WakeUp
from gateway.config.policy import PartnerPolicy
from gateway.consent.inputs import Park
from gateway.logs.log import Event, get_logger
from gateway.partners.availability import Availability
from gateway.partners.responses import Done, FailureKind, Invalid, Outcome, Retry, at_least
from gateway.store.calls import Call
from gateway.store.cases import StoredCase
from gateway.usecases.partner_calls import CallOutcome, ClaimedCall, PartnerCalls

log = get_logger()

MAX_ROUNDS_IN_MEMORY = 4
"""The multiple of `concurrency` that may be in memory, calls included whose outcome is not written yet."""
MIN_AHEAD = 100
"""Calls claimed ahead, at most as many as may be in memory: a claim of a few costs as much as one of many."""
MAX_BATCH = 200
"""Outcomes written in one transaction: the texts of so many cases are made in one go, while replies wait."""


class Client(Protocol):
    """A partner: one request for up to `batch` cases. Never raises for what the partner does."""

    @property
    def batch(self) -> int:
        """Cases for the next request."""
        ...

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One outcome for each case, in any order."""
        ...


class _Finished(NamedTuple):
    """A call, and what the partner's outcome means for it."""

    call: Call
    outcome: Done | Retry


class Caller:
    """The shell of one kind of call."""

    def __init__(
        self,
        client: Client,
        calls: PartnerCalls,
        *,
        concurrency: int,
        wakeup: WakeUp,
        policy: PartnerPolicy,
        task_retry: Backoff,
    ) -> None:
        self._client = client
        self._calls = calls
        self._kind = calls.kind
        self._concurrency = concurrency
        self._wakeup = wakeup
        self._policy = policy
        self._task_retry = task_retry
        self._held: dict[int, Call] = {}  # by serial: from its claim until its outcome is written
        self._ready: deque[ClaimedCall] = deque()  # claimed ahead, so that no request waits for the rows
        self._more = False  # the last claim left some in the rows
        self._under_way: set[asyncio.Task[None]] = set()
        self._finished: list[_Finished] = []
        self._has_finished = asyncio.Event()
        self._recorded = asyncio.Event()
        self._stopping = False
        self._availability = Availability(calls.kind, outage=policy.cooldown, policy=policy)
        self._done_calls = metrics.CALLS.labels(calls.kind.value, "done")
        self._retried_calls = metrics.CALLS.labels(calls.kind.value, "retry")
        self._failed_at = 0.0
        self._cooldown_until = 0.0

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, work in (("calls", self._dispatch), ("outcomes", self._record)):
                    tasks.create_task(run_with_retry(work, f"{self._kind} {name}", backoff=self._task_retry))
        finally:
            self._availability.close()
            for request in self._under_way:
                request.cancel()

    async def stop(self) -> None:
        """Starts no more requests; returns once those under way have a response, and their outcomes are written.

        What is claimed and not begun is released when this process leaves.
        """
        self._stopping = True
        self._forget_ready()
        while self._held:
            await self._recorded.wait()
            self._recorded.clear()

    async def _dispatch(self) -> None:
        # It is run again when the database was lost: perhaps after a commit that this process did not see.
        await self._calls.release_others(self._held.keys())
        while True:
            if self._availability.failing and self._ready:  # another process may have more luck with them
                self._forget_ready()
                await self._calls.release_others(self._held.keys())
            self._start()
            while self._shortage and await self._claim():
                pass
            await self._wakeup.wait()

    def _forget_ready(self) -> None:
        for ready in self._ready:
            del self._held[ready.call.serial]
        self._ready.clear()

    @property
    def _room(self) -> int:
        """Requests that may be started now; one at a time for a partner that did not respond to the last."""
        if self._stopping or asyncio.get_running_loop().time() < self._cooldown_until:
            return 0
        return max((1 if self._availability.failing else self._concurrency) - len(self._under_way), 0)

    @property
    def _shortage(self) -> int:
        """Calls to claim now, once half of those claimed ahead are started: one round of requests, or MIN_AHEAD.

        0 while too many outcomes are not written: the database is slow, or away.
        """
        if self._stopping:
            return 0
        round_size = self._concurrency * self._client.batch
        most = MAX_ROUNDS_IN_MEMORY * round_size
        wanted = max(round_size, min(MIN_AHEAD, most))
        if self._availability.failing:
            wanted = self._room * self._client.batch
        if 2 * len(self._ready) > wanted:
            return 0
        return max(min(wanted - len(self._ready), most - len(self._held)), 0)

    async def _claim(self) -> bool:
        """Claims what is short, and starts what may be; whether there may be more."""
        limit = self._shortage
        self._more = False  # no wake-up is needed meanwhile
        claimed = await self._calls.claim(limit)
        if self._stopping:  # meanwhile
            return False
        self._held |= {ready.call.serial: ready.call for ready in claimed}
        self._ready.extend(claimed)
        self._more = len(claimed) == limit
        self._start()
        return self._more

    def _start(self) -> None:
        """Starts requests as far as there is room."""
        while self._ready and self._room:
            batch = [self._ready.popleft() for _ in range(min(self._client.batch, len(self._ready)))]
            request = asyncio.create_task(self._call(batch))
            self._under_way.add(request)
            request.add_done_callback(self._done)
        if self._more and self._shortage:
            self._wakeup.set()

    async def _call(self, batch: Sequence[ClaimedCall]) -> None:
        began = asyncio.get_running_loop().time()
        calls_of = {ready.call.case_id: ready.call for ready in batch}
        try:
            outcomes = await self._client.call([ready.stored for ready in batch])
        except Exception as error:  # a defect of ours costs these calls a delay, not the others anything
            log.exception(Event.CALL_FAILED, call=self._kind)
            outcomes = [Retry(case_id, type(error).__name__) for case_id in calls_of]
        settled = [self._settled(outcome) for outcome in outcomes]
        self._finished += [_Finished(calls_of[outcome.case_id], outcome) for outcome in settled]
        self._has_finished.set()
        again = [outcome for outcome in settled if isinstance(outcome, Retry)]
        self._done_calls.inc(len(settled) - len(again))
        if again:
            self._retried_calls.inc(len(again))
        pausing = [outcome for outcome in again if outcome.kind is not FailureKind.OUTAGE]
        if any(isinstance(outcome, Done) for outcome in outcomes) and not pausing:
            self._availability.succeeded()
            self._cooldown_until = 0.0
        elif again and began >= self._failed_at:  # else it was under way already when the last one failed
            self._cool_down((pausing or again)[0])

    def _settled(self, outcome: Outcome) -> Done | Retry:
        """What the outcome means: an invalid response parks its case, unless it is one of many in a row."""
        if isinstance(outcome, Invalid):
            if self._availability.count_invalid():
                return Retry(outcome.case_id, outcome.reason, kind=FailureKind.INVALID)
            return Done(outcome.case_id, Park(reason=outcome.reason))
        if isinstance(outcome, Done):
            self._availability.responded()
        return outcome

    def _done(self, request: asyncio.Task[None]) -> None:
        self._under_way.discard(request)
        self._start()

    def _cool_down(self, again: Retry) -> None:
        seconds = self._availability.failed(again.kind, again.reason, again.retry_after)
        loop = asyncio.get_running_loop()
        self._failed_at = loop.time()
        self._cooldown_until = self._failed_at + seconds
        self._wakeup.set()
        loop.call_later(seconds, self._wakeup.set)

    async def _record(self) -> None:
        while True:
            while self._finished:
                batch, self._finished = self._finished[:MAX_BATCH], self._finished[MAX_BATCH:]
                try:
                    await batch_then_singly(batch, self._write, self._put_off)
                except BaseException:
                    self._finished = batch + self._finished
                    raise
                for finished in batch:
                    del self._held[finished.call.serial]
                self._recorded.set()
                if self._more:
                    self._wakeup.set()
            await self._has_finished.wait()
            self._has_finished.clear()

    async def _write(self, batch: Sequence[_Finished]) -> None:
        await self._calls.record([self._recordable(call, outcome) for call, outcome in batch])

    async def _put_off(self, finished: _Finished, error: Exception) -> None:
        """The outcome cannot be written, by a defect of ours: the call is made again later."""
        call, outcome = finished
        if isinstance(outcome, Retry):
            raise error
        log.error(Event.CALL_FAILED, call=self._kind, case_id=call.case_id, exc_info=error)
        await self._write([_Finished(call, Retry(call.case_id, type(error).__name__))])

    def _recordable(self, call: Call, outcome: Done | Retry) -> CallOutcome:
        if isinstance(outcome, Done):
            return CallOutcome(call, outcome.given)
        seconds = at_least(self._policy.retry.delay(call.attempts + 1), outcome.retry_after)
        return CallOutcome(call, None, timedelta(seconds=seconds))
