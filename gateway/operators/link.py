"""A link to an operator: its binds kept up for ever, its sender fed, its replies submitted on."""

import asyncio
import random
import ssl
import time
from typing import assert_never

from smpplib.consts import (
    SMPP_ESME_RALYBND,
    SMPP_ESME_RBINDFAIL,
    SMPP_ESME_RINVPASWD,
    SMPP_ESME_RINVSYSID,
    SMPP_ESME_RX_T_APPN,
)

from gateway import metrics
from gateway.cluster.retry import run_with_retry
from gateway.config import Link as LinkConfig
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.connection import SmppConnection
from gateway.operators.receiver import Receiver
from gateway.operators.sender import SegmentTag, Sender
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.session import Role, Session
from gateway.store import nodes
from gateway.usecases.unit_of_work import Journeys

log = get_logger()

RECONNECT_BACKOFF_SECONDS = (1.0, 60.0)
"""First and longest wait, in seconds, between attempts to bind."""
STALE_SESSION_SECONDS = 10.0
"""After ESME_RALYBND: the SMSC still holds our former session and has to notice its end."""
CREDENTIALS_BACKOFF_SECONDS = (60.0, 600.0)
"""After a refusal that trying again does not cure: hammering gets an address banned."""
MAX_DOUBLINGS = 10
DRAIN_TIMEOUT_SECONDS = 4.0
"""Seconds that segments under way get for their answers when we stop."""

_CREDENTIALS = frozenset({SMPP_ESME_RBINDFAIL, SMPP_ESME_RINVPASWD, SMPP_ESME_RINVSYSID})


