"""The rules for any `config.toml`: it is a configuration, or every fault of it is a line that shows no secret."""

import tempfile
from pathlib import Path
from typing import Final

from gateway.config import ConfigError, load

WORDS: Final = (
    b"[gateway]\n", b"[http]\n", b"[journey]\n", b"[services.5]\n", b"[[links]]\n", b"[links.statuses]\n",
    b"[http.tokens]\n", b"[sdu]\n", b"[clock]\n", b"rate = ", b"port = ", b"timezone = ", b"send_window = ",
    b"templates = ", b"ca = ", b"signing_secret = ", b"prefixes = ", b"validity_period = ", b"tps = ",
    b'"env:SECRET"', b'"file:secret.txt"', b'"file:/"', b'"whsec_c2VjcmV0"', b"1e400", b"nan", b"-inf",
    b"0x" + b"f" * 40, b"9" * 400, b"1979-05-27", b"[]", b"{}", b"[1]", b"true", b'""', b'"\\u0000"', b'"\\n"',
    b"'''\n'''", b'"../../x"', b'"http://[::1"', b'"http://a:b"', b'"9d"', b"=", b".", b"\xff", "ж".encode(),
)  # fmt: skip
SECRET: Final = "a secret value"
_ENVIRONMENT: Final = {"SECRET": SECRET, "SIGNING": "whsec_c2VjcmV0"}
_MAX_LINE_CHARACTERS: Final = 8_000
_FOLDER: Final = tempfile.TemporaryDirectory()
_PATH: Final = Path(_FOLDER.name) / "config.toml"
_PATH.with_name("secret.txt").write_text(SECRET, encoding="utf-8")


def probe(octets: bytes) -> None:
    """Loads the octets as a configuration. Raises AssertionError, or what is no ConfigError."""
    _PATH.write_bytes(octets)
    for secrets in (True, False):
        try:
            config = load(_PATH, environ=_ENVIRONMENT, secrets=secrets)
        except ConfigError as error:
            _is_told(error)
        else:
            assert config.links
            assert config.services


def _is_told(error: ConfigError) -> None:
    """Each fault is a line that shows no secret."""
    lines = [f"{one.key}: {one.message}" for one in error.errors]
    assert str(error).splitlines() == lines
    for line in lines:
        assert line.isprintable(), line
        assert len(line) <= _MAX_LINE_CHARACTERS
        assert SECRET not in line, "a secret is shown"
