"""Tries the partners of a configuration: can they be reached, does the SMSC accept the bind, what to do."""

import asyncio
import os
import ssl
from collections.abc import Awaitable
from typing import NamedTuple

import aiohttp

from gateway.config import Config, Link
from gateway.operators.link_test import LinkTest, LinkTestError
from gateway.store.database import DatabaseError, open_pool
from gateway.store.migrations import pending

_HTTP_TIMEOUT_SECONDS = 10.0


class Check(NamedTuple):
    """What came of one partner. `todo` is "" where nothing is to be done."""

    partner: str
    holds: bool
    found: str
    todo: str = ""


async def check_partners(config: Config) -> list[Check]:
    """One check for the database, MCB, wallet and SDU and for each link; they are tried at the same time."""
    addresses = [("MCB", config.mcb.url), ("wallet", config.wallet.url), ("SDU", config.sdu.url)]
    checks: list[Awaitable[Check]] = [_database(config)]
    checks += [_http(name, url) for name, url in addresses]
    checks += [_link(link) for link in config.links]
    return list(await asyncio.gather(*checks))


async def _database(config: Config) -> Check:
    if config.gateway.embedded:
        return Check("database", True, "embedded: the gateway starts it itself")
    try:
        database = await open_pool(config, size=1)
    except DatabaseError as error:
        return Check("database", False, str(error), "correct gateway.database, or the server")
    try:
        async with database.acquire() as connection:
            missing = await pending(connection)
    except DatabaseError as error:
        return Check("database", False, str(error), "correct gateway.database, or the server")
    finally:
        await database.close()
    return Check("database", True, "connected", "run gateway migrate before serve" if missing else "")


async def _http(name: str, url: str) -> Check:
    """Any response counts: the contract has no request that changes nothing, so none of its requests is made."""
    if not url:
        return Check(name, True, "no address: nothing is pushed, it pulls")

    def failed(found: str, todo: str) -> Check:
        return Check(name, False, f"{url}: {found}", todo)

    try:
        timeout = aiohttp.ClientTimeout(_HTTP_TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            return Check(name, True, f"{url} responds ({response.status})")
    except TimeoutError:
        return failed(f"no response in {_HTTP_TIMEOUT_SECONDS:g} s", "does a firewall keep this machine out?")
    except aiohttp.ClientConnectorDNSError:
        return failed("the name is not known", "correct the host in url, or the resolver")
    except (aiohttp.ClientSSLError, ssl.SSLError):
        return failed("TLS failed", "http:// where it has no TLS; else its certificate, or SSL_CERT_FILE")
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.os_error.errno) if error.os_error.errno else "no connection"
        return failed(reason, "is it running, are host and port right?")
    except aiohttp.ClientError as error:
        return failed(f"no HTTP ({type(error).__name__})", "https:// where it has TLS; else the port")


async def _link(link: Link) -> Check:
    name = f"link {link.name}"
    if not link.password:
        return Check(name, False, "not tried: its password is missing", "set what password refers to")
    try:
        outcome = await LinkTest(link, "", lambda _line: None).bind_only()
    except LinkTestError as error:
        return Check(name, False, str(error), "correct host, port, system_id or password, or ask the operator")
    smsc = outcome.smsc or "the SMSC"
    return Check(name, True, f"bound to {smsc}", f"then try it with a telephone: gateway link-test {link.name}")
