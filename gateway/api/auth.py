"""Authorization: bearer tokens (RFC 6750), each with one role."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from http import HTTPStatus

from aiohttp import web

from gateway.api.problems import Problem
from gateway.config.model import Role

_CHALLENGE = 'Bearer realm="gateway"'


class Tokens:
    """The valid tokens; during a rotation a role has several."""

    def __init__(self, tokens: Mapping[Role, Collection[str]]) -> None:
        self._digests = [(_digest(token), role) for role, values in tokens.items() for token in values]

    def role_of(self, token: str) -> Role | None:
        """The token's role, None for an unknown one. Every token is compared, in constant time."""
        given = _digest(token)
        found: Role | None = None
        for digest, role in self._digests:
            if hmac.compare_digest(digest, given):
                found = role
        return found

    def require(self, request: web.Request, roles: Collection[Role]) -> Role:
        """The caller's role; raises a Problem, 401 or 403, unless it is among `roles`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "This path asks for a bearer token.",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        role = self.role_of(token.strip())
        if role is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "The bearer token is not known.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            )
        if role not in roles:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"This path is not for the role {role}.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'},
            )
        return role


def _digest(token: str) -> bytes:
    # A header may hold octets that are not UTF-8: aiohttp decodes them as surrogates.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
