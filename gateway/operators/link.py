"""A link to an operator: its binds kept up for ever, its sender fed, what its SMSC delivers passed on."""

import asyncio
import ssl
import time
from typing import Any, assert_never

from smpplib.consts import (
    SMPP_ESME_RALYBND,
    SMPP_ESME_RBINDFAIL,
    SMPP_ESME_RINVPASWD,
    SMPP_ESME_RINVSYSID,
    SMPP_ESME_RX_T_APPN,
)

from gateway import metrics
from gateway.cluster.lease import Lease
from gateway.cluster.retry import run_with_retry
from gateway.cluster.wakeups import WakeUp
from gateway.config import Link as LinkConfig
from gateway.config.policy import LinkPolicy, Policy
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.connection import SmppConnection
from gateway.operators.receiver import Receiver
from gateway.operators.sender import SegmentTag, Sender
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.session import Role, Session
from gateway.store import nodes
from gateway.store.database import Database
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts

log = get_logger()

_CREDENTIALS = frozenset({SMPP_ESME_RBINDFAIL, SMPP_ESME_RINVPASWD, SMPP_ESME_RINVSYSID})


class Link:
    """All binds of one operator, in this process. `run` keeps them up until cancelled, `stop` drains them."""

    def __init__(
        self,
        config: LinkConfig,
        *,
        database: Database,
        node: str,
        lease: Lease,
        receiver: Receiver,
        state: SendingState,
        texts: SentTexts,
        wakeup: WakeUp,
        policy: Policy,
    ) -> None:
        self.config = config
        self._database = database
        self._node = node
        self._lease = lease
        self._receiver = receiver
        self._policy = policy.links
        self._task_retry = policy.task_retry
        self._sender = Sender(config, texts=texts, state=state, lease=lease, wakeup=wakeup, policy=policy.links)
        self._binds: set[SmppConnection[SegmentTag]] = set()
        self._bound: set[SmppConnection[SegmentTag]] = set()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keeps the link going until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for role in roles_of(self.config):
                tasks.create_task(self._keep_bound(role))
            for name, work in (
                ("fill", self._sender.fill), ("record", self._sender.record), ("note_bound", self._note_bound)
            ):  # fmt: skip
                tasks.create_task(run_with_retry(work, name, backoff=self._task_retry, link=self.config.name))
            tasks.create_task(self._release_when_lapsed())

    def note_unacknowledged(self, began: float) -> None:
        """Since then (monotonic) what came in may have waited too long for its acknowledgement."""
        self._receiver.note_unacknowledged(self.config.name, began)

    def resume(self) -> None:
        """Submits again, after a time in which the link may have been another process's."""
        self._sender.pump()

    async def stop(self) -> None:
        """No new submits; waits for responses, at most for the drain time-out; unbinds; leaves nothing unwritten."""
        self._stopping.set()
        self._sender.stop()
        try:
            async with asyncio.timeout(self._policy.drain_timeout_seconds):
                await self._sender.drained()
        except TimeoutError:
            log.warning(LogEvent.LINK_NOT_DRAINED, link=self.config.name)
        binds = list(self._binds)
        for bind in binds:
            bind.unbind()
        try:
            async with asyncio.timeout(self._policy.unbind_timeout_seconds):
                for bind in binds:
                    await bind.lost.wait()
        except TimeoutError:
            for bind in binds:
                bind.abort()
                await bind.lost.wait()
        await self._sender.flush()

    async def _keep_bound(self, role: Role) -> None:
        """Connects and binds, again and again, waiting longer each time it fails."""
        failures = 0
        while not self._stopping.is_set():
            bind = await self._connect(role)
            failures = 0 if bind is not None and bind.was_bound else failures + 1
            refused = bind.refused if bind is not None else None
            self._report_refusal(refused)
            wait = wait_before_binding(self._policy, refused, failures)
            try:
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def _report_refusal(self, refused: int | None) -> None:
        """Credentials that the SMSC refuses are for people to settle: they raise an alert."""
        name = self.config.name
        if refused is not None and refused in _CREDENTIALS:
            log.error(LogEvent.LINK_CREDENTIALS_REFUSED, link=name, status=status.name(refused))
            metrics.LINK_FAILURES.labels(name, "credentials").inc()
        elif refused == SMPP_ESME_RALYBND:
            log.warning(LogEvent.LINK_ALREADY_BOUND, link=name)

    async def _release_when_lapsed(self) -> None:
        """Gives the binds up whenever another process may have been given the link."""
        lease = self._lease
        while True:
            await lease.wait_lapsed()
            log.error(LogEvent.LINK_RELEASED, link=self.config.name, binds=len(self._binds))
            for bind in list(self._binds):
                bind.abort()
            await lease.wait_held()

    async def _connect(self, role: Role) -> SmppConnection[SegmentTag] | None:
        """A connection, from its beginning to its loss; None when there was none."""
        config = self.config
        bind = SmppConnection[SegmentTag](new_session(config, role), self._handle)
        await self._lease.wait_held()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(config.response_timeout.total_seconds()):
                await loop.create_connection(lambda: bind, config.host, config.port, ssl=tls_context(config))
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: a host name that can be none
            log.warning(LogEvent.LINK_UNREACHABLE, link=config.name, error=str(error) or type(error).__name__)
            metrics.LINK_FAILURES.labels(config.name, "unreachable").inc()
            return None
        self._binds.add(bind)
        if self._stopping.is_set():  # too late to drain it
            bind.abort()
        try:
            await bind.lost.wait()
        finally:
            self._binds.discard(bind)
            bind.abort()
        return bind

    def _handle(self, bind: SmppConnection[SegmentTag], events: list[smpp.Event[SegmentTag]]) -> None:
        """Passes the events of one read on, then sends what they have made room for."""
        for event in events:
            try:
                self._handle_event(bind, event)
            except Exception:  # a defect of ours costs one event, never the session
                log.exception(LogEvent.LINK_EVENT_FAILED, link=self.config.name, what=type(event).__name__)
                if isinstance(event, smpp.Received):  # the SMSC keeps it
                    bind.respond(event.command_id, event.sequence_number, SMPP_ESME_RX_T_APPN)
        if not bind.open:
            self._went_down(bind)
        self._sender.pump()

    def _handle_event(self, bind: SmppConnection[SegmentTag], event: smpp.Event[SegmentTag]) -> None:
        name = self.config.name
        match event:
            case smpp.SubmitResponse() | smpp.LateResponse():
                self._sender.responded(event)
            case smpp.NoResponse():
                self._sender.not_responded(event)
            case smpp.Received():
                self._receiver.receive(bind, self.config, event)
            case smpp.Bound():
                self._came_up(bind, event)
            case smpp.BindRefused():
                bind.refused = event.command_status
                log.warning(LogEvent.LINK_BIND_REFUSED, link=name, status=status.name(event.command_status))
            case smpp.SmscUnbound():
                log.info(LogEvent.LINK_UNBOUND_BY_SMSC, link=name)
                self._went_down(bind)
            case smpp.Unbound():
                self._went_down(bind, all_read=True)
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

    def _went_down(self, bind: SmppConnection[SegmentTag], *, all_read: bool = False) -> None:
        """`all_read`: the SMSC has responded to our unbind, and so read everything that was sent before."""
        if bind in self._bound:
            if not all_read:
                since = time.monotonic() - self.config.loss_detection_seconds
                self._receiver.note_unacknowledged(self.config.name, since)
            self._bound.discard(bind)
            self._sender.unbound(bind)
            self._changed.set()
            log.info(LogEvent.LINK_LOST, link=self.config.name, bound=len(self._bound))

    async def _note_bound(self) -> None:
        """Writes how many of the link's binds are up: for the other processes and /readyz."""
        while True:
            metrics.BOUND.labels(self.config.name).set(len(self._bound))
            async with self._database.acquire() as connection:
                await nodes.note_bound(connection, self._node, self.config.name, len(self._bound))
            await self._changed.wait()
            self._changed.clear()


def wait_before_binding(policy: LinkPolicy, refused: int | None, failures: int) -> float:
    """Seconds until the next attempt, by the command_status of a refused bind and the failures in a row."""
    if refused == SMPP_ESME_RALYBND:
        return policy.stale_session_seconds
    backoff = policy.credentials if refused in _CREDENTIALS else policy.reconnect
    return backoff.delay(failures)


def new_session(config: LinkConfig, role: Role) -> Session[Any]:
    """A session of the link, before it is connected."""
    return Session(
        role=role,
        system_id=config.system_id,
        password=config.password,
        system_type=config.system_type,
        window=config.window,
        enquire_link=config.enquire_link.total_seconds(),
        response_timeout=config.response_timeout.total_seconds(),
    )


def roles_of(config: LinkConfig) -> list[Role]:
    """One for each socket of the link."""
    return [*config.bind.roles] * config.sessions


def tls_context(config: LinkConfig) -> ssl.SSLContext | None:
    """TLS with the host's name checked; None for a plain link."""
    if not config.tls:
        return None
    context = ssl.create_default_context(cafile=config.ca)
    if config.tls_cert is not None:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    return context
