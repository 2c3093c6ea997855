"""Whether the disk of the database has free space: its metric, and a line of the log when it has none any more."""

from gateway.logs.log import Event, get_logger
from gateway.metrics import DISK_FULL
from gateway.store.database import Database
from gateway.store.disk import DiskSpace

log = get_logger()

FULL_FOR_SECONDS = 60.0
"""The time after the last statement rejected for a full disk, for which the disk of an external database counts as
full.
"""


class DiskCheck:
    """The check of one process, run by the scheduler.

    The disk of the embedded database is measured. An external one is full once it rejects a statement for it.
    """

    def __init__(self, disk: DiskSpace, database: Database, *, full_for_seconds: float = FULL_FOR_SECONDS) -> None:
        self._disk = disk
        self._database = database
        self._full_for_seconds = full_for_seconds
        self._full = False

    async def run(self) -> None:
        """Sets the metric; logs the first of several shortages."""
        missing = self._disk.shortage()
        rejected = self._database.disk_was_full(self._full_for_seconds)
        full = rejected or missing is not None
        DISK_FULL.set(full)
        if full and not self._full:
            if missing is not None:
                log.warning(Event.DISK_SPACE_LOW, free_bytes=missing.free_bytes, needed_bytes=missing.needed_bytes)
            else:
                log.error(Event.DATABASE_DISK_FULL)
        self._full = full
