"""Free space where the embedded database keeps its files: lists that would fill the disk are rejected before.

A full disk stops the database, and with it replies. An external database is not measured: it reports a full disk
itself, and others watch it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_COPIES = 3
"""The number of copies of a record's octets: staged, its case, and the log of the transaction that inserts it."""
_ROW_BYTES = 2_000
"""The octets on the disk beside those of a record: headers, indexes, its call, its entries of the journal, and the
log of these. Measured: records of 165 octets took 2,600 on the disk, records of 356 octets 3,000.
"""


class DiskSpaceError(Exception):
    """There is too little free space for the list. Free some, or wait until other lists are stored."""

    def __init__(self, *, free_bytes: int, needed_bytes: int) -> None:
        super().__init__(f"{free_bytes} octets are free, {needed_bytes} are needed")
        self.free_bytes = free_bytes
        self.needed_bytes = needed_bytes


class Space(NamedTuple):
    """Of a file system."""

    total_bytes: int
    free_bytes: int


class DiskSpace:
    """The free space, and the shares of it that the lists which are being received have claimed."""

    def __init__(
        self,
        measure: Callable[[], Space | None],
        *,
        reserve: float = 0.05,
        max_reserve_bytes: int = 1 << 30,
    ) -> None:
        """`measure` returns None where nothing can be known. `reserve` is the share of the file system, up to
        `max_reserve_bytes`, that no list may use."""
        self._measure = measure
        self._reserve = reserve
        self._max_reserve_bytes = max_reserve_bytes
        self._claimed_bytes = 0

    def shortage(self) -> DiskSpaceError | None:
        """What is missing for any list; None while there is room, or where nothing can be known."""
        space = self._measure()
        if space is None or space.free_bytes >= self._reserve_of(space):
            return None
        return DiskSpaceError(free_bytes=space.free_bytes, needed_bytes=self._reserve_of(space))

    @contextmanager
    def claim(self) -> Iterator["Claim"]:
        """A claim on free space, for the time of the block."""
        claim = Claim(self)
        try:
            yield claim
        finally:
            self._claimed_bytes -= claim.claimed_bytes

    def extend(self, more_bytes: int) -> None:
        """Claims more; raises DiskSpaceError when it is not free."""
        space = self._measure()
        needed = self._claimed_bytes + more_bytes
        if space is not None:
            reserve = self._reserve_of(space)
            if space.free_bytes < needed + reserve:
                raise DiskSpaceError(free_bytes=space.free_bytes, needed_bytes=needed + reserve)
        self._claimed_bytes = needed

    def _reserve_of(self, space: Space) -> int:
        return min(int(space.total_bytes * self._reserve), self._max_reserve_bytes)


class Claim:
    """What one list will need until it is stored."""

    def __init__(self, disk: DiskSpace) -> None:
        self.claimed_bytes = 0
        self._disk = disk
        self._received_bytes = 0
        self._rows = 0

    def expect(self, received_bytes: int) -> None:
        """Claims what so many octets of records will need at least; raises DiskSpaceError."""
        self._claim(_COPIES * received_bytes)

    def add(self, received_bytes: int, rows: int) -> None:
        """Claims what more rows need that are about to be staged; raises DiskSpaceError."""
        self._received_bytes += received_bytes
        self._rows += rows
        self._claim(_COPIES * self._received_bytes + _ROW_BYTES * self._rows)

    def _claim(self, needed_bytes: int) -> None:
        more = max(0, needed_bytes - self.claimed_bytes)
        self._disk.extend(more)
        self.claimed_bytes += more


def space_at(folder: Path) -> Space | None:
    """The space of the file system that holds the folder; None where it cannot be measured."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return Space(usage.total, usage.free)
