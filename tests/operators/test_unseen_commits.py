"""Commits that succeed although the connection ends before the gateway receives the result."""

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from gateway.backoff import Backoff
from gateway.operators.arrivals import Arrivals
from gateway.partners.caller import Caller
from gateway.store import calls, nodes, sms
from tests.harness import Family, Harness


def unacknowledged(claim: Callable[..., Awaitable[Any]], ended: list[Any]) -> Callable[..., Awaitable[Any]]:
    """The same function; after its first claim of something it raises as if the connection had ended."""

    async def claim_and_disconnect(*arguments: Any, **more: Any) -> Any:
        claimed = await claim(*arguments, **more)
        if claimed and not ended:
            ended.append(claimed)
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return claimed

    return claim_and_disconnect


@pytest.fixture(autouse=True)
def _at_once(harness: Harness) -> None:
    harness.set_policy(task_retry=Backoff(first_seconds=0.01, max_seconds=0.1))


@pytest.mark.parametrize("claim", [(sms, "claim"), (calls, "claim"), (nodes, "claim_links")])
async def test_texts_calls_and_links_claimed_by_an_unseen_commit_are_processed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, claim: tuple[ModuleType, str]
) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(*claim, unacknowledged(getattr(*claim), ended))
    monkeypatch.setattr(
        Arrivals, "reserve", lambda _self, _text: False
    )  # texts are queued, and claimed from there
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "asked")
    assert ended


async def test_a_result_recorded_by_an_unseen_commit_is_not_applied_to_the_next_recipient(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written again after this process has claimed the look-up of the next recipient."""
    write = Caller._write
    written: list[Any] = []

    async def write_and_disconnect(caller: Caller, outcomes: Any) -> None:
        await write(caller, outcomes)
        if not written:
            written.append(outcomes)
            await caller._claim()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Caller, "_write", write_and_disconnect)
    await harness.start()
    family = Family(n=1, mother=None, father="77010000002")
    await harness.push(family)
    await harness.status(family, "asked")
    assert (await harness.case(family))["msisdn"] == "77010000002"
