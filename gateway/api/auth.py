"""Authorization: bearer tokens (RFC 6750), each with its roles."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.api.callers import Caller, Identity, KeysUnavailableError
from gateway.api.problems import RETRY_SOON, Problem
from gateway.config.model import Role, User

if TYPE_CHECKING:
    from gateway.api.oidc import IdentityProvider

_CHALLENGE = 'Bearer realm="gateway"'


class Tokens:
    """The valid tokens: those of the configuration, and those that the identity provider signs."""

    def __init__(
        self,
        shared: Mapping[Role, Collection[str]],
        users: Mapping[str, User] | None = None,
        provider: "IdentityProvider | None" = None,
    ) -> None:
        """`shared`: tokens of roles, without a name; during a rotation there are several."""
        owned = [(Identity((role,), None), tokens) for role, tokens in shared.items()]
        owned += [(Identity((user.role,), name), user.tokens) for name, user in (users or {}).items()]
        self._digests = [(_digest(token), owner) for owner, tokens in owned for token in tokens]
        self._provider = provider

    def owner_of(self, token: str) -> Identity | None:
        """The owner of a token of the configuration, None for an unknown one. Every token is compared, in
        constant time.
        """
        given = _digest(token)
        found: Identity | None = None
        for digest, owner in self._digests:
            if hmac.compare_digest(digest, given):
                found = owner
        return found

    async def require(self, request: web.Request, roles: Collection[Role]) -> Caller:
        """The caller; raises a Problem, 401 or 403, unless they have one of `roles`.

        503 where the keys of the identity provider, which tell its tokens from others, are not there yet.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "This path asks for a bearer token.",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        owner = self.owner_of(token.strip()) or await self._signed(token.strip())
        if owner is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "The bearer token is not known.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            )
        role = next((role for role in owner.roles if role in roles), None)
        if role is None:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"This path is not for the role {' or '.join(owner.roles)}."
                if owner.roles
                else "The token gives no role of http.oidc.roles.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'},
            )
        return Caller(role, owner.name)

    async def _signed(self, token: str) -> Identity | None:
        if self._provider is None:
            return None
        try:
            return await self._provider.owner_of(token)
        except KeysUnavailableError:
            detail = "The keys of the identity provider are not available; try again."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_SOON) from None


def _digest(token: str) -> bytes:
    # A header may hold octets that are not UTF-8: aiohttp decodes them as surrogates.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
