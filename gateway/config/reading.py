"""The tables of `config.toml`, read and checked one by one."""

import base64
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

from gateway.config.callers import read_oidc, read_tokens, read_users
from gateway.config.errors import ConfigError, ConfigErrors
from gateway.config.links import read_links
from gateway.config.model import (
    EMBEDDED,
    ClockRate,
    Config,
    Durability,
    Gateway,
    Http,
    Journey,
    Log,
    Mcb,
    Privacy,
    Replies,
    Sdu,
    SendWindow,
    Service,
    Wallet,
)
from gateway.config.table import NAME, NAMED, Source, Table, check_key_pair
from gateway.config.templates import PACKAGE_TEMPLATES, load_templates
from gateway.config.timezones import load_timezone
from gateway.consent.deadlines import parse_send_window
from gateway.consent.texts import TemplateError
from gateway.logs.log import LogLevel
from gateway.resources import EXAMPLE_CONFIG

LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)

_SCHEMA = r"(?!pg_|information_schema\Z)[a-z_][a-z0-9_]{0,62}"
_SCHEMA_NAMED = "be 1 to 63 lower-case letters, digits or underscores, no digit first, and no schema of PostgreSQL"
_MAX_REPEATS = 14  # a case keeps one bit for each question text, in 15 (cases.undelivered)


