"""The scheduled jobs: which use cases run without an input, how often, and whether in each process.

Sealing, deadlines, receipts and replies run in each process: rows that another process has locked are skipped.
"""

from collections.abc import Awaitable, Callable

from gateway.cluster.scheduler import Job
from gateway.logs.log import Event, get_logger
from gateway.usecases.deadlines import Deadlines
from gateway.usecases.erasure import Erasure
from gateway.usecases.housekeeping import Housekeeping
from gateway.usecases.journal_upkeep import JournalUpkeep
from gateway.usecases.receipts import Receipts
from gateway.usecases.replies import Replies

log = get_logger()

BATCH = 500
"""Cases or receipts per transaction of a job."""


def scheduled_jobs(
    *,
    deadlines: Deadlines,
    receipts: Receipts,
    replies: Replies,
    erasure: Erasure,
    housekeeping: Housekeeping,
    journal: JournalUpkeep,
) -> list[Job]:
    """The jobs of one process, with their intervals."""

    async def meet_deadlines() -> None:
        while await deadlines.meet(BATCH) == BATCH:
            pass

    async def match_receipts() -> None:
        while await receipts.match_unmatched(BATCH) == BATCH:
            pass

    async def erase() -> None:
        total = 0
        while erased := await erasure.erase(BATCH):
            total += erased
        if total:
            log.info(Event.PERSONAL_DATA_ERASED, cases=total)

    def once(name: str, run: Callable[[], Awaitable[object]], every_seconds: float) -> Job:
        return Job(name=name, run=run, every_seconds=every_seconds, once_per_cluster=True)

    return [
        Job(name="seal", run=journal.seal, every_seconds=0.2),
        Job(name="meet_deadlines", run=meet_deadlines, every_seconds=1.0),
        Job(name="match_receipts", run=match_receipts, every_seconds=1.0),
        Job(name="flush_replies", run=replies.flush_incomplete, every_seconds=30.0),
        once("fold_progress", housekeeping.fold_progress, 30.0),
        once("check_journal", journal.check, 30.0),
        once("grow_tree", journal.grow_tree, 30.0),
        once("expire_receipts", housekeeping.expire_receipts, 60.0),
        once("expire_dialogues", housekeeping.expire_dialogues, 60.0),
        once("expire_unacknowledged", housekeeping.expire_unacknowledged, 3600.0),
        once("anchor_journal", journal.log_anchor, 3600.0),
        once("erase", erase, 3600.0),
    ]
