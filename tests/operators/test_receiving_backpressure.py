"""Deliveries arrive faster than the database commits: reading of binds pauses until the queue has room."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from gateway.config.policy import ReceiverPolicy
from gateway.operators.receiver import Receiver
from gateway.smpp.pdu import CommandId
from gateway.smpp.session import Received

LINK = cast("Any", SimpleNamespace(name="kcell", default_alphabet="gsm7"))
MAX_QUEUED = 20


class SmppConnection:
    """The part of a connection that the receiver uses."""

    is_bound = True

    def __init__(self) -> None:
        self.paused = False
        self.responded_to: list[int] = []

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def respond(self, _command_id: int, sequence_number: int, _command_status: int = 0) -> None:
        self.responded_to.append(sequence_number)


class Inbound:
    """A use case that counts its commits; `meanwhile` runs during each of them."""

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
    return Receiver(cast("Any", inbound), ReceiverPolicy(max_queued=MAX_QUEUED, max_batch=5))


async def run(receiver: Receiver, until: Any) -> None:
    running = asyncio.create_task(receiver.run())
    try:
        async with asyncio.timeout(30.0):
            while not until():  # noqa: ASYNC110 - nothing says so
                await asyncio.sleep(0)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_reading_pauses_above_max_queued_deliveries_and_resumes_after_the_commit() -> None:
    receiver, bind = new_receiver(Inbound()), SmppConnection()
    for n in range(MAX_QUEUED):
        deliver(receiver, bind, n)
    assert not bind.paused
    deliver(receiver, bind, MAX_QUEUED)
    assert bind.paused
    await run(receiver, lambda: not bind.paused)
    assert bind.responded_to == list(range(MAX_QUEUED + 1))[: len(bind.responded_to)]


async def test_a_paused_bind_resumes_while_another_bind_keeps_delivering() -> None:
    inbound = Inbound()
    receiver, paused, busy = new_receiver(inbound), SmppConnection(), SmppConnection()
    for n in range(MAX_QUEUED + 1):
        deliver(receiver, paused, n)
    inbound.meanwhile = lambda: deliver(receiver, busy, inbound.commits)
    await run(receiver, lambda: not paused.paused or inbound.commits > 10 * MAX_QUEUED)
    assert not paused.paused
