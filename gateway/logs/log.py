"""The log: one JSON object a line on standard output, masked by this layer whatever a caller passes.

Every line has `at` (real time, RFC 3339), `level`, `event`, one of Event, `node` and `version`; then the fields
bound by `structlog.contextvars` and those of the call (fields.py). Records of libraries (`logging`) are written as
the event `library`, from warnings up. docs/reference/log-events.md lists all events.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import IO, Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from gateway import __version__
from gateway.clock import wall_now
from gateway.logs.fields import ExcInfo, Log
from gateway.logs.redaction import MASK, is_private, masked, masked_message
from gateway.logs.writer import MAX_QUEUED_BYTES, Importance, LineWriter

LogLevel = Literal["debug", "info", "warning", "error"]

_DATABASE_FIELDS = {
    "sqlstate": "sqlstate",
    "table": "table_name",
    "column": "column_name",
    "constraint": "constraint_name",
}
_MAX_FRAMES = 30
_MAX_CAUSES = 4
FLUSH_TIMEOUT_SECONDS = 1.0
"""The longest wait for the queued lines at the end of the process, while their reader has stopped."""


class Event(StrEnum):
    """The events of the log. Names are past tense where something happened."""

    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    MIGRATED = "migrated"
    DATABASE_STARTED = "database_started"
    DATABASE_AWAY = "database_away"
    DATABASE_BACK = "database_back"
    DATABASE_CONNECTIONS_DROPPED = "database_connections_dropped"
    DATABASE_HOST_CHANGED = "database_host_changed"
    DATABASE_DISK_FULL = "database_disk_full"
    DATABASE_POOL_EXHAUSTED = "database_pool_exhausted"
    LIBRARY = "library"
    DATABASE_REWOUND = "database_rewound"
    REWIND_ACCEPTED = "rewind_accepted"
    COMMITS_LOCAL = "commits_local"
    COMMITS_REPLICATED = "commits_replicated"
    CASE_PARKED = "case_parked"
    CASE_STATUS = "case_status"
    CASE_STUCK = "case_stuck"
    CALL_FAILED = "call_failed"
    INBOUND_NOT_STORED = "inbound_not_stored"
    CLOCK_STEPPED = "clock_stepped"
    CLOCKS_DIFFER = "clocks_differ"
    LINK_ALREADY_BOUND = "link_already_bound"
    LINK_BIND_REFUSED = "link_bind_refused"
    LINK_BIND_REQUESTED = "link_bind_requested"
    LINK_BOUND = "link_bound"
    LINK_CLOSED = "link_closed"
    LINK_CREDENTIALS_REFUSED = "link_credentials_refused"
    LINK_EVENT_FAILED = "link_event_failed"
    LINK_LOST = "link_lost"
    COMPONENT_NOT_DRAINED = "component_not_drained"
    LINK_NOTHING_ACCEPTED = "link_nothing_accepted"
    LINK_NOT_DRAINED = "link_not_drained"
    LINK_UNBOUND_BY_SMSC = "link_unbound_by_smsc"
    LINK_UNEXPECTED_PDU = "link_unexpected_pdu"
    LINK_CLAIMED = "link_claimed"
    LINK_REBALANCED = "link_rebalanced"
    LINK_RELEASED = "link_released"
    LINK_RESPONSES_LATE = "link_responses_late"
    LINK_RESUMED = "link_resumed"
    LINK_STOPPED = "link_stopped"
    MESSAGE_ID_DECIDED = "message_id_decided"
    MESSAGE_ID_WITHDRAWN = "message_id_withdrawn"
    RECEIPT_STATE_UNKNOWN = "receipt_state_unknown"
    REPLY_TO_ANOTHER_NUMBER = "reply_to_another_number"
    REPLY_BY_WRONG_LINK = "reply_by_wrong_link"
    REPLIES_NOT_FLUSHED = "replies_not_flushed"
    TEXTS_REROUTED = "texts_rerouted"
    TRACES_UNAVAILABLE = "traces_unavailable"
    LINK_UNREACHABLE = "link_unreachable"
    PARTNER_PAUSED = "partner_paused"
    PARTNER_RESUMED = "partner_resumed"
    PARTNER_UNAVAILABLE = "partner_unavailable"
    NODE_EVICTED = "node_evicted"
    NODE_FENCED = "node_fenced"
    PERSONAL_DATA_ERASED = "personal_data_erased"
    ENTRIES_REPAIRED = "entries_repaired"
    TASK_FAILED = "task_failed"
    JOURNAL_ANCHOR = "journal_anchor"
    JOURNAL_BROKEN = "journal_broken"
    JOURNAL_CHECKED = "journal_checked"
    HTTP_CONNECTIONS_LIMITED = "http_connections_limited"
    HTTP_FAILED = "http_failed"
    HTTP_MALFORMED = "http_malformed"
    HTTP_REQUEST = "http_request"
    HTTP_SERVING = "http_serving"
    OIDC_KEYS_FETCHED = "oidc_keys_fetched"
    OIDC_KEYS_UNAVAILABLE = "oidc_keys_unavailable"
    OIDC_CALLER_REJECTED = "oidc_caller_rejected"
    LIST_ACCEPTED = "list_accepted"
    LOG_LINES_DROPPED = "log_lines_dropped"
    DISK_SPACE_LOW = "disk_space_low"


def configure(level: LogLevel = "info", stream: IO[bytes] | None = None, *, node: str = "") -> None:
    """Routes structlog and `logging` to the stream, standard output by default, from `level` up.

    `node`: the name of this process, for every line.
    """
    _lines.stream = stream
    _of_every_line.update(node=node, version=__version__)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _lines,
        cache_logger_on_first_use=True,
    )
    logging.root.handlers = [_Libraries()]
    logging.root.setLevel(logging.WARNING)


def capture_interpreter_warnings() -> None:
    """Routes warnings and errors of the interpreter, which it would write on standard error, the same way."""
    logging.captureWarnings(True)
    sys.unraisablehook = _unraisable


@contextmanager
def written_by_a_thread(
    on_dropped: Callable[[Importance], None],
    *,
    max_queued_bytes: int = MAX_QUEUED_BYTES,
    flush_timeout_seconds: float = FLUSH_TIMEOUT_SECONDS,
) -> Iterator[None]:
    """Inside the block nobody who logs waits for the reader of the stream; at its end what is queued is written.

    `on_dropped` counts each line for which there was no room. A stream without a file descriptor is written as
    before.
    """
    descriptor = _lines.descriptor()
    if descriptor is None:
        yield
        return
    writer = _lines.writer = LineWriter(
        descriptor, on_dropped=on_dropped, report=_report_dropped, max_queued_bytes=max_queued_bytes
    )
    try:
        yield
    finally:
        if writer.close(flush_timeout_seconds):
            _lines.writer = None  # else what is logged later would wait for the reader


def get_logger() -> Log:
    """A logger. Lines below the level cost little."""
    logger: Log = structlog.get_logger()
    return logger


class _Lines:
    """Writes a rendered line, or hands it to the writer. Standard output is looked up again: tests replace it."""

    def __init__(self) -> None:
        self.stream: IO[bytes] | None = None
        self.writer: LineWriter | None = None

    def descriptor(self) -> int | None:
        """That of the stream; None when it has none."""
        try:
            return (self.stream or sys.stdout.buffer).fileno()
        except (OSError, ValueError, AttributeError):
            return None

    def msg(self, line: bytes) -> None:
        if self.writer is None:
            self._write(line)
        else:
            self.writer.add(line, "info")

    def warn(self, line: bytes) -> None:
        if self.writer is None:
            self._write(line)
        else:
            self.writer.add(line, "warning")

    def _write(self, line: bytes) -> None:
        stream = self.stream or sys.stdout.buffer
        # A log that cannot be written (a closed pipe, a full disk) must not stop the gateway.
        with suppress(OSError, ValueError):
            stream.write(line)
            stream.flush()

    debug = info = log = msg
    warning = error = critical = exception = warn


class _Libraries(logging.Handler):
    """Passes the records of libraries to this layer."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit the format: a library's defect must not stop its caller
            message = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL)  # structlog has the standard levels only
        log = get_logger()
        log.log(
            level,
            Event.LIBRARY,
            library=record.name,
            message=masked_message(message),
            exc_info=record.exc_info or None,
        )


