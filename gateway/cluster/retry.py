"""Tasks that go on for ever: what the database or the network does to them is logged and tried again."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg

from gateway.logs.log import Event, get_logger
from gateway.store.nodes import FencedError

log = get_logger()

RETRY = (0.2, 10.0)
"""First and longest wait, in seconds, after a failure."""

TRANSIENT_ERRORS = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
)
"""What time cures: the database restarts, its disk is full, the pool is exhausted, the network is away."""

_PERMANENT_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError)


def is_transient(error: BaseException) -> bool:
    """The database or the network is away; the work itself is not to blame."""
    return isinstance(error, TRANSIENT_ERRORS) and not isinstance(error, _PERMANENT_ERRORS)


async def run_with_retry(
    work: Callable[[], Awaitable[object]], what: str, *, longest: float | None = None, **bound: object
) -> None:
    """Runs `work` again whenever it fails, `longest` (RETRY's) seconds later at most; raises FencedError alone.

    A defect of ours is logged with its frames and tried again as well: it may cost its own task, never the others.
    """
    first, longest = RETRY[0], RETRY[1] if longest is None else longest
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await work()
            return
        except FencedError:
            raise
        except Exception as error:
            failures = 0 if loop.time() - began > longest else failures + 1
            wait = min(longest, first * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            log.error(
                Event.TASK_FAILED,
                task=what,
                error=type(error).__name__,
                retry_in=round(wait, 1),
                exc_info=not is_transient(error),
                **bound,
            )
            await asyncio.sleep(wait)
