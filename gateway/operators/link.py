"""A link to an operator: keeps its sessions bound, and connects them with its sender and the receiver."""

import asyncio
import ssl
import time
from contextlib import suppress
from typing import Any, assert_never

from smpplib.consts import SMPP_ESME_RALYBND, SMPP_ESME_RBINDFAIL

from gateway import metrics
from gateway.cluster.lease import Lease
from gateway.cluster.retry import run_with_retry
from gateway.cluster.wakeups import WakeUp
from gateway.config import Link as LinkConfig
from gateway.config.policy import Policy
from gateway.logs.fields import peer
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.bind_waits import BindWaits
from gateway.operators.connection import SmppConnection
from gateway.operators.receiver import Receiver
from gateway.operators.send_queue import SegmentTag
from gateway.operators.sender import Sender
from gateway.operators.unexpected_pdus import UnexpectedPdus
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.pdu import CommandId
from gateway.smpp.session import CloseReason, Role, Session
from gateway.store import nodes
from gateway.store.database import Database
from gateway.store.nodes import LinkState
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts

log = get_logger()


class Link:
    """All sessions of one link, in this process. `run` keeps them bound until cancelled, `stop` drains them."""

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
        self._peer = peer((config.host, config.port))
        self._unexpected = UnexpectedPdus(config.name, self._peer)
        self._sender = Sender(config, texts=texts, state=state, lease=lease, wakeup=wakeup, policy=policy.links)
        state.senders[config.name] = self._sender.arrivals
        self._binds: set[SmppConnection[SegmentTag]] = set()
        self._bound: set[SmppConnection[SegmentTag]] = set()
        self._stopping = asyncio.Event()
        self._defers_deliveries = False
        self._bind_now = asyncio.Event()  # ends the waits that began before; a new one follows
        self._failed_bind: tuple[str, float] | None = None  # why, and when the next one is (monotonic)
        self._changed = asyncio.Event()
        self._window_size: float | None = None  # of the session that ended last

    async def run(self) -> None:
        """Keeps the sessions bound, and sends and records texts, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for role in roles_of(self.config):
                tasks.create_task(self._keep_bound(role))
            for name, work in (
                ("fill", self._sender.fill), ("record", self._sender.record), ("note_state", self._note_state)
            ):  # fmt: skip
                tasks.create_task(run_with_retry(work, name, backoff=self._task_retry, link=self.config.name))
            tasks.create_task(self._release_when_lapsed())

    def note_unacknowledged(self, began: float) -> None:
        """Notes that messages received since `began` (monotonic seconds) may have been acknowledged too late."""
        self._receiver.note_unacknowledged(self.config.name, began)

    def resume(self) -> None:
        """Submits again, after a period in which another process may have held the link."""
        self._sender.pump()

    def bind_now(self) -> None:
        """Ends all waits between two attempts to bind; the pauses after failures grow on."""
        self._bind_now.set()
        self._bind_now = asyncio.Event()

    async def stop(self) -> None:
        """Submits nothing new, waits for responses up to the drain time-out, unbinds, and writes all progress."""
        self._stopping.set()
        self.bind_now()
        self._sender.stop()
        try:
            async with asyncio.timeout(self._policy.drain_timeout_seconds):
                await self._sender.drained()
        except TimeoutError:
            log.warning(LogEvent.LINK_NOT_DRAINED, link=self.config.name)
        await self._unbind()
        await self.flush()

    async def drain(self) -> bool:
        """Whether every segment has its response, so that the link can move without sending one again.

        Submits nothing new then, else it goes on. Each response is awaited until its response_timeout.
        """
        self._sender.stop()
        await self._sender.drained()
        if self._sender.awaits_late_responses and not self._stopping.is_set():
            self._sender.resume()
            return False
        return True

    def defer_deliveries(self) -> None:
        """Has the SMSC keep what it delivers from now on, for the next bind."""
        self._defers_deliveries = True

    async def close(self) -> None:
        """Closes all binds, after `drain`, and binds no more."""
        self._stopping.set()
        self.bind_now()
        await self._unbind()

    async def flush(self) -> None:
        """Writes the responses received, and releases all texts that are not finished."""
        await self._sender.flush()

    async def _unbind(self) -> None:
        """Unbinds, and returns when all sockets are closed."""
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

    async def _keep_bound(self, role: Role) -> None:
        """Connects and binds until `stop`, with a longer pause after each failure."""
        waits = BindWaits(self._policy)
        while not self._stopping.is_set():
            bind = await self._connect(role)
            refusal = bind.bind_refusal if bind is not None else None
            if bind is None:
                wait = waits.after(None)
            else:
                wait = waits.after(
                    refusal,
                    bound_seconds=bind.bound_seconds,
                    accepted=bind.session.accepted,
                    responsive=bind.close_reason is not CloseReason.UNRESPONSIVE,
                )
            if refusal is not None:
                self._report_refusal(refusal, round(wait, 1))
            await self._wait_to_bind(bind_failure(bind), wait)

    async def _wait_to_bind(self, failure: str, wait: float) -> None:
        """Returns after `wait` seconds, or at once when ops ask for a bind or the link stops."""
        if self._stopping.is_set():
            return
        requested = self._bind_now
        self._failed_bind = (failure, asyncio.get_running_loop().time() + wait)
        self._changed.set()
        try:
            async with asyncio.timeout(wait):
                await requested.wait()
        except TimeoutError:
            return

    def _report_refusal(self, command_status: int, retry_in: float) -> None:
        """Logs and counts a refused bind, with the seconds until the next: ops may have to settle the cause."""
        name, peer, shown = self.config.name, self._peer, status.name(command_status)
        if command_status in status.REFUSED_CREDENTIALS:
            log.error(
                LogEvent.LINK_CREDENTIALS_REFUSED, link=name, peer=peer, command_status=shown, retry_in=retry_in
            )
            metrics.LINK_FAILURES.labels(name, "credentials").inc()
        elif command_status == SMPP_ESME_RALYBND:
            log.warning(LogEvent.LINK_ALREADY_BOUND, link=name, peer=peer, retry_in=retry_in)
        elif command_status == SMPP_ESME_RBINDFAIL:
            log.error(LogEvent.LINK_BIND_REFUSED, link=name, peer=peer, command_status=shown, retry_in=retry_in)
            metrics.LINK_FAILURES.labels(name, "bind_refused").inc()
        else:
            log.warning(LogEvent.LINK_BIND_REFUSED, link=name, peer=peer, command_status=shown, retry_in=retry_in)

    async def _release_when_lapsed(self) -> None:
        """Aborts all connections whenever the lease lapses: another process may have claimed the link."""
        lease = self._lease
        while True:
            await lease.wait_lapsed()
            log.error(LogEvent.LINK_RELEASED, link=self.config.name, binds=len(self._binds))
            for bind in list(self._binds):
                bind.abort()
            await lease.wait_held()

    async def _connect(self, role: Role) -> SmppConnection[SegmentTag] | None:
        """The connection, after it was lost; None when it could not be established."""
        config = self.config
        bind = SmppConnection[SegmentTag](new_session(config, role, self._window_size), self._handle)
        await self._lease.wait_held()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(config.response_timeout.total_seconds()):
                await loop.create_connection(lambda: bind, config.host, config.port, ssl=tls_context(config))
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: an invalid host name
            log.warning(
                LogEvent.LINK_UNREACHABLE,
                link=config.name,
                peer=self._peer,
                error=str(error) or type(error).__name__,
            )
            metrics.LINK_FAILURES.labels(config.name, "unreachable").inc()
            return None
        self._binds.add(bind)
        if self._stopping.is_set():  # too late to drain it
            bind.abort()
        try:
            await bind.lost.wait()
        finally:
            self._binds.discard(bind)
            self._window_size = bind.session.window.size
            bind.abort()
        return bind

    def _handle(self, bind: SmppConnection[SegmentTag], events: list[smpp.Event[SegmentTag]]) -> None:
        """Handles the events of one read, then submits as much as the windows allow."""
        for event in events:
            try:
                self._handle_event(bind, event)
            except Exception:  # a programming error affects one event, not the session
                log.exception(
                    LogEvent.LINK_EVENT_FAILED,
                    link=self.config.name,
                    peer=self._peer,
                    what=type(event).__name__,
                )
                if isinstance(event, smpp.Received):  # the SMSC keeps it and delivers it again
                    bind.respond(event.command_id, event.sequence_number, self.config.defer_status)
        if not bind.open:
            self._went_down(bind)
        self._sender.pump()

    def _handle_event(self, bind: SmppConnection[SegmentTag], event: smpp.Event[SegmentTag]) -> None:
        name = self.config.name
        match event:
            case smpp.SubmitResponse():
                self._sender.responded(event)
            case smpp.LateResponse():
                self._sender.responded_late(event)
            case smpp.NoResponse():
                self._sender.not_responded(event, timed_out=bind.open)
            case smpp.Received() if self._defers_deliveries:
                bind.respond(event.command_id, event.sequence_number, self.config.defer_status)
            case smpp.Received():
                self._receiver.receive(bind, self.config, event)
            case smpp.Bound():
                self._came_up(bind, event)
            case smpp.BindRefused():
                bind.bind_refusal = event.command_status
            case smpp.SmscUnbound() if bind.unbound_by_smsc:
                self._unexpected.note(smpp.UnexpectedPdu(CommandId.UNBIND, "unbind once more"))
            case smpp.SmscUnbound():
                bind.unbound_by_smsc = True
                log.info(LogEvent.LINK_UNBOUND_BY_SMSC, link=name, peer=self._peer)
                self._went_down(bind)
            case smpp.Unbound():
                self._went_down(bind, all_acknowledged=True)
            case smpp.UnmatchedNack() | smpp.UnexpectedPdu():
                self._unexpected.note(event)
            case smpp.Closed():
                bind.close_reason = event.reason
                log.warning(LogEvent.LINK_CLOSED, link=name, peer=self._peer, reason=event.reason)
            case _:
                assert_never(event)

    def _came_up(self, bind: SmppConnection[SegmentTag], event: smpp.Bound) -> None:
        bind.bound_at = asyncio.get_running_loop().time()
        self._bound.add(bind)
        if len(self._bound) == len(roles_of(self.config)):
            self._failed_bind = None
        self._changed.set()
        log.info(LogEvent.LINK_BOUND, link=self.config.name, smsc=event.system_id, bound=len(self._bound))
        if bind.free:
            self._sender.bound(bind)

    def _went_down(self, bind: SmppConnection[SegmentTag], *, all_acknowledged: bool = False) -> None:
        """Removes a bind. `all_acknowledged`: the unbind_resp shows that the SMSC has read all our responses."""
        if bind in self._bound:
            if not all_acknowledged:
                since = time.monotonic() - self.config.loss_detection_seconds
                self._receiver.note_unacknowledged(self.config.name, since)
            self._bound.discard(bind)
            self._sender.unbound(bind)
            self._changed.set()
            log.info(LogEvent.LINK_LOST, link=self.config.name, bound=len(self._bound))

    async def _note_state(self) -> None:
        """Writes the link's state and what a bind waits for, for other processes and ops, until cancelled."""
        name, loop = self.config.name, asyncio.get_running_loop()
        noted: LinkState | None = None
        noted_failure: tuple[str, float] | None = (
            "",
            0.0,
        )  # the first pass writes: an earlier one may have failed
        while True:
            metrics.BOUND.labels(name).set(len(self._bound))
            state, failed = self._state_now(), self._failed_bind
            if state != noted or failed != noted_failure:
                async with self._database.acquire() as connection, connection.transaction():
                    await nodes.note_link(connection, self._node, name, state)
                    failure, wait = (failed[0], failed[1] - loop.time()) if failed else (None, None)
                    await nodes.note_bind_failure(connection, self._node, name, failure, wait)
                noted, noted_failure = state, failed
            with suppress(TimeoutError):
                async with asyncio.timeout(self._policy.note_seconds):
                    await self._changed.wait()
            self._changed.clear()

    def _state_now(self) -> LinkState:
        """The state as its row has it; instants become distances from the time of writing."""
        health = self._sender.health()
        windows = [bind.session.window.limit for bind in self._bound if bind.session.window_in_use]
        now = asyncio.get_running_loop().time()
        return LinkState(
            bound=len(self._bound),
            send_window=sum(windows) if windows else None,
            stopped_status=health.stopped_status,
            stopped_seconds=round(now - health.stopped_at) if health.stopped_status is not None else None,
            unaccepted_seconds=round(now - since) if (since := health.unaccepted_since) is not None else None,
            needed_timeout_seconds=health.needed_timeout_seconds,
        )