class Link:
    """All binds of one operator, in this process. `run` keeps them up until cancelled, `stop` ends them well."""

    def __init__(self, config: LinkConfig, journeys: Journeys, receiver: Receiver) -> None:
        self.config = config
        self._journeys = journeys
        self._receiver = receiver
        self._sender = Sender(config, journeys, receiver.reply_text_sent, receiver.unsent)
        self._binds: set[SmppConnection[SegmentTag]] = set()
        self._bound: set[SmppConnection[SegmentTag]] = set()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keeps the link going until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for role in roles_of(self.config):
                tasks.create_task(self._keep_bound(role))
            tasks.create_task(run_with_retry(self._sender.fill, "fill", link=self.config.name))
            tasks.create_task(run_with_retry(self._sender.record, "record", link=self.config.name))
            tasks.create_task(run_with_retry(self._note_bound, "note_bound", link=self.config.name))
            tasks.create_task(self._release_when_lapsed())

    def doubt(self, began: float) -> None:
        """Since then (monotonic) what came in may have waited too long for its acknowledgement."""
        self._receiver.doubt(self.config.name, began)

    def go_on(self) -> None:
        """Submits again, after a time in which the link may have been another process's."""
        self._sender.pump()

    async def stop(self) -> None:
        """No new submits; waits for answers up to DRAIN_TIMEOUT_SECONDS; unbinds; leaves nothing unwritten."""
        self._stopping.set()
        self._sender.stop()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_SECONDS):
                await self._sender.drained()
        except TimeoutError:
            log.warning(LogEvent.LINK_NOT_DRAINED, link=self.config.name)
        binds = list(self._binds)
        for bind in binds:
            bind.unbind()
        try:
            async with asyncio.timeout(1.0):
                for bind in binds:
                    await bind.lost.wait()
        except TimeoutError:
            for bind in binds:
                bind.abort()
                await bind.lost.wait()
        await self._sender.finish()

    async def _keep_bound(self, role: Role) -> None:
        """Connects and binds, again and again, waiting longer each time it fails."""
        failures = 0
        while not self._stopping.is_set():
            bind = await self._connect(role)
            failures = 0 if bind is not None and bind.was_bound else min(failures + 1, MAX_DOUBLINGS)
            refused = bind.refused if bind is not None else None
            self._tell_refusal(refused)
            wait = wait_before_binding(refused, failures)
            try:
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def _tell_refusal(self, refused: int | None) -> None:
        """Bad credentials are for people to mend: they raise an alert."""
        name = self.config.name
        if refused is not None and refused in _CREDENTIALS:
            log.error(LogEvent.LINK_CREDENTIALS_REFUSED, link=name, status=status.name(refused))
            metrics.LINK_FAILURES.labels(name, "credentials").inc()
        elif refused == SMPP_ESME_RALYBND:
            log.warning(LogEvent.LINK_ALREADY_BOUND, link=name)

    async def _release_when_lapsed(self) -> None:
        """Gives the binds up whenever another process may have been given the link."""
        lease = self._journeys.lease
        while True:
            await lease.lapse()
            log.error(LogEvent.LINK_RELEASED, link=self.config.name, binds=len(self._binds))
            for bind in list(self._binds):
                bind.abort()
            await lease.held()

    async def _connect(self, role: Role) -> SmppConnection[SegmentTag] | None:
        """One life of a bind, from connecting to the loss of it; None when there was nobody to connect to."""
        config = self.config
        session = Session[SegmentTag](
            role=role,
            system_id=config.system_id,
            password=config.password,
            system_type=config.system_type,
            window=config.window,
            enquire_link=config.enquire_link.total_seconds(),
            response_timeout=config.response_timeout.total_seconds(),
        )
        bind = SmppConnection(session, self._handle)
        await self._journeys.lease.held()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(config.response_timeout.total_seconds()):
                await loop.create_connection(lambda: bind, config.host, config.port, ssl=tls_context(config))
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: a host name that can be none
            log.warning(LogEvent.LINK_UNREACHABLE, link=config.name, error=str(error) or type(error).__name__)
            metrics.LINK_FAILURES.labels(config.name, "unreachable").inc()
            return None
        self._binds.add(bind)
        if self._stopping.is_set():  # too late to end it well
            bind.abort()
        try:
            await bind.lost.wait()
        finally:
            self._binds.discard(bind)
            bind.abort()
        return bind

    def _handle(self, bind: SmppConnection[SegmentTag], events: list[smpp.Event[SegmentTag]]) -> None:
        """Hands the events of one read on, then sends what they have made room for."""
        for event in events:
            try:
                self._take(bind, event)
            except Exception:  # a defect of ours costs one event, never the session
                log.exception(LogEvent.LINK_EVENT_FAILED, link=self.config.name, what=type(event).__name__)
                if isinstance(event, smpp.Received):  # the SMSC keeps it
                    bind.respond(event.command_id, event.sequence_number, SMPP_ESME_RX_T_APPN)
        if not bind.open:
            self._went_down(bind)
        self._sender.pump()

    def _take(self, bind: SmppConnection[SegmentTag], event: smpp.Event[SegmentTag]) -> None:
        name = self.config.name
        match event:
            case smpp.SubmitResponse() | smpp.LateResponse():
                self._sender.answered(event)
            case smpp.NoResponse():
                self._sender.unanswered(event)
            case smpp.Received():
                self._receiver.take(bind, self.config, event)
            case smpp.Bound():
                self._came_up(bind, event)
            case smpp.BindRefused():
                bind.refused = event.command_status
                log.warning(LogEvent.LINK_BIND_REFUSED, link=name, status=status.name(event.command_status))
            case smpp.SmscUnbound():
                log.info(LogEvent.LINK_UNBOUND_BY_SMSC, link=name)
                self._went_down(bind)
            case smpp.Unbound():
                self._went_down(bind, heard=True)
            case smpp.UnmatchedNack() | smpp.UnexpectedPdu():
                log.warning(LogEvent.LINK_UNEXPECTED_PDU, link=name, what=repr(event))
                metrics.UNEXPECTED_PDUS.labels(name).inc()
            case smpp.Closed():
                log.warning(LogEvent.LINK_CLOSED, link=name, reason=event.reason)
            case _:
                assert_never(event)

    def _came_up(self, bind: SmppConnection[SegmentTag], event: smpp.Bound) -> None:
        bind.was_bound = True
        self._bound.add(bind)
        self._changed.set()
        log.info(LogEvent.LINK_BOUND, link=self.config.name, smsc=event.system_id, bound=len(self._bound))
        if bind.free:
            self._sender.bound(bind)

    def _went_down(self, bind: SmppConnection[SegmentTag], *, heard: bool = False) -> None:
        """`heard`: it has answered our unbind, and so read everything that we sent before."""
        if bind in self._bound:
            if not heard:
                self._receiver.doubt(self.config.name, time.monotonic() - self.config.loss_detection_seconds)
            self._bound.discard(bind)
            self._sender.unbound(bind)
            self._changed.set()
            log.info(LogEvent.LINK_LOST, link=self.config.name, bound=len(self._bound))

    async def _note_bound(self) -> None:
        """Tells the other processes how many of the link's binds are up; /readyz reads it."""
        while True:
            metrics.BOUND.labels(self.config.name).set(len(self._bound))
            async with self._journeys.database.acquire() as connection:
                await nodes.note_bound(connection, self._journeys.node, self.config.name, len(self._bound))
            await self._changed.wait()
            self._changed.clear()


def wait_before_binding(refused: int | None, failures: int) -> float:
    """Seconds until the next attempt, by the command_status of a refused bind and the failures in a row."""
    if refused == SMPP_ESME_RALYBND:
        return STALE_SESSION_SECONDS
    first, longest = CREDENTIALS_BACKOFF_SECONDS if refused in _CREDENTIALS else RECONNECT_BACKOFF_SECONDS
    most = min(longest, first * 2.0 ** max(failures, 1))
    return random.uniform(most / 2, most)  # noqa: S311 - jitter


def roles_of(config: LinkConfig) -> list[Role]:
    """One for each socket of the link."""
    pair = [Role.TRANSCEIVER] if config.bind == "transceiver" else [Role.TRANSMITTER, Role.RECEIVER]
    return pair * config.sessions


def tls_context(config: LinkConfig) -> ssl.SSLContext | None:
    """TLS with the host's name checked; None for a plain link."""
    if not config.tls:
        return None
    context = ssl.create_default_context(cafile=config.ca)
    if config.tls_cert is not None:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    return context
