"""What in a valid configuration is likely to disappoint: `gateway check-config` says it, nothing stops for it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.model import Config
from gateway.config.table import MIN_TOKEN_CHARACTERS, ConfigError

_SHUT_DOWN = "page.link"
"""The domain of Firebase Dynamic Links, which Google shut down on 25 August 2025."""


def warnings(config: Config) -> Iterator[ConfigError]:
    """The doubtful values, by key. Nothing is looked up: what a host responds is not known here."""
    for role, tokens in config.http.tokens.items():
        if any(token and len(token) < MIN_TOKEN_CHARACTERS for token in tokens):
            yield ConfigError(
                f"http.tokens.{role}",
                f"a token has fewer than {MIN_TOKEN_CHARACTERS} characters and can be guessed; "
                "make one: openssl rand -hex 32",
            )
    for code, service in config.services.items():
        host = _host(service.link)
        if host == _SHUT_DOWN or host.endswith(f".{_SHUT_DOWN}"):
            yield ConfigError(
                f"services.{code}.link",
                f"{host} is dead: page.link was shut down in August 2025; ask the wallet's people for another",
            )


def _host(link: str) -> str:
    """The host of an address, which may come without its scheme; "" when there is none."""
    try:
        return (urlsplit(link if "//" in link else f"//{link}").hostname or "").rstrip(".")
    except ValueError:
        return ""
