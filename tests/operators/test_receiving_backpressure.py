"""More comes in than the database takes: binds are not read any further until there is room again."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.operators import receiver
from gateway.operators.receiver import Receiver
from gateway.smpp.pdu import CommandId
from gateway.smpp.session import Received

LINK = cast("Any", SimpleNamespace(name="kcell"))
MOST = 20


class SmppConnection:
    """The side of a bind that the receiver sees."""

    is_bound = True

    def __init__(self) -> None:
        self.held = False
        self.answered: list[int] = []

    def hold(self) -> None:
        self.held = True

    def go_on(self) -> None:
        self.held = False

    def respond(self, _command_id: int, sequence_number: int, _command_status: int = 0) -> None:
        self.answered.append(sequence_number)


class Journeys:
    """A database that is asked to commit; `meanwhile` is what comes in while it does."""

    def __init__(self) -> None:
        self.commits = 0
        self.meanwhile: Any = lambda: None

    async def transact(self, _work: object) -> None:
        self.commits += 1
        await asyncio.sleep(0)
        self.meanwhile()


def deliver(receiver: Receiver, bind: SmppConnection, sequence_number: int) -> None:
    received = Received(CommandId.DELIVER_SM, sequence_number, b"")
    receiver.take(cast("Any", bind), LINK, received)


@pytest.fixture
def journeys(monkeypatch: pytest.MonkeyPatch) -> Journeys:
    monkeypatch.setattr(receiver, "MAX_QUEUED", MOST)
    monkeypatch.setattr(receiver, "MAX_BATCH", 5)
    return Journeys()


async def run(receiver: Receiver, until: Any) -> None:
    running = asyncio.create_task(receiver.run())
    try:
        async with asyncio.timeout(5.0):
            while not until():  # noqa: ASYNC110 - nothing says so
                await asyncio.sleep(0)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_bind_is_read_no_further_while_too_much_waits_and_goes_on_when_it_is_stored(
    journeys: Journeys,
) -> None:
    receiver, bind = Receiver(cast("Any", journeys)), SmppConnection()
    for n in range(MOST):
        deliver(receiver, bind, n)
    assert not bind.held
    deliver(receiver, bind, MOST)
    assert bind.held
    await run(receiver, lambda: not bind.held)
    assert bind.answered == list(range(MOST + 1))[: len(bind.answered)]


async def test_a_bind_that_is_held_goes_on_though_another_never_stops(journeys: Journeys) -> None:
    receiver, held, busy = Receiver(cast("Any", journeys)), SmppConnection(), SmppConnection()
    for n in range(MOST + 1):
        deliver(receiver, held, n)
    journeys.meanwhile = lambda: deliver(receiver, busy, journeys.commits)
    await run(receiver, lambda: not held.held or journeys.commits > 10 * MOST)
    assert not held.held
