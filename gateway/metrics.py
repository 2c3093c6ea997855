"""What the process counts, for ``GET /metrics``. No personal data in labels; what lies in the database is
counted there (store/queues.py) when it is asked for.
"""

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram

prometheus_client.disable_created_metrics()  # a series more for each counter, which nobody reads

REGISTRY = CollectorRegistry()
"""The process's own, without the client library's default collectors."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

RECORDS = Counter(
    "gateway_records", "Records of lists taken, by what became of them", ["outcome"], registry=REGISTRY
)
STATUSES = Counter("gateway_statuses", "Events of cases that SDU is told of", ["status"], registry=REGISTRY)

SEGMENTS = Counter(
    "gateway_segments",
    "Segments answered by the SMSC: accepted, throttled, busy, refused, or unanswered",
    ["link", "outcome"],
    registry=REGISTRY,
)
SEGMENTS_UNKNOWN = Counter(
    "gateway_segments_unknown",
    "Segments sent without an answer before the timeout or the end of the connection; they are sent again",
    ["link"],
    registry=REGISTRY,
)
BINDS = Counter("gateway_binds", "Attempts to bind, by outcome", ["link", "outcome"], registry=REGISTRY)
PDUS_STRANGE = Counter(
    "gateway_pdus_strange", "PDUs that made no sense and were skipped", ["link"], registry=REGISTRY
)
RECEIPTS = Counter("gateway_receipts", "Final delivery receipts, by state", ["link", "state"], registry=REGISTRY)
REPLIES = Counter("gateway_replies", "Replies read, by verdict", ["verdict"], registry=REGISTRY)
REPLY_SECONDS = Histogram(
    "gateway_reply_latency_seconds",
    "From a reply's arrival to the first segment of its answer handed to the SMSC",
    registry=REGISTRY,
    buckets=_SECONDS,
)

MCB_LOOKUPS = Counter("gateway_mcb_lookups", "Persons looked up in the MCB", ["outcome"], registry=REGISTRY)
WALLET_CALLS = Counter("gateway_wallet_calls", "Vouchers asked of the wallet", ["outcome"], registry=REGISTRY)
WALLET_EVENTS = Counter(
    "gateway_wallet_events", "Events taken from the wallet, or refused", ["outcome"], registry=REGISTRY
)
SDU_PUSHES = Counter("gateway_sdu_pushes", "Batches of statuses pushed to SDU", ["outcome"], registry=REGISTRY)
SDU_EVENTS = Counter("gateway_sdu_events", "Statuses that SDU has taken", registry=REGISTRY)
PARTNER_SECONDS = Histogram(
    "gateway_partner_seconds",
    "How long calls to the MCB, the wallet and SDU took",
    ["partner"],
    registry=REGISTRY,
    buckets=_SECONDS,
)

HTTP_REQUESTS = Counter(
    "gateway_http_requests", "Requests answered", ["method", "route", "status"], registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "gateway_http_seconds", "How long requests took", ["route"], registry=REGISTRY, buckets=_SECONDS
)

FAILURES = Counter(
    "gateway_failures", "Exceptions that nobody expected, by where they ended", ["where"], registry=REGISTRY
)
