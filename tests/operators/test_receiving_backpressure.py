"""More comes in than the database takes: binds are not read any further until there is room again."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from gateway.config.policy import ReceiverPolicy
from gateway.operators.receiver import Receiver
from gateway.smpp.pdu import CommandId
from gateway.smpp.session import Received

LINK = cast("Any", SimpleNamespace(name="kcell", default_alphabet="gsm7"))
MOST = 20


class SmppConnection:
    """The side of a bind that the receiver sees."""

    is_bound = True

    def __init__(self) -> None:
        self.paused = False
        self.answered: list[int] = []

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def respond(self, _command_id: int, sequence_number: int, _command_status: int = 0) -> None:
        self.answered.append(sequence_number)


class Inbound:
    """A database that is asked to commit; `meanwhile` is what comes in while it does."""

    def __init__(self) -> None:
        self.commits = 0
        self.meanwhile: Any = lambda: None

    async def store(self, _batch: object, _periods: object) -> None:
        self.commits += 1
        await asyncio.sleep(0)
        self.meanwhile()


def deliver(receiver: Receiver, bind: SmppConnection, sequence_number: int) -> None:
    received = Received(CommandId.DELIVER_SM, sequence_number, b"")
    receiver.receive(cast("Any", bind), LINK, received)


def new_receiver(inbound: Inbound) -> Receiver:
    return Receiver(cast("Any", inbound), ReceiverPolicy(max_queued=MOST, max_batch=5))


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


async def test_a_bind_is_read_no_further_while_too_much_waits_and_goes_on_when_it_is_stored() -> None:
    receiver, bind = new_receiver(Inbound()), SmppConnection()
    for n in range(MOST):
        deliver(receiver, bind, n)
    assert not bind.paused
    deliver(receiver, bind, MOST)
    assert bind.paused
    await run(receiver, lambda: not bind.paused)
    assert bind.answered == list(range(MOST + 1))[: len(bind.answered)]


async def test_a_bind_that_is_held_goes_on_though_another_never_stops() -> None:
    inbound = Inbound()
    receiver, paused, busy = new_receiver(inbound), SmppConnection(), SmppConnection()
    for n in range(MOST + 1):
        deliver(receiver, paused, n)
    inbound.meanwhile = lambda: deliver(receiver, busy, inbound.commits)
    await run(receiver, lambda: not paused.paused or inbound.commits > 10 * MOST)
    assert not paused.paused
