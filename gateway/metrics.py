"""What this process counts, for ``GET /metrics``. No label carries personal data.

docs/reference/metrics.md lists them. Rows that wait in the database are counted for it: store/queues.py.
"""

import platform
import sys
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from gateway import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter

REGISTRY = CollectorRegistry()
"""The process's own; of the default collectors of the client library it has `process_*`."""
ProcessCollector(registry=REGISTRY)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _counter(name: str, documentation: str, *labels: str) -> Counter:
    return Counter(f"gateway_{name}", documentation, labels, registry=REGISTRY)


def _histogram(name: str, documentation: str, *labels: str) -> Histogram:
    return Histogram(f"gateway_{name}", documentation, labels, registry=REGISTRY, buckets=_SECONDS)


BUILD = Gauge(
    "gateway_build_info",
    "1; what runs",
    ["version", "python", "implementation", "platform"],
    registry=REGISTRY,
)
BUILD.labels(__version__, platform.python_version(), sys.implementation.name, sys.platform).set(1)

CLOCK_STEPS = _counter("clock_steps", "Steps of a clock by more than two seconds", "clock")
CLOCK_DIFFERENCES = _counter(
    "clock_differences", "Differences of more than two seconds between this host's clock and the database's"
)
CLOCK_DRIFT = Gauge(
    "gateway_clock_drift_seconds",
    "By which this host's clock is ahead of the database's, and business time of both",
    ["of"],
    registry=REGISTRY,
)

STANDBYS = Gauge("gateway_database_standbys", "Standbys of the database", ["state"], registry=REGISTRY)
COMMITS_REPLICATED = Gauge(
    "gateway_commits_replicated", "1 while a commit waits for a synchronous standby", registry=REGISTRY
)
REWOUND = Gauge(
    "gateway_database_rewound",
    "1 while the database lacks what was there, and the process sends nothing",
    registry=REGISTRY,
)

# Links. `outcome` is a kind of smpp/status.py.
SEGMENTS = _counter("segments", "Segments that the SMSC responded to", "link", "outcome")
SEGMENTS_UNKNOWN = _counter("segments_unknown", "Segments without a response, which are sent again", "link")
SEGMENTS_UNKNOWN_AS_AGREED = Counter(  # the name that operators' programs read
    "segments_unknown", "The same, without a prefix", ["link"], registry=REGISTRY
)
BOUND = Gauge("gateway_sessions_bound", "SMPP sessions bound now", ["link"], registry=REGISTRY)
LINK_STOPPED = Gauge(
    "gateway_link_stopped", "1 while the SMSC refuses whatever the link sends", ["link"], registry=REGISTRY
)
LINKS_REBALANCED = _counter(
    "links_rebalanced", "Links released because the process held more than its share", "link"
)
LINK_FAILURES = _counter("link_failures", "Connections and binds that failed", "link", "reason")
UNEXPECTED_PDUS = _counter("unexpected_pdus", "PDUs that were unexpected and were skipped", "link")
RECEIPTS = _counter("receipts", "Final delivery receipts", "link", "state")
RECEIPTS_UNKNOWN = _counter("receipts_unknown", "Receipts with a state that is not known", "link", "state")
RECEIPTS_NOT_FINAL = _counter("receipts_not_final", "Receipts after which another may follow", "link", "state")
REPLIES = _counter("replies", "Replies read", "link", "verdict")
REPLY_SEGMENTS_REDELIVERED = _counter("reply_segments_redelivered", "Segments of replies, delivered again", "link")
REPLIES_IGNORED = _counter("replies_ignored", "Replies that are none to a question", "link", "reason")
REPLY_LATENCY = _histogram("reply_latency_seconds", "From a reply to the first submit_sm of the text that follows")
INBOUND_COMMITTED = _histogram("inbound_committed_seconds", "From a deliver_sm to its commit")
INBOUND_NOT_STORED = _counter("inbound_not_stored", "PDUs that could not be stored", "link")

# Partners. `outcome` of a call: done, retry.
CALLS = _counter("calls", "Calls to the MCB (lookup) and the wallet (voucher)", "kind", "outcome")
PARTNER_PAUSED = Gauge("gateway_partner_paused", "1 while a partner is paused", ["kind", "why"], registry=REGISTRY)
PARTNER_FAILURES = Gauge(
    "gateway_partner_failures", "Requests to a partner that failed in a row", ["kind"], registry=REGISTRY
)
PARTNER_SILENT = Gauge(
    "gateway_partner_silent_seconds",
    "For which a partner has left requests without a response",
    ["kind"],
    registry=REGISTRY,
)
PARTNER_RESPONDED = Gauge(
    "gateway_partner_responded_timestamp_seconds",
    "When a partner last responded as its contract says",
    ["kind"],
    registry=REGISTRY,
)
PARTNER_FAILED = Gauge(
    "gateway_partner_failed_timestamp_seconds",
    "When a request to a partner last failed",
    ["kind"],
    registry=REGISTRY,
)
PARTNER_FAILURE = Info(
    "gateway_partner_failure", "Why a request to a partner last failed", ["kind"], registry=REGISTRY
)
SDU_PUSHES = _counter("sdu_pushes", "Batches of statuses pushed to SDU", "outcome")
SDU_EVENTS = _counter("sdu_events", "Statuses that SDU has accepted by push")
WALLET_EVENTS = _counter("wallet_events", "Events that the wallet has sent", "outcome")

# The HTTP interface.
RECORDS = _counter("records", "Records of the accepted lists", "outcome")
HTTP_REQUESTS = _counter("http_requests", "HTTP requests", "method", "route", "status")
HTTP_SECONDS = _histogram("http_seconds", "Duration of HTTP requests", "route")
HTTP_CONNECTIONS = Gauge("gateway_http_connections", "HTTP connections open now", registry=REGISTRY)
HTTP_CLOSED = _counter("http_connections_closed", "HTTP connections closed by a limit or a time-out", "why")

JOURNAL_CHECKED = _counter("journal_checked", "Entries of the journal that were checked against the hash chain")
JOURNAL_FAULTS = _counter("journal_faults", "Checks that found the hash chain broken")
LOG_LINES_DROPPED = _counter("log_lines_dropped", "Lines of the log that nobody could write in time", "level")
DATABASE_POOL_EXHAUSTED = _counter(
    "database_pool_exhausted", "Attempts that found no connection to the database for the whole time-out"
)
DISK_FULL = Gauge(
    "gateway_disk_full", "1 while the disk of the database has too little free space", registry=REGISTRY
)
JOB_FAILURES = _counter("job_failures", "Runs of scheduled jobs that failed", "task")


_OF_LINKS = (
    BOUND,
    LINK_STOPPED,
    SEGMENTS_UNKNOWN,
    SEGMENTS_UNKNOWN_AS_AGREED,
    UNEXPECTED_PDUS,
    INBOUND_NOT_STORED,
)


def count_unknown(link: str, segments: int) -> None:
    """Counts segments without a response, under both names."""
    for counter in (SEGMENTS_UNKNOWN, SEGMENTS_UNKNOWN_AS_AGREED):
        counter.labels(link).inc(segments)


def expose_links(names: Iterable[str]) -> None:
    """Exposes what is counted for these links from 0 on: Prometheus sees no increase from nothing to 1."""
    for name in names:
        for metric in _OF_LINKS:
            metric.labels(name)
        for reason in ("unreachable", "credentials", "bind_refused"):
            LINK_FAILURES.labels(name, reason)


for _level in ("info", "warning"):
    LOG_LINES_DROPPED.labels(_level)
