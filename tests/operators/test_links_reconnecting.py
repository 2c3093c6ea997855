"""The wait of a link between two binds, and the options and writes of its socket."""

import asyncio
import socket
from typing import Any

import pytest
import uvloop
from smpplib import consts

from gateway.config.policy import LinkPolicy
from gateway.operators import receiver
from gateway.operators.bind_waits import BindWaits
from gateway.operators.connection import SmppConnection
from gateway.simulators.smsc import SmscSimulator
from gateway.smpp.pdu import Address, SubmitEncoder
from gateway.smpp.session import Role, Session
from gateway.smpp.text import LongMessages, segments
from tests.harness import Family, Harness

POLICY = LinkPolicy()
BAD_CREDENTIALS = [consts.SMPP_ESME_RBINDFAIL, consts.SMPP_ESME_RINVPASWD, consts.SMPP_ESME_RINVSYSID]


def wait_after(*before: int | None, last: int | None) -> float:
    """The wait after these failed attempts in a row, each with the status of its refusal, if any."""
    waits = BindWaits(POLICY)
    for command_status in before:
        waits.after_failure(command_status)
    return waits.after_failure(last)


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [(1, 1, 2), (2, 2, 4), (3, 4, 8), (4, 8, 16), (5, 16, 32), (6, 30, 60), (10, 30, 60)],
)
def test_reconnects_back_off_from_1_s_to_60_s_with_jitter(failures: int, least: float, most: float) -> None:
    waits = [wait_after(*[None] * (failures - 1), last=None) for _ in range(200)]
    assert least <= min(waits) < max(waits) <= most


def test_the_wait_after_a_useful_session_is_1_to_2_s_with_jitter() -> None:
    bind_waits = BindWaits(POLICY)
    waits = [bind_waits.after_session() for _ in range(200)]
    assert 1 <= min(waits) < max(waits) <= 2


@pytest.mark.parametrize("refused", BAD_CREDENTIALS)
def test_refused_credentials_back_off_for_at_least_60_s(refused: int) -> None:
    assert all(wait_after(*[refused] * failures, last=refused) >= 60 for failures in range(12))
    assert wait_after(*[refused] * 9, last=refused) >= 300


@pytest.mark.parametrize("refused", BAD_CREDENTIALS)
@pytest.mark.parametrize("before", [[None] * 6, [consts.SMPP_ESME_RSYSERR] * 20, [consts.SMPP_ESME_RALYBND] * 20])
def test_other_failures_do_not_lengthen_the_wait_after_refused_credentials(
    refused: int, before: list[int | None]
) -> None:
    assert max(wait_after(*before, last=refused) for _ in range(200)) <= POLICY.credentials.first_seconds


def test_refused_credentials_do_not_lengthen_the_wait_of_an_smsc_that_is_away() -> None:
    refused = [consts.SMPP_ESME_RINVPASWD] * 9
    assert wait_after(*[None] * 9, *refused, last=None) <= POLICY.reconnect.first_seconds
    assert wait_after(*refused[:1], None, last=refused[0]) > POLICY.credentials.first_seconds / 2  # the second one


def test_a_useful_session_ends_the_row_of_failures() -> None:
    waits = BindWaits(POLICY)
    for status in (None, consts.SMPP_ESME_RINVPASWD, None, None):
        waits.after_failure(status)
    assert waits.after_session() <= POLICY.reconnect.first_seconds
    assert waits.after_failure(None) <= POLICY.reconnect.first_seconds
    assert waits.after_failure(consts.SMPP_ESME_RINVPASWD) <= POLICY.credentials.first_seconds


def test_the_wait_for_the_next_bind_restarts_only_after_a_minute_of_a_useful_session() -> None:
    waits = BindWaits(POLICY)
    first, longest = POLICY.reconnect.first_seconds, POLICY.reconnect.max_seconds / 2
    for _ in range(8):
        waits.after(None, bound_seconds=1.0)
    assert waits.after(None, bound_seconds=59.0, accepted=10_000) >= longest
    assert waits.after(None, bound_seconds=120.0, accepted=10_000, responsive=False) >= longest
    assert waits.after(None, bound_seconds=60.0) <= first


def test_short_sessions_that_send_texts_do_not_lengthen_the_wait() -> None:
    waits = BindWaits(POLICY)
    assert all(
        waits.after(None, bound_seconds=1.0, accepted=100) <= POLICY.reconnect.first_seconds for _ in range(9)
    )


def test_every_wait_after_already_bound_is_stale_session_seconds() -> None:
    already_bound = consts.SMPP_ESME_RALYBND
    waits = {wait_after(*[already_bound] * failures, last=already_bound) for failures in range(9)}
    assert waits == {POLICY.stale_session_seconds}


class RecordingTransport:
    """A transport that records its writes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_a_connection_has_tcp_nodelay_and_one_write_per_event_loop_iteration() -> None:
    async with SmscSimulator() as smsc:
        loop, bound = asyncio.get_running_loop(), asyncio.Event()
        session: Session[None] = Session(
            role=Role.TRANSCEIVER,
            system_id="gateway",
            password="secret",
            window=100,
            enquire_link=30,
            response_timeout=5,
        )
        bind = SmppConnection(session, lambda _bind, events: bound.set() if events else None)
        transport, _ = await loop.create_connection(lambda: bind, "127.0.0.1", smsc.port)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await bound.wait()

        transport_with_writes = RecordingTransport(transport)
        bind._transport = transport_with_writes  # type: ignore[assignment]
        data_coding, parts = segments("a" * 153 * 50, LongMessages.UDH8, 1)
        encoder = SubmitEncoder(Address(addr="1414", ton=3, npi=0), receipts="none")
        for body in encoder.bodies("77011234567", parts, data_coding):
            bind.submit(body, None)
        assert transport_with_writes.writes == []
        await smsc.message("77011234567")
        assert len(transport_with_writes.writes) == 1
        assert len(smsc.submitted) == 50
        bind.abort()
        await bind.lost.wait()


async def test_an_exception_in_the_receiver_closes_no_session_and_loses_no_reply(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = receiver.Receiver.receive
    failed: list[tuple[Any, ...]] = []

    def fail_once(self: receiver.Receiver, *arguments: Any) -> None:
        if not failed:
            failed.append(arguments)
            raise RuntimeError("an exception")
        receive(self, *arguments)

    await harness.start(link={"defer_status": consts.SMPP_ESME_RSYSERR})
    family = Family(n=1)
    await harness.ask(family)
    monkeypatch.setattr(receiver.Receiver, "receive", fail_once)
    assert await harness.smsc.reply(family.number, "3#1") == consts.SMPP_ESME_RSYSERR
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
    assert len(harness.smsc.connections) == 1


def test_a_timer_that_is_due_at_once_can_be_set_again_under_uvloop() -> None:
    """For less than half a millisecond, uvloop's call_at returns a handle that does not know when it is due."""
    events: list[object] = []

    async def connect() -> None:
        async with SmscSimulator() as smsc:
            smsc.refuse_binds(None)  # no response, however fast the simulator is
            session: Session[None] = Session(
                role=Role.TRANSCEIVER,
                system_id="gateway",
                password="secret",
                window=100,
                enquire_link=30,
                response_timeout=0.0004,
            )
            bind = SmppConnection(session, lambda _bind, some: events.extend(some))
            await asyncio.get_running_loop().create_connection(lambda: bind, "127.0.0.1", smsc.port)
            bind.flush()
            bind.flush()
            async with asyncio.timeout(10):
                await bind.lost.wait()

    uvloop.run(connect())
    assert events
