"""Tokens that an identity provider has signed (OpenID Connect): who has them, by which roles."""

from collections.abc import Mapping
from typing import Any

import jwt

from gateway.api.callers import OIDC_PREFIX, Identity
from gateway.api.signing_keys import SigningKey, SigningKeys
from gateway.config.model import Oidc, Role
from gateway.config.policy import OidcPolicy
from gateway.intake.fields import text_fault
from gateway.logs.log import Event, get_logger
from gateway.logs.redaction import without_numbers

log = get_logger()

_INVALID = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""The errors of an invalid token. The library means to raise its own; a hostile token may cause others."""
_REQUIRED = ["exp", "iss", "aud"]
_DEFAULT_NAMES = ("preferred_username", "sub")
_MAX_NAME_LENGTH = 64
_MAX_VALUES = 200
"""The number of values of the role claim that are read."""


class IdentityProvider:
    """The identity provider of `http.oidc`. A token is checked with its keys; it is asked for these only."""

    def __init__(self, oidc: Oidc, policy: OidcPolicy, keys: SigningKeys | None = None) -> None:
        self._oidc = oidc
        self._leeway_seconds = policy.leeway_seconds
        self._keys = keys or SigningKeys(oidc.issuer, policy)

    async def close(self) -> None:
        """Ends a fetch of keys that is under way."""
        await self._keys.close()

    async def owner_of(self, token: str) -> Identity | None:
        """The owner of a token that is valid now, None of any other; raises KeysUnavailableError."""
        try:
            header = jwt.get_unverified_header(token)
        except _INVALID:  # most likely a token of the configuration that is no more
            return None
        key = await self._keys.get(header.get("kid", ""))
        if key is None:
            _log_rejected("unknown kid")
            return None
        try:
            claims = self._claims(token, key)
        except _INVALID as error:
            _log_rejected(type(error).__name__)
            return None
        if (name := self._name(claims)) is None:
            _log_rejected("no name")
            return None
        return Identity(self._roles(claims), OIDC_PREFIX + name)

    def _claims(self, token: str, key: SigningKey) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=sorted(key.algorithms),
            audience=self._oidc.audience,
            issuer=self._oidc.issuer,
            leeway=self._leeway_seconds,
            options={"require": _REQUIRED},
        )
        return claims

    def _name(self, claims: Mapping[str, Any]) -> str | None:
        """The name for the journal, which is never erased: numbers in it are masked."""
        names = (self._oidc.name_claim,) if self._oidc.name_claim else _DEFAULT_NAMES
        for value in (_claim(claims, name) for name in names):
            if text_fault(value, _MAX_NAME_LENGTH, printable=True) is None:
                return without_numbers(str(value))
        return None

    def _roles(self, claims: Mapping[str, Any]) -> tuple[Role, ...]:
        """The roles by the values of the claim, in the order of the configuration."""
        value = _claim(claims, self._oidc.role_claim)
        values = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        given = {one for one in values[:_MAX_VALUES] if isinstance(one, str)}
        return tuple(dict.fromkeys(role for name, role in self._oidc.roles.items() if name in given))


def _log_rejected(reason: str) -> None:
    log.debug(Event.OIDC_CALLER_REJECTED, reason=reason)  # whoever has no token cannot fill the log


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of that name; with dots in it also one within another: realm_access.roles."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
