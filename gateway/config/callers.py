"""Who may call the HTTP interface: `[http.tokens]`, `[http.users]` and `[http.oidc]`."""

import re
from collections.abc import Mapping
from typing import get_args
from urllib.parse import urlsplit

from gateway.config.model import Oidc, Role, User
from gateway.config.table import NAME, NAMED, Table

ROLES: tuple[Role, ...] = get_args(Role)
SHARED_ROLES: tuple[Role, ...] = ("sdu", "wallet", "ops")
"""The roles to which `http.tokens` gives tokens."""

_ANY_ROLE = f"be one of {', '.join(ROLES)}"
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_CLAIM = r"\S{1,200}"
_MAX_CLAIM_VALUE_CHARACTERS = 200


def read_users(http: Table) -> dict[str, User]:
    """The named users; a name is no role, so that the journal can tell them apart."""
    table = http.table("users")
    return {name: _user(name, table) for name in table.keys()}  # noqa: SIM118 (a Table is no mapping)


def _user(name: str, users: Table) -> User:
    table = users.table(name)
    if not re.fullmatch(NAME, name):
        users.fault(name, f"the name must {NAMED}")
    elif name in ROLES:
        users.fault(name, "is the name of a role; name the person or program that has the token")
    role = table.text("role", pattern="|".join(ROLES), must=_ANY_ROLE)
    return User(role=_role(role), tokens=table.tokens("token"))


def _role(text: str) -> Role:
    """The role of that name; any where a fault is noted for it."""
    return next((role for role in ROLES if role == text), "auditor")


def read_oidc(http: Table) -> Oidc | None:
    """The identity provider whose tokens are accepted; None without `http.oidc`."""
    table = http.table("oidc")
    roles = table.table("roles")
    oidc = Oidc(
        issuer=table.text("issuer", "", pattern=r"|https?://\S{1,500}", must="be an https:// address"),
        audience=table.text("audience", "", pattern=r"|\S{1,500}", must="be 1 to 500 characters without spaces"),
        roles={
            value: _role(roles.text(value, pattern="|".join(ROLES), must=_ANY_ROLE))
            for value in roles.keys()  # noqa: SIM118 (a Table is no mapping)
        },
        role_claim=table.text("role_claim", "roles", pattern=_CLAIM, must="be the name of a claim"),
        name_claim=table.text("name_claim", "", pattern=rf"|{_CLAIM}", must="be the name of a claim"),
    )
    if not table.keys():
        return None
    _check_oidc(table, oidc)
    return oidc


def _check_oidc(table: Table, oidc: Oidc) -> None:
    if not oidc.issuer:
        table.fault("issuer", "required; set it to the identity provider's address, as its tokens name it")
    elif not _is_secure(oidc.issuer):
        table.fault("issuer", "must be an https:// address: whoever can change its keys can do anything")
    if not oidc.audience:
        table.fault("audience", "required; set it to what the tokens name as aud: the client of the gateway")
    if not oidc.roles:
        table.fault("roles", 'required; write { "VALUE" = "ops" }: the values of the role claim and their roles')
    if any(len(value) > _MAX_CLAIM_VALUE_CHARACTERS for value in oidc.roles):
        table.fault("roles", f"a value may have {_MAX_CLAIM_VALUE_CHARACTERS} characters")


def _is_secure(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.scheme == "https" or parts.hostname in _LOOPBACK)
    except ValueError:  # a bracket that does not close
        return False


def read_tokens(http: Table, users: Mapping[str, User], oidc: Oidc | None) -> dict[Role, tuple[str, ...]]:
    """The shared tokens by role. A role that a user has, or the identity provider gives, needs none."""
    tokens = http.table("tokens")
    named = {user.role for user in users.values()} | set(oidc.roles.values() if oidc else ())
    shared = {
        role: tokens.tokens(role, f"env:GATEWAY_{role.upper()}_TOKEN", required=role not in named)
        for role in SHARED_ROLES
    }
    owners: dict[str, str] = {}
    for role, values in shared.items():
        for value in filter(None, values):
            if owners.setdefault(value, role) != role:
                tokens.fault(role, f"must differ from the tokens of {owners[value]}: a token has one role")
    for name, user in users.items():
        for value in filter(None, user.tokens):
            owner = owners.setdefault(value, f"users.{name}")
            if owner != f"users.{name}":
                http.fault(f"users.{name}.token", f"must not be that of {owner} too: a token has one owner")
    return shared
