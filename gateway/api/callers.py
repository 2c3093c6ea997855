"""Who makes a request: the role in which it is allowed, and the name of the user."""

from typing import NamedTuple

from aiohttp import web

from gateway.config.model import Role

OIDC_PREFIX = "oidc:"
"""The prefix of names that an identity provider gives: they are no names of the configuration."""
PEOPLE: frozenset[Role] = frozenset(("ops", "support", "auditor"))
"""The roles of people: what they see of cases is in the access log."""


class KeysUnavailableError(Exception):
    """The identity provider's keys have not been fetched yet."""


class Identity(NamedTuple):
    """The owner of a token: their roles, and their name; None: whoever has the shared token of the role."""

    roles: tuple[Role, ...]
    name: str | None


class Caller(NamedTuple):
    """The owner of a request's token, in the role in which the request is allowed."""

    role: Role
    name: str | None

    @property
    def actor(self) -> str:
        """As the journal and the access log name them: without a name by their role."""
        return self.name or self.role

    @property
    def is_person(self) -> bool:
        return self.role in PEOPLE


CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
"""The caller of a request; one without a valid token has none."""