def load(path: Path | str, *, environ: Mapping[str, str] = os.environ, secrets: bool = True) -> Config:
    """The configuration of the file; raises ConfigErrors with every fault it has, each by its key.

    With `secrets` off, missing secrets are "": for commands that use none.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a BOM
    except FileNotFoundError as error:
        reason = f"cannot be read: {error.strerror}; an example is {EXAMPLE_CONFIG}"
        raise ConfigErrors([ConfigError(str(path), reason)]) from None
    except OSError as error:
        raise ConfigErrors([ConfigError(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigErrors([ConfigError(str(path), "is not UTF-8 text")]) from None
    except ValueError as error:  # a TOMLDecodeError, or a number that Python does not read
        raise ConfigErrors([ConfigError(str(path), f"is not TOML: {error}")]) from None
    except RecursionError:
        raise ConfigErrors([ConfigError(str(path), "has arrays or tables that are nested too deep")]) from None
    override = environ.get("GATEWAY_DATABASE")
    if override and isinstance(values.setdefault("gateway", {}), dict):
        values["gateway"]["database"] = override
    source = Source(directory=path.resolve().parent, environ=environ, secrets=secrets)
    root = Table(values, "", source)
    config = _config(path, root)
    if faults := root.faults():
        raise ConfigErrors(faults)
    return config


def _config(path: Path, root: Table) -> Config:
    return Config(
        path=path,
        gateway=_gateway(root.table("gateway")),
        clock=_clock(root.table("clock")),
        http=_http(root.table("http")),
        journey=_journey(root.table("journey")),
        replies=_replies(root.table("replies")),
        services=_services(root.table("services")),
        mcb=_mcb(root.table("mcb")),
        wallet=_wallet(root.table("wallet")),
        sdu=_sdu(root.table("sdu")),
        links=read_links(root),
        privacy=_privacy(root.table("privacy")),
        log=_log(root.table("log")),
    )


def _gateway(table: Table) -> Gateway:
    own_name = f"{socket.gethostname()}-{os.getpid()}"
    gateway = Gateway(
        node=table.text("node", "", pattern=rf"|{NAME}", must=NAMED) or own_name,
        database=table.text("database", EMBEDDED, pattern=r"(?s).*"),
        data_dir=table.folder("data_dir", "var"),
        durability=table.choice("durability", get_args(Durability), "local"),
        schema=table.text("schema", "", pattern=rf"|{_SCHEMA}", must=_SCHEMA_NAMED) or None,
    )
    if not gateway.embedded and not re.match(r"postgres(ql)?://.", gateway.database):
        # It may hold a password: the message does not show it.
        table.fault("database", 'must be "embedded" or a postgresql:// address')
    return gateway


def _clock(table: Table) -> ClockRate:
    return ClockRate(rate=table.number("rate", 1.0, least=0.001, most=1_000_000))


def _http(table: Table) -> Http:
    users, oidc = read_users(table), read_oidc(table)
    http = Http(
        host=table.text("host", "127.0.0.1"),
        port=table.whole("port", 8080, least=0, most=65535),
        max_list_bytes=table.whole("max_list_bytes", 1 << 30, least=1, most=1 << 50),
        max_list_records=table.whole("max_list_records", 5_000_000, least=1, most=100_000_000),
        tokens=read_tokens(table, users, oidc),
        users=users,
        oidc=oidc,
        tls_cert=table.file("tls_cert"),
        tls_key=table.file("tls_key"),
        client_ca=table.file("client_ca"),
    )
    check_key_pair(table, http.tls_cert, http.tls_key)
    if http.client_ca and not http.tls_cert:
        table.fault("client_ca", "needs tls_cert and tls_key: client certificates come with TLS")
    return http


def _journey(table: Table) -> Journey:
    return Journey(
        timezone=_timezone(table),
        answer_days=table.whole("answer_days", 3, least=1, most=365),
        repeats=table.whole("repeats", 1, least=0, most=_MAX_REPEATS),
        grace=table.duration("grace", "10m", least="0s", most="1d"),
        send_window=_send_window(table),
        fallback_on_undeliverable=table.flag("fallback_on_undeliverable", False),
        clarify=table.flag("clarify", True),
    )


def _timezone(table: Table) -> ZoneInfo:
    name = table.text("timezone", "Asia/Almaty")
    try:
        return load_timezone(name)
    except ValueError:
        table.fault("timezone", f'must be a time zone such as "Asia/Almaty", not {table.written("timezone")}')
        return ZoneInfo("UTC")


def _send_window(table: Table) -> SendWindow:
    text = table.text("send_window", "09:00-21:00", pattern=r"(?s).*")
    try:
        opens, closes = parse_send_window(text)
    except ValueError:
        table.fault(
            "send_window",
            f'must be HH:MM-HH:MM within one day, such as "09:00-21:00", not {table.written("send_window")}',
        )
        return SendWindow(opens=timedelta(0), closes=timedelta(0))
    return SendWindow(opens=opens, closes=closes)


def _replies(table: Table) -> Replies:
    return Replies(strict=table.flag("strict", False))


def _services(table: Table) -> Mapping[str, Service]:
    if not table.keys():
        table.fault("", "at least one is required; add a table [services.3]")
    return {code: _service(code, table) for code in table.keys()}  # noqa: SIM118 (a Table is no mapping)


def _service(code: str, services: Table) -> Service:
    table = services.table(code)
    if not re.fullmatch(r"[0-9]{1,6}", code):
        services.fault(code, "must be named by its code of 1 to 6 digits, such as [services.3]")
    digit = {"pattern": r"[0-9]", "must": "be one digit"}
    name = table.text("name", pattern=NAME, must=NAMED)
    agree = table.text("agree", "1", **digit)
    refuse = table.text("refuse", "2", **digit)
    if agree == refuse:
        table.fault("refuse", "must differ from agree")
    templates = table.path("templates", str(PACKAGE_TEMPLATES / name))
    if name and not os.path.isdir(templates):
        shown = table.located("templates", templates)
        table.fault("templates", f"{shown} is not a folder; set it to the one with the service's texts")
    elif name:
        _check_templates(table, templates)
    link = table.text("link", pattern=r"\S{1,500}", must="be an address without spaces")
    return Service(code=code, name=name, agree=agree, refuse=refuse, link=link, templates=templates)


def _check_templates(table: Table, templates: Path) -> None:
    try:
        load_templates(templates)
    except TemplateError as error:
        table.fault("templates", str(error))


def _mcb(table: Table) -> Mcb:
    return Mcb(
        url=_needed_url(table),
        token=table.secret("token"),
        batch=table.whole("batch", 1, least=1, most=10_000),
        concurrency=table.whole("concurrency", 32, least=1, most=1000),
        timeout=table.duration("timeout", "5s", least="1ms", most="10m"),
    )


def _wallet(table: Table) -> Wallet:
    return Wallet(
        url=_needed_url(table),
        token=table.secret("token"),
        concurrency=table.whole("concurrency", 32, least=1, most=1000),
        timeout=table.duration("timeout", "5s", least="1ms", most="10m"),
    )


def _needed_url(table: Table) -> str:
    url = table.url("url", "")
    if not url:
        table.fault("url", "required; set it to the service's http:// or https:// address")
    return url


def _sdu(table: Table) -> Sdu:
    url = table.url("url", "")
    sdu = Sdu(
        url=url,
        token=table.secret("token", required=bool(url)),
        signing_secret=table.secret("signing_secret", required=bool(url)),
        batch=table.whole("batch", 500, least=1, most=10_000),
    )
    if sdu.signing_secret and not _is_webhook_secret(sdu.signing_secret):
        table.fault("signing_secret", "must be whsec_ and base64, as Standard Webhooks writes it")
    return sdu


def _is_webhook_secret(secret: str) -> bool:
    try:
        return secret.startswith("whsec_") and bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:  # not base64, or not even ASCII
        return False


def _privacy(table: Table) -> Privacy:
    return Privacy(keep_days=table.whole("keep_days", 1095, least=1, most=36_500))


def _log(table: Table) -> Log:
    return Log(level=table.choice("level", LOG_LEVELS, "info"))
