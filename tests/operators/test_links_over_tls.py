"""TLS to the SMSC: trusted authorities, the host name checked, and the client certificate."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.simulators.smsc import SmscSimulator
from tests.harness import WITHIN, Family, Harness, eventually, metric


async def openssl(*words: str) -> None:
    process = await asyncio.create_subprocess_exec("openssl", *words, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0


async def certificate(directory: Path, name: str) -> None:
    """A self-signed certificate for `localhost`, its own authority."""
    await openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
        "-out", str(directory / f"{name}.pem"), "-keyout", str(directory / f"{name}.key"),
    )  # fmt: skip


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[SmscSimulator]:
    """An SMSC over TLS that requires a client certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    for name in ("smsc", "gateway", "untrusted"):
        await certificate(tmp_path, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "gateway.pem"))
    context.load_cert_chain(tmp_path / "smsc.pem", tmp_path / "smsc.key")
    context.verify_mode = ssl.CERT_REQUIRED
    async with SmscSimulator(password="secret", tls=context) as smsc:
        yield smsc


def link(
    smsc: SmscSimulator, directory: Path, *, host: str = "localhost", ca: str = "smsc", own: str = "gateway"
) -> dict[str, Any]:
    """The link's configuration."""
    return {
        "host": host,
        "port": smsc.port,
        "tls": True,
        "ca": str(directory / f"{ca}.pem"),
        "tls_cert": str(directory / f"{own}.pem"),
        "tls_key": str(directory / f"{own}.key"),
    }


async def test_a_link_binds_over_tls_with_a_client_certificate(
    harness: Harness, secure: SmscSimulator, tmp_path: Path
) -> None:
    await harness.launch(link=link(secure, tmp_path))
    await secure.bound(within=WITHIN)
    family = Family(n=1)
    await harness.push(family)
    await secure.message(family.number, containing="3#1", within=WITHIN)
    assert await secure.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")


@pytest.mark.parametrize(
    "wrong",
    [{"host": "127.0.0.1"}, {"ca": "untrusted"}],
    ids=["a host name that is not in the certificate", "an authority that did not sign the certificate"],
)
async def test_an_smsc_with_a_wrong_certificate_is_sent_no_password(
    harness: Harness, secure: SmscSimulator, tmp_path: Path, wrong: dict[str, str]
) -> None:
    failed = metric("link_failures_total", link="kcell", reason="unreachable")
    await harness.launch(link=link(secure, tmp_path, **wrong))
    await eventually(lambda: metric("link_failures_total", link="kcell", reason="unreachable") > failed + 1)
    assert not any(session.requests for session in secure.connections)


async def test_a_link_whose_certificate_the_smsc_rejects_is_not_bound(
    harness: Harness, secure: SmscSimulator, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        await harness.launch(link=link(secure, tmp_path, own="untrusted"))
        await eventually(lambda: [entry["event"] for entry in logs].count("link_closed") > 1)
    assert not any(session.bound for session in secure.connections)
