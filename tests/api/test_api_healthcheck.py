"""The health check of a container: by HTTP, over TLS, and where client certificates are asked for."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway import healthcheck
from gateway.api.app import serve_http
from gateway.api.requests import Route, json_response
from gateway.config import load
from gateway.config.policy import HttpPolicy
from tests.api.test_api_hardening import make_certificate

EXAMPLE = load(Path(__file__).parents[2] / "config.toml", environ={}, secrets=False)


class Alive:
    """Only /healthz."""

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/healthz", None, self.alive),)

    async def alive(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"alive": True})


@asynccontextmanager
async def serving(folder: Path, tls: Sequence[str]) -> AsyncIterator[Path]:
    """A server with these keys of TLS; yields its configuration."""
    files: dict[str, Any] = {key: folder / f"server.{'key' if key == 'tls_key' else 'pem'}" for key in tls}
    http = replace(EXAMPLE.http, host="127.0.0.1", port=0, **files)
    async with serve_http(http, [Alive()], HttpPolicy()) as port:
        lines = [f'{key} = "{path}"' for key, path in files.items()]
        file = folder / "config.toml"
        file.write_text("\n".join(["[http]", 'host = "0.0.0.0"', f"port = {port}", *lines]), encoding="utf-8-sig")
        yield file


@pytest.mark.parametrize("tls", [(), ("tls_cert", "tls_key"), ("tls_cert", "tls_key", "client_ca")])
async def test_a_process_that_responds_is_healthy_with_and_without_tls(tmp_path: Path, tls: Sequence[str]) -> None:
    if tls and shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    if tls:
        make_certificate(tmp_path, "server")
    async with serving(tmp_path, tls) as file:
        assert await asyncio.to_thread(healthcheck.main, [str(file)]) == 0
    assert await asyncio.to_thread(healthcheck.main, [str(file)]) == 1


@pytest.mark.parametrize(
    ("http", "url"),
    [
        ("", "http://127.0.0.1:8080/healthz"),
        ('[http]\nhost = "::"\nport = 8443\ntls_cert = "a.crt"', "https://[::1]:8443/healthz"),
        ('[http]\nhost = "gw.example"', "http://gw.example:8080/healthz"),
    ],
)
def test_the_address_is_that_of_the_file_on_this_host(tmp_path: Path, http: str, url: str) -> None:
    (tmp_path / "config.toml").write_text(http)
    assert healthcheck.url_of(healthcheck.http_of(tmp_path / "config.toml")) == url


@pytest.mark.parametrize("content", [None, "[http", "\xff"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    assert healthcheck.main([str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_address_in_the_environment_is_asked_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_HEALTH_URL", "http://127.0.0.1:1/healthz")
    assert healthcheck.main(["/nowhere/config.toml"]) == 1
    assert "refused" in capsys.readouterr().err
