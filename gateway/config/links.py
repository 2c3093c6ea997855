"""The `[[links]]` of `config.toml`: one operator's SMSC each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import get_args

from smpplib import consts

from gateway.config.model import Link
from gateway.config.table import NAME, NAMED, Table, check_key_pair
from gateway.consent.texts import Kind
from gateway.smpp.events import BindMode
from gateway.smpp.pdu import (
    DESTINATION_NPI,
    DESTINATION_TON,
    INTERFACE_VERSION,
    MAX_VALIDITY,
    SOURCE_ADDRESS,
    Address,
    ReceiptRequest,
    source_numbering,
)
from gateway.smpp.receipt import MAX_STATE_LENGTH, IdRelation, MessageState, state_key
from gateway.smpp.status import CONFIGURABLE, StatusKind
from gateway.smpp.text import DefaultAlphabet, LongMessages

RECEIPT_REQUESTS: tuple[ReceiptRequest, ...] = get_args(ReceiptRequest)
DEFAULT_ALPHABETS: tuple[DefaultAlphabet, ...] = get_args(DefaultAlphabet)
ID_RELATIONS: tuple[IdRelation, ...] = get_args(IdRelation)
RECEIPT_STATES = tuple(state for state in MessageState if state is not MessageState.UNSTATED)
"""What `links.receipt_states` may say of a word."""

VALIDITY_KINDS = (Kind.REQUEST, Kind.REPEAT, Kind.AGREED, Kind.REFUSED, Kind.CLARIFY)
"""Texts that may have a validity_period of their own. A USSD screen has none: it expires with its dialogue."""

_SOURCE = "be 1 to 20 digits or at most 11 ASCII characters"
_MAX_PASSWORD_LENGTH = 64
_LARGEST_STATUS = 0xFFFFFFFF


def read_links(root: Table) -> tuple[Link, ...]:
    """All links, checked one by one and against each other."""
    tables = root.tables("links")
    links = tuple(_link(table) for table in tables)
    if not links:
        root.fault("links", "at least one is required; add a table [[links]]")
    for table, link in zip(tables, links, strict=True):
        _check_link(table, link)
    _check_together(tables, links)
    return links


def _link(table: Table) -> Link:
    source = table.text("source", pattern=SOURCE_ADDRESS, must=_SOURCE)
    ton, npi = source_numbering(source)
    return Link(
        name=table.text("name", pattern=NAME, must=NAMED),
        host=table.text("host", pattern=r"\S+", must="be a host name or an address"),
        port=table.whole("port", least=1, most=65535),
        tls=table.flag("tls", False),
        ca=table.file("ca"),
        tls_cert=table.file("tls_cert"),
        tls_key=table.file("tls_key"),
        # SMPP 3.4 §5.2.1, §5.2.3. Passwords longer than its 8 octets are given out by some operators.
        system_id=table.text("system_id", pattern=r"[ -~]{1,15}", must="be 1 to 15 ASCII characters"),
        password=table.secret("password"),
        system_type=table.text("system_type", "", pattern=r"[ -~]{0,12}", must="be at most 12 ASCII characters"),
        interface_version=table.whole("interface_version", INTERFACE_VERSION, least=0, most=255),
        address_range=Address(
            # §5.2.7: an address or a UNIX regular expression.
            addr=table.text("address_range", "", pattern=r"[!-~]{0,40}", must="be at most 40 ASCII characters"),
            ton=table.whole("address_ton", 0, least=0, most=255),
            npi=table.whole("address_npi", 0, least=0, most=255),
        ),
        bind=table.choice("bind", tuple(BindMode), BindMode.TRANSCEIVER),
        sessions=table.whole("sessions", 1, least=1, most=100),
        source=source,
        source_ton=table.whole("source_ton", ton, least=0, most=255),
        source_npi=table.whole("source_npi", npi, least=0, most=255),
        service_type=table.text("service_type", "", pattern=r"[!-~]{0,5}", must="be at most 5 ASCII characters"),
        dest_ton=table.whole("dest_ton", DESTINATION_TON, least=0, most=255),
        dest_npi=table.whole("dest_npi", DESTINATION_NPI, least=0, most=255),
        validity_period=_validity_periods(table.table("validity_period")),
        window=table.whole("window", 100, least=1, most=100_000),
        tps=table.number("tps", 100, least=0, most=1_000_000),
        prefixes=table.texts("prefixes", pattern=r"7[0-9]{2}", must='be three digits such as "701"'),
        operators=table.texts("operators", pattern=r"(?s).+", must="not be empty"),
        default=table.flag("default", False),
        fallback=table.texts("fallback", pattern=r"(?s).+", must="be the name of another link"),
        long_messages=table.choice("long_messages", tuple(LongMessages), LongMessages.UDH8),
        receipts=table.choice("receipts", RECEIPT_REQUESTS, "last"),
        default_alphabet=table.choice("default_alphabet", DEFAULT_ALPHABETS, "gsm7"),
        message_id=table.choice("message_id", ID_RELATIONS, "auto"),
        statuses=_statuses(table.table("statuses")),
        receipt_states=_receipt_states(table.table("receipt_states")),
        defer_status=table.whole(
            "defer_status", consts.SMPP_ESME_RX_T_APPN, least=consts.SMPP_ESME_RINVMSGLEN, most=_LARGEST_STATUS
        ),
        enquire_link=table.duration("enquire_link", "30s", least="1ms", most="1d"),
        response_timeout=table.duration("response_timeout", "30s", least="1ms", most="1h"),
        give_up=table.duration("give_up", "3d", least="1m", most="30d"),
        accept_destinations=table.texts(
            "accept_destinations", pattern=r"\+?[0-9*#]{1,20}", must="be a number of up to 20 digits"
        ),
        reject_source_tons=table.wholes("reject_source_tons", least=0, most=255),
        price=table.number("price", 0, least=0, most=1_000_000),
        currency=table.text("currency", "", pattern=r"[A-Za-z]{0,10}", must="be at most 10 letters, such as KZT"),
    )


def _check_link(table: Table, link: Link) -> None:
    if not link.password.isascii() or len(link.password) > _MAX_PASSWORD_LENGTH:
        table.fault("password", f"must be at most {_MAX_PASSWORD_LENGTH} ASCII characters")
    check_key_pair(table, link.tls_cert, link.tls_key)
    if not link.tls:
        for name in ("ca", "tls_cert", "tls_key"):
            if getattr(link, name) is not None:
                table.fault(name, "needs tls = true")


def _validity_periods(table: Table) -> Mapping[str, timedelta]:
    """How long the SMSC keeps a text that it cannot deliver, by kind of text, in whole seconds."""
    periods: dict[str, timedelta] = {}
    for key in table.keys():  # noqa: SIM118 (a Table is no mapping)
        periods[key] = table.duration(key, "0s", least="1m", most=f"{MAX_VALIDITY.days}d")
        if key not in VALIDITY_KINDS:
            table.fault(key, f"must be one of {', '.join(VALIDITY_KINDS)}: they are the texts")
        elif periods[key] % timedelta(seconds=1):
            table.fault(key, "must be whole seconds")
    return periods


def _statuses(table: Table) -> Mapping[int, StatusKind]:
    """What this operator's command_status values mean: 0x58 or 88 → accepted, throttled, busy, refused or link."""
    statuses: dict[int, StatusKind] = {}
    for key in table.keys():  # noqa: SIM118 (a Table is no mapping)
        kind = table.choice(key, CONFIGURABLE, StatusKind.REFUSED)
        try:
            status = int(key, 0)
        except ValueError:
            status = -1
        if not 0 <= status <= _LARGEST_STATUS:
            table.fault(key, 'must be a command_status such as "0x58"')
        statuses[status] = kind
    return statuses


