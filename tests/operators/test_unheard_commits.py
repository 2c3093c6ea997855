"""What was committed although the database went away before it could say so."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from gateway.backoff import Backoff
from gateway.partners.caller import Caller
from gateway.store import calls, nodes, sms
from tests.harness import Family, Harness


def unacknowledged(take: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same, but the first time that it takes something, the connection ends before it can say so."""
    ended = False

    async def take_and_end(*arguments: Any, **more: Any) -> Any:
        nonlocal ended
        taken = await take(*arguments, **more)
        if taken and not ended:
            ended = True
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return taken

    return take_and_end


@pytest.fixture(autouse=True)
def _at_once(harness: Harness) -> None:
    harness.set_policy(task_retry=Backoff(first_seconds=0.01, max_seconds=0.1))


async def test_texts_taken_unheard_are_sent_all_the_same(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sms, "claim", unacknowledged(sms.claim))
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "asked")


async def test_calls_taken_unheard_are_made_all_the_same(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "claim", unacknowledged(calls.claim))
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "number_found")


async def test_a_link_taken_unheard_is_run_all_the_same(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "claim_links", unacknowledged(nodes.claim_links))
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "asked")


async def test_an_answer_about_the_mother_recorded_unheard_says_nothing_of_the_father(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written once more, when the father's look-up is this process's already."""
    write = Caller._write
    unseen: list[str] = []

    async def write_and_end(caller: Caller, outcomes: Any) -> None:
        await write(caller, outcomes)
        if not unseen:
            unseen.append("the commit")
            await caller._claim()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Caller, "_write", write_and_end)
    await harness.start()
    family = Family(n=1, mother=None, father="77010000002")
    await harness.push(family)
    await harness.status(family, "asked")
    assert (await harness.case(family))["msisdn"] == "77010000002"
