"""What in a valid configuration is likely to disappoint: `gateway check-config` says it, nothing stops for it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.errors import ConfigError
from gateway.config.model import Config
from gateway.config.table import MIN_TOKEN_CHARACTERS

_SHUT_DOWN = "page.link"
"""The domain of Firebase Dynamic Links, which Google shut down on 25 August 2025."""


def warnings(config: Config) -> Iterator[ConfigError]:
    """A warning for each suspicious value, by key. Nothing is looked up: no host is asked."""
    http = config.http
    callers = {f"http.tokens.{role}": tokens for role, tokens in http.tokens.items()}
    callers |= {f"http.users.{name}.token": user.tokens for name, user in http.users.items()}
    for key, tokens in callers.items():
        if any(token and len(token) < MIN_TOKEN_CHARACTERS for token in tokens):
            yield ConfigError(
                key,
                f"a token has fewer than {MIN_TOKEN_CHARACTERS} characters and can be guessed; "
                "make one: openssl rand -hex 32",
            )
    if http.tokens["ops"]:
        yield ConfigError(
            "http.tokens.ops",
            "is shared: what people do with it carries no name in the journal and the access log; "
            "give each their own [http.users.NAME], or use [http.oidc]",
        )
    for code, service in config.services.items():
        host = _host(service.link)
        if host == _SHUT_DOWN or host.endswith(f".{_SHUT_DOWN}"):
            yield ConfigError(
                f"services.{code}.link",
                f"{host} is out of service: page.link was shut down in August 2025; "
                "ask those who run the wallet for another",
            )


def _host(link: str) -> str:
    """The host of an address, which may come without its scheme; "" when there is none."""
    try:
        return (urlsplit(link if "//" in link else f"//{link}").hostname or "").rstrip(".")
    except ValueError:
        return ""
