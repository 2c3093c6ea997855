"""Makes the calls that wait as rows: takes them in batches, a bounded number of requests at once, and writes what
came of them back in batches.

A partner that does not answer is left alone for a while as a whole; its calls wait in their rows, however many.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from gateway import metrics
from gateway.cluster.retry import is_transient, run_with_retry
from gateway.logs.log import Event, get_logger
from gateway.partners.responses import Done, Outcome, Retry, backoff
from gateway.store import calls, cases
from gateway.store.calls import Call, CallKind
from gateway.store.cases import StoredCase
from gateway.store.nodes import FencedError
from gateway.usecases.unit_of_work import Journeys, Step

log = get_logger()

COOLDOWN = (0.5, 30.0)
"""First and longest time, in seconds, for which a partner that does not answer is left alone."""
MAX_ROUNDS_IN_MEMORY = 4
"""How often over `concurrency` calls may be in memory, those included whose outcome is not written yet."""
MAX_BATCH = 200
"""Outcomes written in one transaction: the texts of so many cases are made in one go, while replies wait."""


class Client(Protocol):
    """A partner: one request for up to `batch` cases. Never raises for what the partner does."""

    batch: int

    async def call(self, stored: Sequence[StoredCase]) -> list[Outcome]:
        """One outcome for each case, in any order."""
        ...


class _Ready(NamedTuple):
    call: Call
    stored: StoredCase


class _Answered(NamedTuple):
    call: Call
    outcome: Outcome


class Caller:
    """The shell of one kind of call."""

    def __init__(self, kind: CallKind, client: Client, concurrency: int, journeys: Journeys) -> None:
        self._kind = kind
        self._client = client
        self._concurrency = concurrency
        self._journeys = journeys
        self._wake = journeys.signals.calls[kind]
        self._held: dict[int, Call] = {}  # by serial: from being taken until what came of it is written
        self._ready: deque[_Ready] = deque()  # taken ahead, so that no request waits for the rows
        self._more = False  # the last look at the rows left some there
        self._under_way: set[asyncio.Task[None]] = set()
        self._outcomes: list[_Answered] = []
        self._came = asyncio.Event()
        self._written = asyncio.Event()
        self._stopping = False
        self._failures = 0
        self._failed_at = 0.0
        self._cooldown_until = 0.0

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run_with_retry(self._dispatch, f"{self._kind} calls"))
                tasks.create_task(run_with_retry(self._record, f"{self._kind} outcomes"))
        finally:
            for request in self._under_way:
                request.cancel()

    async def stop(self) -> None:
        """Starts no more requests; returns once those under way are answered, and what came of them is written.

        What is taken and not begun is the next process's, when this one takes its leave.
        """
        self._stopping = True
        self._forget_ready()
        while self._held:
            await self._written.wait()
            self._written.clear()

    async def _dispatch(self) -> None:
        # It runs anew when the database was lost: perhaps between its commit and our knowing of it.
        await self._give_back_others()
        while True:
            if self._failures and self._ready:  # another process may have more luck with them
                self._forget_ready()
                await self._give_back_others()
            self._start()
            while self._lack and await self._take():
                pass
            await self._wake.wait()

    def _forget_ready(self) -> None:
        for ready in self._ready:
            del self._held[ready.call.serial]
        self._ready.clear()

    async def _give_back_others(self) -> None:
        async with self._journeys.database.acquire() as connection:
            await calls.release_others(connection, self._journeys.node, self._kind, self._held.keys())

    @property
    def _room(self) -> int:
        """Requests that may be started now; one at a time for a partner that did not answer the last."""
        if self._stopping or asyncio.get_running_loop().time() < self._cooldown_until:
            return 0
        return max((1 if self._failures else self._concurrency) - len(self._under_way), 0)

    @property
    def _lack(self) -> int:
        """Calls to be taken from the rows: as many again as may be under way, once half of those are gone.

        None while too much of what came of earlier ones is not written: the database is slow, or away.
        """
        if self._stopping:
            return 0
        wanted = (self._room if self._failures else self._concurrency) * self._client.batch
        most = MAX_ROUNDS_IN_MEMORY * self._concurrency * self._client.batch
        return wanted - len(self._ready) if 2 * len(self._ready) <= wanted and len(self._held) < most else 0

    async def _take(self) -> bool:
        """Takes what is lacking, and starts what may be; whether there may be more."""
        limit = self._lack
        journeys = self._journeys
        self._more = False  # nobody need wake us meanwhile
        async with journeys.database.acquire() as connection:
            taken = await calls.claim(connection, journeys.node, self._kind, limit)
            stored = await cases.fetch(connection, [call.case_id for call in taken]) if taken else {}
        if self._stopping:  # meanwhile
            return False
        self._held |= {call.serial: call for call in taken}
        self._ready.extend(_Ready(call, stored[call.case_id]) for call in taken)
        self._more = len(taken) == limit
        self._start()
        return self._more

    def _start(self) -> None:
        """Starts requests as far as there is room."""
        while self._ready and self._room:
            batch = [self._ready.popleft() for _ in range(min(self._client.batch, len(self._ready)))]
            request = asyncio.create_task(self._call(batch))
            self._under_way.add(request)
            request.add_done_callback(self._finished)
        if self._more and self._lack:
            self._wake.set()

    async def _call(self, batch: Sequence[_Ready]) -> None:
        began = asyncio.get_running_loop().time()
        calls_of = {ready.call.case_id: ready.call for ready in batch}
        try:
            outcomes = await self._client.call([ready.stored for ready in batch])
        except Exception as error:  # a defect of ours costs these calls a delay, not the others anything
            log.exception(Event.CALL_FAILED, call=self._kind)
            outcomes = [Retry(case_id, type(error).__name__) for case_id in calls_of]
        self._outcomes += [_Answered(calls_of[outcome.case_id], outcome) for outcome in outcomes]
        self._came.set()
        again = [outcome for outcome in outcomes if isinstance(outcome, Retry)]
        metrics.CALLS.labels(self._kind.value, "done").inc(len(outcomes) - len(again))
        metrics.CALLS.labels(self._kind.value, "again").inc(len(again))
        if len(again) < len(outcomes):
            self._failures = 0
            self._cooldown_until = 0.0
        elif began >= self._failed_at:  # else it was under way already when the last one failed: nothing new
            self._rest(again[0])

    def _finished(self, request: asyncio.Task[None]) -> None:
        self._under_way.discard(request)
        self._start()

    def _rest(self, again: Retry) -> None:
        first, longest = COOLDOWN
        self._failures += 1
        seconds = min(longest, first * 2 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        if again.retry_after is not None:
            seconds = again.retry_after.total_seconds()
        loop = asyncio.get_running_loop()
        self._failed_at = loop.time()
        self._cooldown_until = self._failed_at + seconds
        self._wake.set()
        loop.call_later(seconds, self._wake.set)
        log.warning(Event.PARTNER_UNAVAILABLE, call=self._kind, reason=again.reason, retry_in=round(seconds, 1))

    async def _record(self) -> None:
        while True:
            while self._outcomes:
                batch, self._outcomes = self._outcomes[:MAX_BATCH], self._outcomes[MAX_BATCH:]
                try:
                    await self._write_all(batch)
                except BaseException:
                    self._outcomes = batch + self._outcomes
                    raise
                for answered in batch:
                    del self._held[answered.call.serial]
                self._written.set()
                if self._more:
                    self._wake.set()
            await self._came.wait()
            self._came.clear()

    async def _write_all(self, outcomes: Sequence[_Answered]) -> None:
        """One transaction; when it fails for what is in it, one for each outcome: what is to blame is put off."""
        try:
            await self._journeys.transact(_writer(self._write, outcomes))
        except FencedError:
            raise
        except Exception as error:
            if is_transient(error) or (len(outcomes) == 1 and isinstance(outcomes[0].outcome, Retry)):
                raise
            if len(outcomes) > 1:
                for outcome in outcomes:
                    await self._write_all([outcome])
                return
            call = outcomes[0].call
            log.exception(Event.CALL_FAILED, call=self._kind, case_id=call.case_id)
            await self._write_all([_Answered(call, Retry(call.case_id, type(error).__name__))])

    async def _write(self, step: Step, outcomes: Sequence[_Answered]) -> None:
        node, connection = self._journeys.node, step.connection
        done = [(call, outcome.given) for call, outcome in outcomes if isinstance(outcome, Done)]
        again = [(call, outcome.retry_after) for call, outcome in outcomes if isinstance(outcome, Retry)]
        if done:
            ours = await calls.finish(connection, node, self._kind, [call for call, _ in done])
            await step.take([(call.case_id, given) for call, given in done if call.serial in ours])
        if again:
            delays = [(call, retry_after or backoff(call.attempts)) for call, retry_after in again]
            await calls.put_off(connection, node, self._kind, delays)


def _writer(
    write: Callable[[Step, Sequence[_Answered]], Awaitable[None]], outcomes: Sequence[_Answered]
) -> Callable[[Step], Awaitable[None]]:
    async def work(step: Step) -> None:
        await write(step, outcomes)

    return work