def _receipt_states(table: Table) -> Mapping[str, MessageState]:
    """What this operator's receipts mean, by word or message_state: UNKNOWN → enroute."""
    states: dict[str, MessageState] = {}
    for key in table.keys():  # noqa: SIM118 (a Table is no mapping)
        states[state_key(key)] = table.choice(key, RECEIPT_STATES, MessageState.UNKNOWN)
        if not 0 < len(state_key(key)) <= MAX_STATE_LENGTH:
            table.fault(key, f"must be a word of at most {MAX_STATE_LENGTH} letters, or a message_state")
    return states


def _check_together(tables: Sequence[Table], links: Sequence[Link]) -> None:
    names = Counter(link.name for link in links)
    owners: dict[tuple[str, str], str] = {}  # of a prefix or an operator: the link's key
    defaults = [table for table, link in zip(tables, links, strict=True) if link.default]
    for table, link in zip(tables, links, strict=True):
        if link.name and names[link.name] > 1:
            table.fault(
                "name", f"must differ from the other links' names: {table.written('name')} stands there twice"
            )
        if link.default and table is not defaults[0]:
            table.fault("default", f"must be true on one link at most: {defaults[0].key} has it already")
        claims = [("prefixes", prefix) for prefix in link.prefixes]
        claims += [("operators", name.casefold()) for name in (link.name, *link.operators)]
        for claim in claims:
            key, value = claim
            if owners.setdefault(claim, table.key) != table.key and names[link.name] == 1:
                table.fault(key, f"{value!r} is claimed by {owners[claim]} too: leave it to one link")
        for name in link.fallback:
            if name == link.name:
                table.fault("fallback", "must name other links, not the link itself")
            elif name not in names:
                table.fault("fallback", f"must name links of this file; there is no link {name!r}")
