"""Retries of long-running tasks and batches after errors of the database or the network."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, Unpack

import asyncpg

from gateway.backoff import Backoff
from gateway.logs.fields import OfLink
from gateway.logs.log import Event, get_logger
from gateway.store.nodes import FencedError

T = TypeVar("T")

log = get_logger()

TRANSIENT_ERRORS = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
)
"""Errors after which a retry may succeed: database restart, full disk, exhausted pool, network failure."""

_PERMANENT_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError)


def is_transient(error: BaseException) -> bool:
    """Whether the database or the network caused the error, and not the work itself."""
    return isinstance(error, TRANSIENT_ERRORS) and not isinstance(error, _PERMANENT_ERRORS)


async def run_with_retry(
    work: Callable[[], Awaitable[object]], task: str, *, backoff: Backoff, **context: Unpack[OfLink]
) -> None:
    """Runs `work` until it returns, again after each error except FencedError, which is raised.

    A programming error is logged with its traceback and retried too, so that it cannot end the other tasks.
    `context`, the link, is added to the log lines.
    """
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
            task_now = asyncio.current_task()
            if task_now is not None and task_now.cancelling():  # a lost connection has hidden the cancellation
                raise asyncio.CancelledError from error
            failures = 0 if loop.time() - began > backoff.max_seconds else failures + 1
            wait = backoff.delay(failures)
            log.error(
                Event.TASK_FAILED,
                task=task,
                error=type(error).__name__,
                retry_in=round(wait, 1),
                exc_info=not is_transient(error),
                **context,
            )
            await asyncio.sleep(wait)


async def batch_then_singly(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[object]],
    failed: Callable[[T, Exception], Awaitable[None]],
) -> None:
    """Runs `work` on all items at once; when an item makes it fail, on each item separately.

    `failed` is called with each item that fails separately, and its error. Raises FencedError and transient
    errors, which no item has caused.
    """
    try:
        await work(items)
    except FencedError:
        raise
    except Exception as error:
        if is_transient(error):
            raise
        if len(items) == 1:
            await failed(items[0], error)
            return
        for item in items:
            await batch_then_singly([item], work, failed)