def _report_dropped(lines: int) -> None:
    get_logger().warning(Event.LOG_LINES_DROPPED, lines=lines)


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    get_logger().error(Event.LIBRARY, library="python", exc_info=unraisable.exc_value)


def _stamp(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Puts at, level, event, node and version first and masks the rest."""
    name = event.pop("event", None)
    stamped: EventDict = {
        "at": wall_now().isoformat(timespec="milliseconds"),
        "level": method,
        "event": name if type(name) is Event else masked(name),
        **_of_every_line,
    }
    for key, value in event.items():
        stamped[key] = MASK if is_private(key) else masked(value)
    return stamped


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _described(exc_info: ExcInfo) -> dict[str, Any]:
    return _described_exception(exc_info[1], _MAX_CAUSES)


def _described_exception(error: BaseException, causes: int) -> dict[str, Any]:
    """Class, message and frames, and the same of what caused it; source lines and variables are left out."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    described: dict[str, Any] = {
        "error": error,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    # A database error has more fields than its message.
    for key, attribute in _DATABASE_FIELDS.items():
        if (named := getattr(error, attribute, None)) is not None:
            described[key] = named
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes:
        described["cause"] = _described_exception(cause, causes - 1)
    if isinstance(error, BaseExceptionGroup) and causes:
        described["errors"] = [_described_exception(inner, causes - 1) for inner in error.exceptions]
    return described


_lines = _Lines()
_of_every_line = {"node": "", "version": __version__}
_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.ExceptionRenderer(_described),
    _stamp,
    _render,
]
