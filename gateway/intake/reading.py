"""Reads the body of a list: its lines become staged rows while the body is received."""

import asyncio
from collections.abc import AsyncIterable, Sequence

from gateway.ids import new_ulid
from gateway.intake.body import Body, BodyEmptyError, TooManyRecordsError, check_encoding, check_last_line
from gateway.intake.fields import Code
from gateway.intake.records import Record, read_record
from gateway.store.lists import MAX_KEPT_ERRORS, ListError, staged_row
from gateway.time_slice import TimeSlice
from gateway.usecases.accept_list import Acceptance, AcceptList, StagedList


class ListReader:
    """The shell around AcceptList. One a process; `read` may run several times at once."""

    def __init__(self, accept_list: AcceptList, *, staged_batch: int, max_records: int) -> None:
        """`staged_batch` is how many lines there are between two COPYs, `max_records` the longest list."""
        self._accept_list = accept_list
        self._staged_batch = staged_batch
        self._max_records = max_records

    async def read(
        self, list_id: str, service: str, chunks: AsyncIterable[bytes], body: Body, expected_bytes: int = 0
    ) -> Acceptance | None:
        """The list as accepted; None when another list has the id. `expected_bytes`: at least so many will come.

        All or nothing: after an exception of `chunks`, or one that says what is wrong with the body as a whole
        (gateway/intake/body.py), nothing is stored, and the id stays free. The same for DiskSpaceError.
        """
        async with self._accept_list.staging(expected_bytes) as staged:
            reading = _Reading(staged, self._staged_batch, self._max_records)
            try:
                async for chunk in chunks:
                    for lines in body.feed(chunk):
                        await reading.add(lines)
                for last in (rest := body.close()):
                    check_last_line(*last)
                await reading.add(rest)
                if not reading.records:
                    raise BodyEmptyError
                await reading.finish()
            finally:
                await reading.abandon()
            return await staged.accept(
                list_id, service, digest=body.digest, records=reading.records, rejected=reading.rejected
            )


class _Reading:
    """Lines become staged rows: while one batch is copied to the database, the next one is read."""

    def __init__(self, staged: StagedList, batch: int, max_records: int) -> None:
        self.records = 0
        self.rejected = 0
        self._staged = staged
        self._batch = batch
        self._max_records = max_records
        self._errors_left = MAX_KEPT_ERRORS
        self._accepted: list[bytes] = []
        self._errors: list[ListError] = []
        self._copying: asyncio.Task[None] | None = None

    async def add(self, lines: Sequence[tuple[int, bytes | None]]) -> None:
        """Reads lines; returns when there is room for more, after other tasks had their time slice.

        Raises BodyEncodingError where one is not UTF-8, and TooManyRecordsError.
        """
        time_slice = TimeSlice()
        for number, line in lines:
            await time_slice.yield_if_spent()
            if line is None:
                self._reject(number, None, [("", Code.LINE_LENGTH)])
            elif line and not line.isspace():
                self._read(number, line)
            if self.records > self._max_records:
                raise TooManyRecordsError
        if len(self._accepted) + len(self._errors) >= self._batch:
            await self._flush()
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Returns when all that was added is staged."""
        await self._flush()
        await self._copied()

    async def abandon(self) -> None:
        """Cancels the copy under way, if any; after `finish` there is none."""
        if self._copying is not None:
            self._copying.cancel()
            await asyncio.gather(self._copying, return_exceptions=True)

    def _read(self, number: int, line: bytes) -> None:
        record = read_record(line)
        if type(record) is not Record:
            check_encoding(line)  # of a valid record it is UTF-8
            self._reject(number, *record)
            return
        self.records += 1
        self._accepted.append(staged_row(number, new_ulid(self._staged.received_at), *record))

    def _reject(self, number: int, record_id: str | None, faults: Sequence[tuple[str, str]]) -> None:
        self.records += 1
        self.rejected += 1
        kept = faults[: self._errors_left]
        self._errors_left -= len(kept)
        self._errors.extend([ListError(number, record_id, pointer, code) for pointer, code in kept])

    async def _flush(self) -> None:
        await self._copied()
        accepted, errors = self._accepted, self._errors
        self._accepted, self._errors = [], []
        self._copying = asyncio.create_task(self._staged.stage(accepted, errors))

    async def _copied(self) -> None:
        if self._copying is not None:
            copying, self._copying = self._copying, None
            await copying
