"""Who may call the HTTP interface: named users and the identity provider in config.toml."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.config.warnings import warnings
from tests.config.test_config import MINIMAL, SECRETS, read, refusal

USERS = """
[http.users.aigerim]
role = "support"
token = "env:AIGERIM_TOKEN"
[http.users.olga]
role = "ops"
token = ["env:OLGA_TOKEN", "olgas-token-before-this"]
"""
OIDC = """
[http.oidc]
issuer = "https://id.example.kz/realms/one/"
audience = "gateway"
roles = { "call centre" = "support", "https://roles/ops" = "ops" }
"""
ENVIRON = {**SECRETS, "AIGERIM_TOKEN": "aigerims-secret-token", "OLGA_TOKEN": "olgas-secret-token"}


def user(name: str = "aigerim", role: str = "support", token: str = "aigerims-secret-token") -> str:
    return f'[http.users.{name}]\nrole = "{role}"\ntoken = "{token}"\n'


def without(environ: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key != name}


def warned(config: Config) -> list[str]:
    return [warning.key for warning in warnings(config)]


def test_users_have_a_role_and_tokens_of_their_own(tmp_path: Path) -> None:
    http = read(tmp_path, MINIMAL + USERS, ENVIRON).http
    assert {name: (one.role, one.tokens) for name, one in http.users.items()} == {
        "aigerim": ("support", ("aigerims-secret-token",)),
        "olga": ("ops", ("olgas-secret-token", "olgas-token-before-this")),
    }
    assert http.tokens["ops"] == ("ops-secret-of-callers",)
    assert "secret" not in repr(http)


def test_an_identity_provider_has_defaults_for_its_claims(tmp_path: Path) -> None:
    oidc = read(tmp_path, MINIMAL + OIDC).http.oidc
    assert oidc is not None
    assert (oidc.issuer, oidc.audience) == ("https://id.example.kz/realms/one/", "gateway")
    assert oidc.roles == {"call centre": "support", "https://roles/ops": "ops"}
    assert (oidc.role_claim, oidc.name_claim) == ("roles", "")
    assert read(tmp_path, MINIMAL).http.oidc is None


@pytest.mark.parametrize("given", [USERS, OIDC])
def test_a_role_that_somebody_has_needs_no_shared_token(tmp_path: Path, given: str) -> None:
    environ = without(ENVIRON, "GATEWAY_OPS_TOKEN")
    for tokens in ("", "[http.tokens]\nops = []\n"):
        assert read(tmp_path, MINIMAL + tokens + given, environ).http.tokens["ops"] == ()
    assert refusal(tmp_path, MINIMAL + given, without(ENVIRON, "GATEWAY_SDU_TOKEN")).key == "http.tokens.sdu"
    assert refusal(tmp_path, MINIMAL, environ).key == "http.tokens.ops"


FAULTS = [
    (user(role="root"), "http.users.aigerim.role", "must be one of sdu, wallet, ops, support, auditor"),
    ('[http.users.aigerim]\ntoken = "aigerims-secret-token"', "http.users.aigerim.role", "required"),
    ('[http.users.aigerim]\nrole = "ops"', "http.users.aigerim.token", "required"),
    (user(token=" "), "http.users.aigerim.token", "must not be empty"),
    (user(token="env:NOT_SET"), "http.users.aigerim.token", "NOT_SET is not set"),
    (user("ops"), "http.users.ops", "is the name of a role"),
    (user('"a b"'), "http.users.a b", "the name must be 1 to 64 letters"),
    (user() + "name = 'x'", "http.users.aigerim.name", "unknown key"),
    (user() + user("bolat"), "http.users.bolat.token", "must not be that of users.aigerim too"),
    (user(token="ops-secret-of-callers"), "http.users.aigerim.token", "must not be that of ops too"),
    ("[http]\nusers = 3", "http.users", "must be a table"),
    (OIDC.replace("issuer", "# issuer"), "http.oidc.issuer", "required"),
    (OIDC.replace("https://id", "http://id"), "http.oidc.issuer", "must be an https:// address"),
    (OIDC.replace("https://id.example.kz", "https://[::"), "http.oidc.issuer", "must be an https:// address"),
    (OIDC.replace("audience", "# audience"), "http.oidc.audience", "required"),
    (OIDC.replace("roles", "# roles"), "http.oidc.roles", "required"),
    (OIDC.replace('= "ops"', '= "root"'), "http.oidc.roles.https://roles/ops", "must be one of"),
    (OIDC + 'role_claim = ""', "http.oidc.role_claim", "must be the name of a claim"),
    (OIDC + 'secret = "x"', "http.oidc.secret", "unknown key"),
]


@pytest.mark.parametrize(("text", "key", "message"), FAULTS)
def test_a_fault_of_a_caller_is_named_by_its_key(tmp_path: Path, text: str, key: str, message: str) -> None:
    refused = refusal(tmp_path, MINIMAL + text)
    assert (refused.errors[0].key, message in refused.errors[0].message) == (key, True), str(refused)
    assert "secret-token" not in str(refused)


def test_an_identity_provider_on_this_host_may_be_without_tls(tmp_path: Path) -> None:
    text = OIDC.replace("https://id.example.kz", "http://127.0.0.1:9000")
    assert read(tmp_path, MINIMAL + text).http.oidc is not None


def test_shared_and_short_tokens_are_warned_of(tmp_path: Path) -> None:
    assert warned(read(tmp_path, MINIMAL)) == ["http.tokens.ops"]
    named = "[http.tokens]\nops = []\n" + user("olga", "ops", "short")
    assert warned(read(tmp_path, MINIMAL + named)) == ["http.users.olga.token"]
    assert warned(read(tmp_path, MINIMAL + OIDC, without(SECRETS, "GATEWAY_OPS_TOKEN"))) == []
