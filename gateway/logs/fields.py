"""The fields of log lines: one name, one type, one meaning, over all events.

`Log` has the types checked where a line is logged. docs/reference/log-events.md shows this table.
"""

from types import TracebackType
from typing import Protocol, TypedDict, Unpack

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Fields(TypedDict, total=False):
    """What an event may have beside those of every line. None has a name that is masked (redaction.py)."""

    accepted: int  # records of a list
    actor: str  # name of a user, or the role of a shared token; "" without a valid one
    anchor: str  # `SEQ:ROOT`, the Merkle root over the journal
    binds: int  # connections of a link, bound or not
    bound: int  # bound sessions of a link
    call: str  # `lookup` (MCB), `voucher` (wallet), `sdu`
    case_id: str  # of a case
    cases: int  # how many
    clock: str  # `wall` (of this host) or `database`
    closed: int  # HTTP connections
    command_status: str  # of an SMPP response, by its name in SMPP 3.4, else its number as `0x00000421`
    component: str  # name of a link or a task
    connected: int  # connections of the pool
    connections: int  # open ones
    count: int  # PDUs since the last such line
    destination: str  # destination_addr of a reply; longer numbers are masked
    directory: str  # path
    duplicates: int  # records of a list
    entries: int  # of the journal
    error: str  # class of an error, and its message where it has no personal data
    evicted: str  # id of a process
    found_by: str  # `gateway` or `sdu`
    free_bytes: int  # of a disk
    host: str  # name or address, of the database with its port
    hours: float  # for which something took
    http_status: int  # of a response of the gateway's HTTP interface
    keys: int  # of the identity provider
    known_seq: int  # of an entry of the journal
    library: str  # name of the logger
    lines: int  # of the log
    link: str  # name of a link
    links: int  # configured ones
    list_id: str  # of a list
    message: str  # of a library
    method: str  # of an HTTP request
    migration: str  # name of the file
    moved: int  # texts
    needed: float  # seconds
    needed_bytes: int  # of a disk
    pdus: int  # how many
    peer: str  # host:port of the other end: an SMSC as configured, an HTTP client as it connects
    port: int  # of the listener
    reason: str  # why, in a word or a sentence
    records: int  # of a list
    rejected: int  # records of a list
    relation: str  # between the message_ids of responses and receipts
    requests: int  # how many since the last such line
    response_timeout: float  # seconds
    retry_in: float  # seconds until the next attempt
    route: str  # pattern of a path
    rows: int  # written to the database
    seconds: float  # for which something took, or by which a clock stepped
    seq: int  # of an entry of the journal
    size: int  # of the pool
    smsc: str  # system_id of the SMSC
    standbys: int  # connected ones
    state: str  # of a receipt, as the SMSC writes it
    status: str  # of a case, as SDU gets it
    task: str  # name of a task or scheduled job
    tls: bool  # whether the listener speaks TLS
    what: str  # the event or PDU
    why: str  # `credentials`, `address`, `invalid`, `too_large`


class OfLink(TypedDict, total=False):
    """The field that tells whose a task is."""

    link: str


class _Line(Fields, total=False):
    exc_info: BaseException | ExcInfo | tuple[None, None, None] | bool | None  # becomes the field `exception`


class Log(Protocol):
    """A logger whose fields are known."""

    def debug(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def info(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def warning(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def error(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def critical(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def exception(self, event: str, **fields: Unpack[_Line]) -> object: ...
    def log(self, level: int, event: str, **fields: Unpack[_Line]) -> object: ...


def peer(address: object) -> str:
    """The field `peer` of a socket's address, or of (host, port); "" where it is none."""
    match address:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return ""
