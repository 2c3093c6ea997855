"""Who may call what: openapi.json says it of each operation, and the server does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from gateway.api.app import build_app
from gateway.api.connections import ConnectionLimiter
from gateway.components import Components
from gateway.config import Config, load
from gateway.config.model import Role
from gateway.shells import apis_of
from tests.api.apiclient import DOCUMENT, Api
from tests.api.conftest import CONFIG

ROLES: tuple[Role, ...] = get_args(Role)
TOKENS = {role: f"the-own-token-of-{role}" for role in ROLES}
USERS = "".join(f'[http.users.{role}-user]\nrole = "{role}"\ntoken = "{TOKENS[role]}"\n' for role in ROLES)
PARAMETERS = {
    "{list_id}": "no-list", "{case_id}": "01KAN00000000000000000000A", "{link}": "none", "{file}": "console.js",
}  # fmt: skip


class Operation(NamedTuple):
    method: str
    path: str
    roles: frozenset[str] | None  # None: anybody

    @property
    def address(self) -> str:
        path = self.path
        for parameter, value in PARAMETERS.items():
            path = path.replace(parameter, value)
        return path


def operations() -> Iterator[Operation]:
    """The operations of the document, with the roles that its `security` names."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                security = operation["security"]
                roles = frozenset(role for one in security for role in one["bearer"])
                assert [len(one["bearer"]) for one in security] == [1] * len(security), "any of them is enough"
                yield Operation(method.upper(), path, roles or None)


OPERATIONS = list(operations())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + USERS, encoding="utf-8")
    return load(path)


async def test_every_operation_is_for_the_roles_that_openapi_json_names(api: Api) -> None:
    for operation in OPERATIONS:
        statuses = {role: (await api.call(operation.method, operation.address, token=TOKENS[role])).status
                    for role in ROLES}  # fmt: skip
        forbidden = {role for role, status in statuses.items() if status == 403}
        assert forbidden == set(ROLES) - (operation.roles or set(ROLES)), operation
        assert 401 not in statuses.values(), operation


async def test_an_operation_with_roles_needs_a_token(api: Api) -> None:
    for operation in OPERATIONS:
        for token in (None, "of-nobody", "a.b.c"):
            status = (await api.call(operation.method, operation.address, token=token)).status
            assert (status == 401) == (operation.roles is not None), operation


async def test_routes_have_the_roles_of_openapi_json(config: Config, components: Components) -> None:
    policy = components.policy.http
    apis = apis_of(config, components)
    build_app(config.http, apis, ConnectionLimiter(policy), policy)
    served = {(route.method, route.path): route.roles for api in apis for route in api.routes()}
    described = {(one.method, one.path): one.roles for one in OPERATIONS}
    assert {where: roles and frozenset(roles) for where, roles in served.items()} == described


def test_every_description_of_openapi_json_names_its_roles() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and operation["security"]:
                roles = ", ".join(one["bearer"][0] for one in operation["security"])
                assert operation["description"].endswith(f"Roles: {roles}."), (method, path)
