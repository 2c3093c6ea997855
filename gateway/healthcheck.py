"""`python -m gateway.healthcheck [FILE]`: whether the process of this configuration responds on this host.

For the health check of a container: it loads nothing of the gateway, so that it costs no more than 0.1 s of CPU.
GATEWAY_HEALTH_URL, such as http://127.0.0.1:8080/healthz, is asked instead where it is set.
"""

import os
import socket
import ssl
import sys
import tomllib
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULT_FILE = "/etc/gateway/config.toml"
TIMEOUT_SECONDS = 5.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - the key is what the server listens on


def main(arguments: Sequence[str]) -> int:
    """0: it responds; 1: it does not, and standard error says why."""
    try:
        if url := os.environ.get("GATEWAY_HEALTH_URL"):
            request(url)
            return 0
        http = http_of(Path(arguments[0] if arguments else DEFAULT_FILE))
        if "client_ca" in http:
            handshake(url_of(http))
        else:
            request(url_of(http))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"healthcheck: {type(error).__name__}: {error}\n")
        return 1
    return 0


def http_of(file: Path) -> dict[str, Any]:
    """The table [http] of the file; raises OSError or ValueError."""
    table: dict[str, Any] = tomllib.loads(file.read_bytes().decode("utf-8-sig")).get("http", {})
    return table


def url_of(http: dict[str, Any]) -> str:
    """The address of /healthz by this table, on this host."""
    host = http.get("host", "127.0.0.1")
    shown = _ALL_ADDRESSES.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if 'tls_cert' in http else 'http'}://{shown}:{http.get('port', 8080)}/healthz"


def request(url: str) -> None:
    """Returns when /healthz was responded to; raises OSError."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS, context=_tls()):  # noqa: S310 - of the operator
        pass


def handshake(url: str) -> None:
    """Returns when the server has done its part of a TLS handshake; raises OSError.

    For a server that serves only those who have a certificate of `http.client_ca`: we have none.
    """
    address = urlsplit(url)
    with (
        socket.create_connection((address.hostname, address.port), TIMEOUT_SECONDS) as connection,
        _tls(ssl.TLSVersion.TLSv1_3).wrap_socket(connection),  # in 1.2 our certificate would come first
    ):
        pass


def _tls(least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    """Verifies nothing: the certificate is for the name that clients use, and this is the same host."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = least
    return context


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
