"""The content of `config.toml` as frozen dataclasses that mirror its tables (docs/reference/configuration.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.logs.log import LogLevel
from gateway.smpp.events import BindMode
from gateway.smpp.pdu import Address, ReceiptRequest, is_number
from gateway.smpp.receipt import IdRelation, MessageState
from gateway.smpp.status import StatusKind
from gateway.smpp.text import DefaultAlphabet, LongMessages

EMBEDDED = "embedded"

Role = Literal["sdu", "wallet", "ops", "support", "auditor"]
"""What an HTTP caller may do: each bearer token has one."""

Durability = Literal["local", "replicated"]
"""The disks that a commit must be on before the process is ready: this server's, or a synchronous standby's too.
"""

_LOSS_DETECTION_MARGIN_SECONDS = 10.0  # for late timers and networks


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    node: str  # this process among the others of its database
    database: str = field(repr=False)  # EMBEDDED or a postgresql:// address
    data_dir: Path
    durability: Durability
    schema: str | None  # in which everything lives; None: the one that the role has

    @property
    def embedded(self) -> bool:
        return self.database == EMBEDDED


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRate:
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or program with tokens of its own."""

    role: Role
    tokens: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """An identity provider (OpenID Connect) whose signed tokens are accepted."""

    issuer: str
    audience: str
    roles: Mapping[str, Role]  # by value of the role claim
    role_claim: str
    name_claim: str  # "": preferred_username, else sub


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    host: str
    port: int  # 0: any free one
    max_list_bytes: int
    max_list_records: int
    tokens: Mapping[Role, tuple[str, ...]] = field(repr=False)  # shared by all who have the role
    users: Mapping[str, User]  # by name
    oidc: Oidc | None
    tls_cert: Path | None
    tls_key: Path | None
    client_ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWindow:
    """Local times of day as distances from midnight; `closes` may be 24 hours."""

    opens: timedelta
    closes: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    timezone: ZoneInfo
    answer_days: int
    repeats: int
    grace: timedelta
    send_window: SendWindow
    fallback_on_undeliverable: bool
    clarify: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    code: str
    name: str
    agree: str
    refuse: str
    link: str
    templates: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mcb:
    url: str
    token: str = field(repr=False)
    batch: int
    concurrency: int
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    url: str
    token: str = field(repr=False)
    concurrency: int
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdu:
    url: str  # "": SDU pulls
    token: str = field(repr=False)
    signing_secret: str = field(repr=False)  # whsec_ and base64
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    name: str
    host: str
    port: int
    tls: bool
    ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    system_id: str
    password: str = field(repr=False)
    system_type: str
    interface_version: int
    address_range: Address
    bind: BindMode
    sessions: int
    source: str
    source_ton: int
    source_npi: int
    service_type: str
    dest_ton: int
    dest_npi: int
    validity_period: Mapping[str, timedelta]  # by kind of text; where it is missing, the SMSC's own
    window: int  # submit_sm, per session
    tps: float  # segments, over all sessions; 0: no pacing
    prefixes: tuple[str, ...]
    operators: tuple[str, ...]
    default: bool
    fallback: tuple[str, ...]
    long_messages: LongMessages
    receipts: ReceiptRequest
    default_alphabet: DefaultAlphabet
    message_id: IdRelation
    statuses: Mapping[int, StatusKind]
    receipt_states: Mapping[str, MessageState]  # by word or message_state, as `state_key` has it
    defer_status: int  # the command_status for a deliver_sm that cannot be stored now
    enquire_link: timedelta
    response_timeout: timedelta
    give_up: timedelta  # business time
    accept_destinations: tuple[str, ...]  # beside `source`, the numbers to which replies are sent
    reject_source_tons: tuple[int, ...]  # of senders that are no subscribers; 5 (a name) always is
    price: float  # of a segment; 0: not known
    currency: str  # of the price

    @property
    def source_address(self) -> Address:
        """The source_addr of every submit_sm of this link, with its TON and NPI."""
        return Address(addr=self.source, ton=self.source_ton, npi=self.source_npi)

    @property
    def accepted_destinations(self) -> frozenset[str]:
        """The numbers to which a reply may be sent, without `+`; none where `source` is a name: any may then."""
        numbers = [*self.accept_destinations, *([self.source] if is_number(self.source) else [])]
        return frozenset(number.removeprefix("+") for number in numbers)

    @property
    def loss_detection_seconds(self) -> float:
        """Seconds from the last octet that reached the SMSC until the loss of the connection is detected."""
        return (self.enquire_link + self.response_timeout).total_seconds() + _LOSS_DETECTION_MARGIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    keep_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    level: LogLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    path: Path
    gateway: Gateway
    clock: ClockRate
    http: Http
    journey: Journey
    replies: Replies
    services: Mapping[str, Service]  # by code
    mcb: Mcb
    wallet: Wallet
    sdu: Sdu
    links: tuple[Link, ...]
    privacy: Privacy
    log: Log

    @property
    def reply_rules(self) -> dict[str, dict[str, object]]:
        """By service, the rules by which its replies are read, as a record of evidence has them."""
        strict = self.replies.strict
        return {
            code: {"service": code, "agree": service.agree, "refuse": service.refuse, "strict": strict}
            for code, service in self.services.items()
        }

    @property
    def default_alphabets(self) -> dict[str, str]:
        """By link, its default alphabet."""
        return {link.name: link.default_alphabet for link in self.links}
