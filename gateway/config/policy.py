"""Time-outs, pauses and limits in memory that no operator has to set: injected, so that tests can change them.

What an installation may want to change is in config.toml (config/model.py).
"""

from dataclasses import dataclass, field
from datetime import timedelta

from gateway.backoff import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """A link to an operator."""

    reconnect: Backoff = Backoff(first_seconds=2.0, max_seconds=60.0)
    """Between attempts to bind."""
    credentials: Backoff = Backoff(first_seconds=120.0, max_seconds=600.0)
    """After the SMSC refused system_id or password: hammering gets an address banned."""
    stale_session_seconds: float = 10.0
    """After ESME_RALYBND: the SMSC has to notice the end of our former session."""
    busy: Backoff = Backoff(first_seconds=0.5, max_seconds=30.0)
    """Of a text, after the SMSC was too busy for it."""
    max_busy_retries: int = 6
    """Such waits in memory, after which the text goes back to its row."""
    busy_pause: timedelta = timedelta(minutes=1)
    """For which it then stays there."""
    drain_timeout_seconds: float = 4.0
    """For the responses to segments under way when the process stops."""
    unbind_timeout_seconds: float = 1.0
    max_unwritten_texts: int = 500
    """In memory besides those that are ready: when so many are not written yet, the database is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverPolicy:
    """What comes in from the SMSCs."""

    max_batch: int = 500
    """PDUs in one transaction."""
    max_queued: int = 2_000
    """PDUs in memory; beyond, the binds are not read until there is room again."""
    store_timeout_seconds: float = 5.0
    """For a batch; then the SMSC is asked to keep it."""
    ack_timeout_seconds: float = 5.0
    """After which an SMSC may have given up waiting for a deliver_sm_resp, and delivers again."""
    note_retry_seconds: float = 1.0
    """Until unacknowledged periods that could not be noted are noted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerPolicy:
    """Calls to the MCB, the wallet and SDU."""

    cooldown: Backoff = Backoff(first_seconds=0.5, max_seconds=30.0)
    """For which a partner that does not respond gets no calls but one at a time."""
    retry: Backoff = Backoff(first_seconds=1.0, max_seconds=300.0)
    """Of one call, by its own failures."""
    push: Backoff = Backoff(first_seconds=0.5, max_seconds=60.0)
    """Of a batch of statuses that SDU has not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPolicy:
    """A process among the others of its cluster. Real time."""

    heartbeat_seconds: float = 2.0
    expired_after_seconds: float = 10.0
    """Without a heartbeat, after which a process is evicted and its work taken over."""
    restart_grace_seconds: float = 10.0
    """After a start of the database, in which the other processes come back and nobody is evicted."""
    link_down_after_seconds: float = 10.0
    """Without a bound session, after which a link's texts may go through another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All of them."""

    links: LinkPolicy = field(default_factory=LinkPolicy)
    receiver: ReceiverPolicy = field(default_factory=ReceiverPolicy)
    partners: PartnerPolicy = field(default_factory=PartnerPolicy)
    membership: MembershipPolicy = field(default_factory=MembershipPolicy)
    task_retry: Backoff = Backoff(first_seconds=0.2, max_seconds=10.0)
    """Of a task that the database or the network has failed."""
    staged_batch: int = 2000
    """Lines of a list between two COPYs: some milliseconds of work, and no more than that many records twice."""
    acquire_timeout_seconds: float = 10.0
    """For a connection to the database while all are in use; whoever asked over HTTP may ask again."""
    stop_timeout_seconds: float = 8.0
    """In which a stopping process drains links and partners (`serve` promises 10 for all)."""
    flush_timeout_seconds: float = 1.0
    """In which what came in last is stored, once the links are down."""
