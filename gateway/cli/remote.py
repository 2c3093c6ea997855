"""A client of the HTTP interface of a running gateway."""

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from gateway.cli.errors import CommandError
from gateway.config import Config, ConfigError, load
from gateway.config.model import Role

_RESPONSE_TIMEOUT_SECONDS = 60.0
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (all addresses; the key is what the server listens on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The URL of the gateway, and the bearer token for it."""

    url: str
    token: str = field(repr=False)


class Remote:
    """Calls to a running gateway. Each raises CommandError without a response, or with an error response."""

    def __init__(self, address: Address, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def get(self, *path: str, **query: str) -> Any:
        return await self.call("GET", *path, params=query)

    async def post(self, *path: str, body: Mapping[str, object] | None = None) -> Any:
        return await self.call("POST", *path, data=orjson.dumps(body or {}), content_type="application/json")

    async def call(
        self,
        method: str,
        *path: str,
        params: Mapping[str, str] | None = None,
        data: "bytes | AsyncIterator[bytes] | None" = None,
        content_type: str | None = None,
        encoding: str | None = None,
        timeout_seconds: float | None = _RESPONSE_TIMEOUT_SECONDS,
    ) -> Any:
        """The JSON of the response. The path is given in segments, which may hold any character."""
        url = self._address.url + "".join(f"/{quote(piece, safe='')}" for piece in path)
        headers = {"Authorization": f"Bearer {self._address.token}"}
        if content_type:
            headers["Content-Type"] = content_type
        if encoding:
            headers["Content-Encoding"] = encoding
        try:
            async with self._session.request(
                method,
                url,
                params=params,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(timeout_seconds),
            ) as response:
                content = await response.read()
        except TimeoutError:
            raise CommandError(
                f"the gateway at {self._address.url} did not respond within {timeout_seconds:g} s"
            ) from None
        except aiohttp.ClientSSLError as error:
            raise CommandError(_tls_failure(self._address.url, error)) from None
        except aiohttp.ClientConnectorError as error:
            if not error.os_error.errno and self._address.url.startswith("https://"):
                raise CommandError(_tls_failure(self._address.url, error)) from None  # it ended the handshake
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
            raise CommandError(
                f"no gateway responds at {self._address.url} ({reason}): is it running? Set --url or GATEWAY_URL"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise CommandError(_broken_off(self._address.url, error)) from None
        body = _json(content)
        if response.status >= 400:
            raise CommandError(_error(response.status, body, self._address.url))
        if body is None:
            raise CommandError(f"the server at {self._address.url} is not the gateway: it sends no JSON")
        return body


@asynccontextmanager
async def connected(arguments: Namespace, role: Role) -> AsyncIterator[Remote]:
    """The gateway of the arguments, the environment or the configuration, in this order."""
    address = address_of(arguments, role, os.environ)
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        yield Remote(address, session)


def address_of(arguments: Namespace, role: Role, environ: Mapping[str, str]) -> Address:
    """The URL and token; the file is read only when one of them is missing elsewhere."""
    url = arguments.url or environ.get("GATEWAY_URL")
    token = environ.get("GATEWAY_TOKEN")
    if not url or not token:
        try:
            config = load(arguments.config, environ=environ, secrets=False)
        except ConfigError as error:
            if not url:
                raise
            raise CommandError(f"no token: set GATEWAY_TOKEN, or correct the file: {error.errors[0]}") from None
        url = url or _own_url(config)
        token = token or next(iter(config.http.tokens[role]), "")
    if not token:
        raise CommandError(f"no token: set GATEWAY_TOKEN, or what http.tokens.{role} refers to")
    return Address(url=_checked(url), token=token)


def _checked(url: str) -> str:
    """The address without a slash at its end; raises CommandError for one that is none of a gateway."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise CommandError(f"the address {url!r} has no scheme: write http://{url} or https://{url}")
    if scheme.lower() not in ("http", "https"):
        raise CommandError(f"the address {url!r} has another scheme: write http://{rest} or https://{rest}")
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:  # a port that is no number, a bracket that does not close
        usable = False
    if not usable:
        raise CommandError(f"{url!r} is no address: write http://HOST:PORT or https://HOST:PORT")
    return url.rstrip("/")


def _tls_failure(url: str, error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "not valid for this host"
        return f"the certificate of {url} is not trusted ({reason}): check the host name, or set SSL_CERT_FILE"
    plain = url.replace("https://", "http://", 1)
    return f"{url} does not speak TLS as it should: if the gateway serves without TLS, use {plain}"


def _broken_off(url: str, error: Exception) -> str:
    if url.lower().startswith("http://"):
        secure = f"https://{url.partition('://')[2]}"
        return f"{url} broke the connection off ({type(error).__name__}): if the gateway serves TLS, use {secure}"
    return f"the gateway at {url} broke the connection off ({type(error).__name__}): try again"


def _own_url(config: Config) -> str:
    http = config.http
    if http.port == 0:
        raise CommandError("http.port is 0, any free one: give the address by --url or GATEWAY_URL")
    host = _LOOPBACK_OF.get(http.host, http.host)
    scheme = "https" if http.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{http.port}"


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


_NEXT_STEPS = {
    "There is no such list.": "`gateway lists` shows those there are",
    "There is no such case.": "`gateway cases LIST` shows those of a list",
    "There is no such link.": "`gateway links` shows those there are",
    "There is no such service.": "the gateway's config.toml names those there are",
}
"""What to do about a 404, by its detail."""


def _error(status: int, body: Any, url: str) -> str:
    """A problem document (RFC 9457) in one line."""
    if status == 401:
        return f"the gateway at {url} rejects the token: set GATEWAY_TOKEN"
    if not isinstance(body, dict):
        return f"{url} responds with {status}"
    detail = str(body.get("detail") or body.get("title") or status)
    faults = [
        f"{fault.get('pointer') or '/'}: {fault.get('detail') or fault.get('code')}"
        for fault in body.get("errors", [])
    ]
    if detail in _NEXT_STEPS:
        detail = f"{detail.rstrip('.')}: {_NEXT_STEPS[detail]}"
    return " ".join([detail, *faults])
