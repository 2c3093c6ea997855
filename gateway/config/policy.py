"""Time-outs, pauses and limits in memory that no operator has to set: injected, so that tests can change them.

What an installation may want to change is in config.toml (config/model.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.backoff import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """A link to an operator."""

    reconnect: Backoff = Backoff(first_seconds=2.0, max_seconds=60.0)
    """The wait between attempts to bind."""
    credentials: Backoff = Backoff(first_seconds=120.0, max_seconds=600.0)
    """The wait after the SMSC refused system_id or password: frequent attempts get an address banned."""
    stale_session_seconds: float = 10.0
    """The wait after ESME_RALYBND: the SMSC has to detect the end of the former session."""
    busy: Backoff = Backoff(first_seconds=0.5, max_seconds=30.0)
    """The wait of a text after the SMSC was too busy for it."""
    max_busy_retries: int = 6
    """The number of such waits in memory, after which the text goes back to its row."""
    first_probe_seconds: float = 28.0
    """The wait between segments sent by a link that the SMSC refuses, and of a text whose refusal may be the
    link's fault; longer after ten minutes.
    """
    max_resend_wait_seconds: float = 600.0
    """The longest wait before segments of unknown outcome are sent again."""
    pause_after_copy: timedelta = timedelta(hours=1)
    """The wait after the second sending of a text in one submit_sm: no UDH tells a handset which is the copy."""
    alone_after_tries: int = 50
    """The number of tries in a row, all of one number, after which its refusals are not the link's fault."""
    useful_session_seconds: float = 60.0
    """The time for which a session must have been bound before the wait for the next bind restarts at its
    shortest.
    """
    useful_session_segments: int = 50
    """The number of segments accepted in a shorter session from which on the wait for the next bind does not grow.
    """
    late_ends_seconds: float = 600.0
    """The time between the last late response and an acceptance in time after which responses are not late any
    more.
    """
    full_window_seconds: float = 1.0
    """The time after an acceptance in which ESME_RSUBMITFAIL means that the SMSC has too many segments under way.
    """
    note_seconds: float = 2.0
    """The interval at which the state of a link is written to its row."""
    busy_pause: timedelta = timedelta(minutes=1)
    """The time for which a text stays in its row after `max_busy_retries`."""
    drain_timeout_seconds: float = 4.0
    """The longest wait for responses to segments under way when the process stops."""
    unbind_timeout_seconds: float = 1.0
    unheld_review_seconds: float = 60.0
    """The interval at which texts are looked for that this process has claimed and does not hold in memory: a
    COMMIT that was not confirmed may come late.
    """
    max_unwritten_texts: int = 500
    """The number of texts in memory, besides those that are ready, at which the database counts as slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverPolicy:
    """What comes in from the SMSCs."""

    max_batch: int = 500
    """The largest number of PDUs in one transaction."""
    max_queued: int = 2_000
    """The largest number of PDUs of a link in memory; beyond it, its binds are not read until there is room again.
    """
    max_queued_octets: int = 4_194_304
    """The same limit in octets."""
    store_timeout_seconds: float = 5.0
    """The longest time to store a batch; then the SMSC is asked to keep it."""
    ack_timeout_seconds: float = 5.0
    """The time after which an SMSC may have given up waiting for a deliver_sm_resp, and delivers again."""
    note_retry_seconds: float = 1.0
    """The wait until unacknowledged periods that could not be noted are noted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerPolicy:
    """Calls to the MCB, the wallet and SDU."""

    cooldown: Backoff = Backoff(first_seconds=0.5, max_seconds=30.0)
    """The time for which a partner that does not respond gets no calls but one at a time."""
    retry: Backoff = Backoff(first_seconds=1.0, max_seconds=300.0)
    """The wait of one call, by its own failures."""
    push: Backoff = Backoff(first_seconds=0.5, max_seconds=60.0)
    """The wait of a batch of statuses that SDU has not accepted."""
    pause: Backoff = Backoff(first_seconds=30.0, max_seconds=300.0)
    """The wait between attempts, one at a time, at a partner whose pause only a person can end."""
    silent_after_seconds: float = 10.0
    """The time without a response to requests under way after which there is an alert; the requests go on."""
    max_invalid_responses: int = 20
    """The number of invalid responses in a row that pauses the partner; each one before it parks a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcPolicy:
    """The signing keys of an identity provider: fetched now and then, never for a request."""

    fetch_timeout_seconds: float = 5.0
    """The longest fetch of each of the two documents."""
    max_document_bytes: int = 262_144
    refresh_seconds: float = 60.0
    """The shortest time between two fetches while there are keys, whatever tokens name unknown ones."""
    retry_seconds: float = 5.0
    """The shortest time between two fetches while there are no keys."""
    max_age_seconds: float = 3_600.0
    """The age at which keys are fetched again while they go on being used: a withdrawn one is soon missing."""
    leeway_seconds: float = 30.0
    """The tolerance of exp and nbf: the clocks of two servers differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """The HTTP interface: what one process serves at once, and how long a client may keep it waiting."""

    max_connections: int = 500
    """Connections open at once: half of the 1,024 descriptors that a process usually may have."""
    max_requests: int = 400
    """Requests with a token under way at once; those beyond get 503 and are to be repeated."""
    read_bytes: int = 32_768
    """The octets read of a connection at a time, and kept of it while it waits for a slot."""
    max_head_bytes: int = 16_384
    """The longest head of a request: its line and its headers together."""
    max_queued_requests: int = 2
    """The number of requests of a connection that wait behind the one under way; then it is not read."""
    max_unread_body_bytes: int = 65_536
    """The octets of a request's body in memory, at which its connection is not read."""
    anonymous_per_second: float = 200.0
    """Responses to requests without a token; those beyond wait, and their connections with them."""
    liveness_per_second: float = 1_000.0
    """The same limit for /healthz, which costs less."""
    probe_cache_seconds: float = 1.0
    """The time for which a response of /readyz or /metrics is reused: nobody needs a token to ask for them."""
    overview_timeout_seconds: float = 6.0
    """The longest wait for the database in the overview; then the last one is shown, with an alert."""
    max_streams: int = 16
    """Consoles that get the overview as a stream; others poll it."""
    stream_seconds: float = 3.0
    """The interval of overviews of a stream: one is made for all streams."""
    max_stream_seconds: float = 900.0
    """The longest stream; the console then opens another, with its token checked again."""
    max_scanned_cases: int = 5_000
    """The number of cases of a list that one page scans for the requested states."""
    max_lists: int = 2
    """Lists accepted at the same time; each holds a connection to the database and a share of the processor."""
    max_feed_readers: int = 2
    """Connections to the database that readers of the statuses may have at once, however many wait."""
    list_wait_timeout_seconds: float = 60.0
    """The longest time that a list waits, unread, for those before it; then it is to be pushed again (429)."""
    keepalive_seconds: float = 75.0
    """The time for which a connection may be idle, and in which the head of its first request must be there."""
    handshake_timeout_seconds: float = 10.0
    """The longest TLS handshake."""
    handshakes_per_second: float = 100.0
    """TLS handshakes a second: each takes some milliseconds, in which nothing else is done. Those beyond wait."""
    handshakes_at_once: int = 4
    """TLS handshakes that begin at once after a pause."""
    handshake_wait_seconds: float = 3.0
    """The longest wait of a connection for its handshake; then it is closed, so that nobody waits behind it."""
    request_timeout_seconds: float = 60.0
    """The longest request, its body included; beyond it, the database hangs, and the client may ask again (503).
    """
    json_body_timeout_seconds: float = 30.0
    """The longest time for the whole of a JSON body."""
    stall_timeout_seconds: float = 60.0
    """The longest time without an octet of an incomplete body."""
    min_body_bytes_per_second: float = 5_000
    """The minimum average rate of a body that has taken longer than `stall_timeout_seconds`."""
    unread_response_timeout_seconds: float = 120.0
    """The time in which the client must have read what was written to it: some megabytes at most."""
    linger_seconds: float = 2.0
    """The time for which a body that is not needed is still read, so that its sender finds the response."""
    stop_timeout_seconds: float = 3.0
    """The longest wait for requests under way when the process stops; a list that takes longer is pushed again."""
    limited_log_seconds: float = 60.0
    """The interval of log lines that say that connections or requests have reached their limit, or are malformed.
    """
    oidc: OidcPolicy = OidcPolicy()
    noted_page_seconds: float = 600.0
    """The time for which a row of the access log counts for a page of cases: a console asks for it every few
    seconds.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPolicy:
    """The check of the journal's hash chain."""

    check_batch: int = 512
    """The number of entries checked at a time, whole blocks: other tasks wait for some milliseconds."""
    min_checked_per_run: int = 2560
    """Entries of the round over the whole journal that one run of the job checks; more where that is long."""
    check_seconds: float = 30.0
    """The interval of the job."""
    round_seconds: float = 86_400.0
    """The time in which a round has to be finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePolicy:
    """Connections to the database."""

    host_timeout_seconds: float = 3.0
    """The longest attempt to connect to one of several hosts; then the next one is tried."""
    only_host_timeout_seconds: float = 10.0
    """The longest attempt to connect to the only host."""
    embedded_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the embedded server, by their names in PostgreSQL, in place of those of store/embedded.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPolicy:
    """A process among the others of its cluster. Real time."""

    heartbeat_seconds: float = 2.0
    expired_after_seconds: float = 10.0
    """The time of unbroken heartbeats of its own after which a process evicts one whose heartbeat has not moved;
    and without heartbeats of its own, after which it releases its links.
    """
    reconnect_seconds: float = 2.0
    """The time for which a process that has lost its lock is not evicted: its connection alone may be lost."""
    settle_seconds: float = 2.0
    """The time for which a process must hold more than its share of the links before it releases one."""
    unheld_seconds: float = 5.0
    """The time for which nobody must have held a link before it is claimed beyond the share."""
    link_down_after_seconds: float = 10.0
    """The time without a bound session after which a link's texts may go through another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All of them."""

    links: LinkPolicy = field(default_factory=LinkPolicy)
    receiver: ReceiverPolicy = field(default_factory=ReceiverPolicy)
    partners: PartnerPolicy = field(default_factory=PartnerPolicy)
    http: HttpPolicy = field(default_factory=HttpPolicy)
    journal: JournalPolicy = field(default_factory=JournalPolicy)
    membership: MembershipPolicy = field(default_factory=MembershipPolicy)
    database: DatabasePolicy = field(default_factory=DatabasePolicy)
    dialogue_lifetime_seconds: float = 90.0
    """The longest USSD dialogue without a reply; then it is over, and a screen that was not sent is cancelled."""
    task_retry: Backoff = Backoff(first_seconds=0.2, max_seconds=10.0)
    """The wait of a task that the database or the network has failed."""
    staged_batch: int = 2000
    """The lines of a list between two COPYs: some milliseconds of work, and no more than that many records twice.
    """
    acquire_timeout_seconds: float = 10.0
    """The longest wait for a connection to the database while all are in use; an HTTP client may then retry."""
    stop_timeout_seconds: float = 8.0
    """The time in which a stopping process drains links and partners (`serve` promises 10 for all)."""
    flush_timeout_seconds: float = 1.0
    """The time in which the last PDUs that came in are stored, once the links are down."""
