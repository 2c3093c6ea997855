"""Lines of the log on their way to a file descriptor: queued by whoever logs, written by a thread.

A reader that has stopped (a pipe that nobody reads, a terminal after Ctrl-S, a disk that hangs) stops the thread,
and nobody else. When the queue is full, its oldest lines below warning are dropped, and counted.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Literal

Importance = Literal["info", "warning"]
"""`warning` from warnings up, `info` below: those are dropped first."""

MAX_QUEUED_BYTES = 4 << 20
_BATCH_BYTES = 65_536
_PAUSE_SECONDS = 0.05
"""The pause between two batches: a thread that woke for every line would cost the event loop more than writing it.
"""

_Line = tuple[int, bytes]  # its serial number, its octets


class LineWriter:
    """Writes lines in their order. Any thread may add some; none waits."""

    def __init__(
        self,
        descriptor: int,
        *,
        on_dropped: Callable[[Importance], None],
        report: Callable[[int], None],
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """`on_dropped` counts a line that is lost. `report` logs their number once there is room again."""
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._report = report
        self._max_queued_bytes = max_queued_bytes
        self._queues: dict[Importance, deque[_Line]] = {"info": deque(), "warning": deque()}
        self._queued_bytes = 0
        self._serial = 0
        self._unreported = 0
        self._idle = False
        self._closing = False
        self._changed = threading.Condition()  # reentrant: the garbage collector may log while a line is added
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def add(self, line: bytes, importance: Importance) -> None:
        """Queues a line; drops the oldest ones for which there is no room, those below warning first."""
        lost: list[Importance] = []
        with self._changed:
            self._serial += 1
            self._queues[importance].append((self._serial, line))
            self._queued_bytes += len(line)
            while self._queued_bytes > self._max_queued_bytes:
                lost.append(self._drop_oldest())
            if self._idle:
                self._idle = False
                self._changed.notify()
        self._count(lost)

    def close(self, timeout_seconds: float) -> bool:
        """Whether everything could be written in time. A thread that is stuck is left behind."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _drop_oldest(self) -> Importance:
        importance: Importance = "info" if self._queues["info"] else "warning"
        _, octets = self._queues[importance].popleft()
        self._queued_bytes -= len(octets)
        self._unreported += 1
        return importance

    def _count(self, lost: Iterable[Importance]) -> None:
        """Not under the lock: a metric has a lock of its own."""
        for importance in lost:
            self._on_dropped(importance)

    def _run(self) -> None:
        while batch := self._next_batch():
            written = _write(self._descriptor, b"".join(octets for _, octets in batch))
            if not written:
                self._count(importance for importance, _ in batch)
            with self._changed:
                self._unreported += 0 if written else len(batch)
                has_room = written and self._queued_bytes <= self._max_queued_bytes // 2
                dropped = self._unreported if has_room else 0
                self._unreported -= dropped
            if dropped:
                self._report(dropped)
            with self._changed:
                self._changed.wait_for(self._has_work, _PAUSE_SECONDS)

    def _has_work(self) -> bool:
        """Whether the next batch should not wait for more lines."""
        return self._closing or self._queued_bytes >= _BATCH_BYTES

    def _next_batch(self) -> list[tuple[Importance, bytes]]:
        """The oldest lines, once there are some; none when the writer is closed and all are written."""
        batch: list[tuple[Importance, bytes]] = []
        size = 0
        with self._changed:
            while not self._queued_bytes and not self._closing:
                self._idle = True
                self._changed.wait()
            self._idle = False
            while size < _BATCH_BYTES and (importance := self._oldest()):
                _, octets = self._queues[importance].popleft()
                size += len(octets)
                batch.append((importance, octets))
            self._queued_bytes -= size
        return batch

    def _oldest(self) -> Importance | None:
        info, warning = self._queues["info"], self._queues["warning"]
        if info and (not warning or info[0] < warning[0]):
            return "info"
        return "warning" if warning else None


def _write(descriptor: int, octets: bytes) -> bool:
    """Whether the octets are written, however long it takes; False for a closed pipe or a full disk."""
    rest = memoryview(octets)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # another program may have made the descriptor non-blocking
            with suppress(OSError):
                ready = select.poll()
                ready.register(descriptor, select.POLLOUT)
                ready.poll()
        except OSError:
            return False
    return True
