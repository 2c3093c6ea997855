"""A running gateway, spoken to over HTTP as contracts name it."""

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from gateway.cli.terminal import CommandError
from gateway.config import Config, ConfigError, load
from gateway.config.model import Role

_ANSWERS_WITHIN = 60.0  # seconds
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (what a server listens on, and where it is found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the gateway is, and the token it knows us by."""

    url: str
    token: str = field(repr=False)


class Remote:
    """Calls to a running gateway. Each raises CommandError when it does not answer, or refuses."""

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
        within: float | None = _ANSWERS_WITHIN,
    ) -> Any:
        """The answer's JSON. The path is given in pieces, which may hold any character."""
        url = self._address.url + "".join(f"/{quote(piece, safe='')}" for piece in path)
        headers = {"Authorization": f"Bearer {self._address.token}"}
        if content_type:
            headers["Content-Type"] = content_type
        if encoding:
            headers["Content-Encoding"] = encoding
        try:
            async with self._session.request(
                method, url, params=params, data=data, headers=headers, timeout=aiohttp.ClientTimeout(within)
            ) as response:
                content = await response.read()
        except TimeoutError:
            raise CommandError(f"the gateway at {self._address.url} did not answer within {within:g} s") from None
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
            raise CommandError(
                f"no gateway answers at {self._address.url} ({reason}): "
                "is it running? --url or GATEWAY_URL says where"
            ) from None
        except aiohttp.InvalidURL:
            raise CommandError(f"{self._address.url!r} is no http:// or https:// address") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CommandError(f"the gateway at {self._address.url} broke off: {error}") from None
        answer = _json(content)
        if response.status >= 400:
            raise CommandError(_refusal(response.status, answer, self._address.url))
        if answer is None:
            raise CommandError(f"what answers at {self._address.url} is not the gateway: it sends no JSON")
        return answer


@asynccontextmanager
async def connected(arguments: Namespace, role: Role) -> AsyncIterator[Remote]:
    """The gateway that the arguments, the environment or the configuration name, in that order."""
    address = address_of(arguments, role, os.environ)
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        yield Remote(address, session)


def address_of(arguments: Namespace, role: Role, environ: Mapping[str, str]) -> Address:
    """Where to call and with which token; the file is read only for what nothing else says."""
    url = arguments.url or environ.get("GATEWAY_URL")
    token = environ.get("GATEWAY_TOKEN")
    if not url or not token:
        try:
            config = load(arguments.config, environ=environ, secrets=False)
        except ConfigError as error:
            if not url:
                raise
            raise CommandError(f"no token: set GATEWAY_TOKEN, or mend the file: {error.errors[0]}") from None
        url = url or _own_url(config)
        token = token or config.http.tokens[role][0]
    if not token:
        raise CommandError(f"no token: set GATEWAY_TOKEN, or what http.tokens.{role} refers to")
    return Address(url=url.rstrip("/"), token=token)


def _own_url(config: Config) -> str:
    http = config.http
    if http.port == 0:
        raise CommandError("http.port is 0, any free one: say where the gateway is by --url or GATEWAY_URL")
    host = _EVERYWHERE.get(http.host, http.host)
    scheme = "https" if http.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{http.port}"


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _refusal(status: int, answer: Any, url: str) -> str:
    """What a problem document (RFC 9457) says, in one line."""
    if status == 401:
        return f"the gateway at {url} does not know the token: set GATEWAY_TOKEN"
    if not isinstance(answer, dict):
        return f"{url} answers {status}"
    said = str(answer.get("detail") or answer.get("title") or status)
    faults = [
        f"{fault.get('pointer') or '/'}: {fault.get('detail') or fault.get('code')}"
        for fault in answer.get("errors", [])
    ]
    return " ".join([said, *faults])