def bind_failure(bind: SmppConnection[Any] | None) -> str:
    """Why a bind failed or a session ended: the status of the refusal, unreachable, or as CloseReason."""
    if bind is None:
        return "unreachable"
    if bind.bind_refusal is not None:
        return status.name(bind.bind_refusal)
    return bind.close_reason or CloseReason.CONNECTION_LOST


def new_session(config: LinkConfig, role: Role, window_size: float | None = None) -> Session[Any]:
    """A session of the link, not connected yet; it goes on with the window of an earlier one."""
    return Session(
        role=role,
        system_id=config.system_id,
        password=config.password,
        system_type=config.system_type,
        interface_version=config.interface_version,
        address_range=config.address_range,
        window=config.window,
        enquire_link=config.enquire_link.total_seconds(),
        response_timeout=config.response_timeout.total_seconds(),
        window_size=window_size,
    )


def roles_of(config: LinkConfig) -> list[Role]:
    """The roles of the link's connections, one per socket."""
    return [*config.bind.roles] * config.sessions


def tls_context(config: LinkConfig) -> ssl.SSLContext | None:
    """The TLS context, which checks the host name; None for a link without TLS."""
    if not config.tls:
        return None
    context = ssl.create_default_context(cafile=config.ca)
    if config.tls_cert is not None:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    return context
