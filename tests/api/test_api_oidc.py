"""Tokens of an identity provider: a real server on localhost has discovery and JWKS, and counts who asks."""

import asyncio
import base64
import hmac
import json
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.warnings import InsecureKeyLengthWarning

from gateway.api.callers import Identity, KeysUnavailableError
from gateway.api.oidc import IdentityProvider
from gateway.api.signing_keys import SigningKeys
from gateway.components import Components
from gateway.config import Config, load
from gateway.config.model import Oidc
from gateway.config.policy import OidcPolicy
from tests.api.apiclient import Api
from tests.api.conftest import CONFIG
from tests.record_factories import MOTHER, good

AUDIENCE = "gateway"
POLICY = OidcPolicy()
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def key_of(name: str) -> Key:
    """The private key of that name: made once, it takes time."""
    match name.partition("-")[0]:
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "ed":
            return ed25519.Ed25519PrivateKey.generate()
        case "short":
            return rsa.generate_private_key(65537, 1024)
        case _:
            return rsa.generate_private_key(65537, 2048)


def jwk(name: str, **changes: Any) -> dict[str, Any]:
    """The public key as the provider serves it, with its name for kid."""
    public: Any = key_of(name).public_key()
    algorithm: Any = {"ec": ECAlgorithm, "ed": OKPAlgorithm}.get(name.partition("-")[0], RSAAlgorithm)
    return {**algorithm.to_jwk(public, as_dict=True), "kid": name, **changes}


@dataclass
class Provider:
    """The identity provider; its fields are what it responds with from now on."""

    issuer: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk("rsa")])
    about: dict[str, Any] = field(default_factory=dict)  # changes of the discovery document
    status: int = 200
    padding: int = 0  # octets added to the keys
    asked: list[str] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None  # responses wait for it

    async def discovery(self, _request: web.Request) -> web.Response:
        return await self._response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **self.about})

    async def jwks(self, _request: web.Request) -> web.Response:
        return await self._response({"keys": self.keys, "padding": "x" * self.padding}, "keys")

    async def redirected(self, _request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self.issuer}/keys")

    async def _response(self, body: object, what: str = "discovery") -> web.Response:
        self.asked.append(what)
        self.is_asked.set()
        if self.held is not None:
            await self.held.wait()
        return web.json_response(body, status=self.status)

    def token(self, name: str = "rsa", *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A signed token; claims that are None are left out."""
        now = time.time()
        content = {
            "iss": self.issuer, "aud": AUDIENCE, "exp": now + 300, "iat": now, "sub": "s-1",
            "preferred_username": "aigerim", "roles": ["call-centre"], **claims,
        }  # fmt: skip
        algorithm = {"ec": "ES256", "ed": "EdDSA"}.get(name.partition("-")[0], "RS256")
        payload = {name: value for name, value in content.items() if value is not None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.encode(payload, key_of(name), algorithm=algorithm, headers={"kid": name, **(header or {})})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.discovery)
    app.router.add_get("/keys", provider.jwks)
    app.router.add_get("/redirect", provider.redirected)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


class Clock:
    """The monotonic clock of the keys, moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def oidc(provider: Provider, **changes: Any) -> Oidc:
    roles = {"gateway-admin": "ops", "call-centre": "support", "audit": "auditor"}
    return Oidc(**{"issuer": provider.issuer, "audience": AUDIENCE, "roles": roles, "role_claim": "roles",
                   "name_claim": "", **changes})  # fmt: skip


def identities(provider: Provider, clock: Clock | None = None, **changes: Any) -> IdentityProvider:
    """What is tested."""
    keys = SigningKeys(provider.issuer, POLICY, clock or Clock())
    return IdentityProvider(oidc(provider, **changes), POLICY, keys)


SECRET = b"a-secret-of-32-octets-or-more-in-all"
AIGERIM = Identity(("support",), "oidc:aigerim")


@pytest.mark.parametrize("name", ["rsa", "ec", "ed"])
async def test_a_token_signed_with_a_key_of_the_provider_has_its_owner(provider: Provider, name: str) -> None:
    provider.keys = [jwk("rsa"), jwk("ec"), jwk("ed")]
    assert await identities(provider).owner_of(provider.token(name)) == AIGERIM


NOW = time.time()
INVALID: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW - 60},
    "without an end": {"exp": None},
    "not yet valid": {"nbf": NOW + 3600},
    "for another audience": {"aud": "console-of-others"},
    "for no audience": {"aud": None},
    "of another issuer": {"iss": "https://evil.example"},
    "of no issuer": {"iss": None},
    "of nobody": {"preferred_username": None, "sub": None},
    "of a name with a line break": {"preferred_username": "a\nb", "sub": None},
    "of an endless name": {"preferred_username": "a" * 65, "sub": None},
    "ended in the infinite": {"exp": float("inf")},
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_expired_or_foreign_token_has_no_owner(provider: Provider, name: str) -> None:
    assert await identities(provider).owner_of(provider.token(**INVALID[name])) is None


async def test_a_signed_token_is_accepted_with_clocks_half_a_minute_apart(provider: Provider) -> None:
    now = time.time()
    ours = identities(provider)
    assert await ours.owner_of(provider.token(exp=now - 10)) == AIGERIM
    assert await ours.owner_of(provider.token(nbf=now + 10)) == AIGERIM


def encoded(header: object, payload: str = "e30", secret: bytes | None = None) -> str:
    """A token made by hand: libraries make no such ones."""
    text = header if isinstance(header, str) else json.dumps(header)
    signed = f"{_base64(text.encode())}.{payload}"
    return f"{signed}.{_base64(hmac.digest(secret or b'', signed.encode(), 'sha256'))}"


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


async def test_a_forged_or_malformed_token_has_no_owner(provider: Provider) -> None:
    provider.keys = [jwk("rsa"), jwk("ec"), jwk("rsa-enc", use="enc"), jwk("short"), jwk("rsa-pss", alg="PS256")]
    provider.keys += [{"kty": "oct", "kid": "secret", "k": _base64(SECRET)}, {}, "x"]  # type: ignore[list-item]
    good_token = provider.token()
    head, payload, signature = good_token.split(".")
    public: Any = key_of("rsa").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = {
        "signed by another key": provider.token("rsa-other", header={"kid": "rsa"}),
        "with another payload": f"{head}.{payload[:-4]}AAAA.{signature}",
        "without a signature": f"{head}.{payload}.",
        "of the algorithm none": f"{encoded({'alg': 'none', 'kid': 'rsa'}, payload).rpartition('.')[0]}.",
        "by the public key as a secret": encoded({"alg": "HS256", "kid": "rsa"}, payload, pem),
        "by a shared secret": encoded({"alg": "HS256", "kid": "secret"}, payload, SECRET),
        "by a key for encryption": provider.token("rsa-enc"),
        "by a short key": provider.token("short"),
        "by another algorithm than the key's": provider.token("rsa-pss"),
        "of a kid that is no text": encoded({"alg": "RS256", "kid": 7}),
        "of an endless nesting": encoded("[" * 3000),
        "of another kind": "a.b.c",
        "not ASCII": "é.é.é",
    }
    ours = identities(provider)
    assert await ours.owner_of(good_token) == AIGERIM
    for name, token in forged.items():
        assert await ours.owner_of(token) is None, name


ROLES: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({"roles": "call-centre"}, {}, ("support",)),
    ({"roles": "audit call-centre"}, {}, ("support", "auditor")),
    ({"roles": ["audit", "gateway-admin", 7, None]}, {}, ("ops", "auditor")),
    ({"roles": ["root"]}, {}, ()),
    ({"roles": None}, {}, ()),
    ({"roles": {"ops": True}}, {}, ()),
    ({"realm_access": {"roles": ["audit"]}}, {"role_claim": "realm_access.roles"}, ("auditor",)),
    ({"https://id.example/roles": ["audit"]}, {"role_claim": "https://id.example/roles"}, ("auditor",)),
]


@pytest.mark.parametrize(("claims", "settings", "expected"), ROLES)
async def test_roles_of_a_signed_token_are_those_of_the_configured_claim(
    provider: Provider, claims: dict[str, Any], settings: dict[str, Any], expected: tuple[str, ...]
) -> None:
    owner = await identities(provider, **settings).owner_of(provider.token(**claims))
    assert owner is not None
    assert owner.roles == expected


async def test_the_owner_of_a_signed_token_has_the_name_of_the_configured_claim_with_numbers_masked(
    provider: Provider,
) -> None:
    names = {
        "oidc:s-1": await identities(provider).owner_of(provider.token(preferred_username=None)),
        "oidc:a@example.kz": await identities(provider, name_claim="email").owner_of(
            provider.token(email="a@example.kz")
        ),
        "oidc:8703••••••05": await identities(provider).owner_of(provider.token(preferred_username=MOTHER)),
    }
    assert names == {name: Identity(("support",), name) for name in names}
    assert await identities(provider, name_claim="email").owner_of(provider.token()) is None


# The keys


async def test_the_identity_provider_is_asked_once_for_many_tokens(provider: Provider) -> None:
    provider.held = asyncio.Event()
    ours = identities(provider)
    tokens = [asyncio.create_task(ours.owner_of(provider.token())) for _ in range(20)]
    impatient = asyncio.create_task(ours.owner_of(provider.token()))
    await provider.is_asked.wait()
    impatient.cancel()
    provider.held.set()
    assert await asyncio.gather(*tokens) == [AIGERIM] * 20
    assert await ours.owner_of(provider.token()) == AIGERIM
    assert provider.asked == ["discovery", "keys"]


async def test_tokens_with_unknown_keys_ask_the_identity_provider_once_a_minute(provider: Provider) -> None:
    clock = Clock()
    ours = identities(provider, clock)
    assert await ours.owner_of(provider.token()) == AIGERIM
    provider.keys = [jwk("rsa-new")]
    for _ in range(3):
        assert await ours.owner_of(provider.token("rsa-new")) is None
    assert len(provider.asked) == 2
    clock.now = POLICY.refresh_seconds
    assert await ours.owner_of(provider.token("rsa-new")) == AIGERIM
    assert await ours.owner_of(provider.token()) is None, "its key was withdrawn"
    assert len(provider.asked) == 4


async def test_kept_signing_keys_are_used_while_the_identity_provider_is_away(provider: Provider) -> None:
    clock = Clock()
    ours = identities(provider, clock)
    assert await ours.owner_of(provider.token()) == AIGERIM
    provider.status = 500
    clock.now = 10 * POLICY.max_age_seconds
    assert await ours.owner_of(provider.token()) == AIGERIM
    assert await ours.owner_of(provider.token("rsa-new")) is None  # waits for the fetch, which fails
    assert len(provider.asked) == 3
    assert await ours.owner_of(provider.token()) == AIGERIM
    provider.status, provider.keys = 200, [jwk("rsa-new")]
    clock.now += POLICY.refresh_seconds
    assert await ours.owner_of(provider.token("rsa-new")) == AIGERIM


BROKEN: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "another issuer": {"about": {"issuer": "https://evil.example"}},
    "keys at no address": {"about": {"jwks_uri": None}},
    "keys in a file": {"about": {"jwks_uri": "file:///etc/passwd"}},
    "keys elsewhere": {"about": {"jwks_uri": "{issuer}/redirect"}},
    "too many octets": {"padding": POLICY.max_document_bytes},
    "no key": {"keys": []},
}


@pytest.mark.parametrize("name", BROKEN)
async def test_without_signing_keys_no_token_has_an_owner_and_the_identity_provider_is_asked_again_soon(
    provider: Provider, name: str
) -> None:
    clock = Clock()
    ours = identities(provider, clock)
    fresh = vars(Provider(issuer=provider.issuer))
    vars(provider).update(BROKEN[name])
    if "{issuer}" in str(address := provider.about.get("jwks_uri")):
        provider.about["jwks_uri"] = str(address).format(issuer=provider.issuer)
    for _ in range(2):
        with pytest.raises(KeysUnavailableError):
            await ours.owner_of(provider.token())
    assert provider.asked.count("discovery") == 1
    vars(provider).update(fresh)
    clock.now = POLICY.retry_seconds
    assert await ours.owner_of(provider.token()) == AIGERIM


async def test_a_fetch_of_signing_keys_under_way_ends_with_the_process(provider: Provider) -> None:
    provider.held = asyncio.Event()
    ours = identities(provider)
    asking = asyncio.create_task(ours.owner_of(provider.token()))
    await provider.is_asked.wait()
    await ours.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    provider.held.set()


# Over HTTP


@pytest.fixture
def config(tmp_path: Path, provider: Provider) -> Config:
    path = tmp_path / "config.toml"
    tables = f"""
[http.oidc]
issuer = "{provider.issuer}"
audience = "{AUDIENCE}"
roles = {{ call-centre = "support", audit = "auditor", gateway-admin = "ops" }}
"""
    path.write_text(CONFIG + tables, encoding="utf-8")
    return load(path)


async def test_people_of_the_identity_provider_do_what_their_roles_may(
    api: Api, provider: Provider, components: Components
) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    support, both = provider.token(), provider.token(roles=["call-centre", "audit"], preferred_username="bolat")
    assert (await api.post("/v1/cases/search", {"iin": MOTHER}, support)).status == 200
    assert (await api.post(f"/v1/cases/{case_id}/cancel", {"reason": "x"}, support)).status == 403
    assert (await api.get(f"/v1/cases/{case_id}", both)).status == 200
    refused = await api.get(f"/v1/cases/{case_id}", provider.token(roles=["root"]))
    assert (refused.status, refused.json["detail"]) == (403, "The token gives no role of http.oidc.roles.")
    assert (await api.get(f"/v1/cases/{case_id}", provider.token(exp=1))).status == 401
    olga = provider.token(roles="gateway-admin", preferred_username="olga")
    cancelled = await api.post(f"/v1/cases/{case_id}/cancel", {"reason": "moved"}, olga)
    assert cancelled.json["journal"][-1]["detail"] == {"reason": "moved", "by": "oidc:olga"}
    entries = (await api.get("/v1/access-log", both)).json["entries"]
    assert [(entry["actor"], entry["role"], entry["action"]) for entry in entries] == [
        ("oidc:aigerim", "support", "search"), ("oidc:bolat", "support", "view"), ("oidc:olga", "ops", "cancel"),
    ]  # fmt: skip
    assert provider.asked == ["discovery", "keys"]


async def test_without_signing_keys_signed_tokens_get_503_and_other_tokens_are_accepted(
    api: Api, provider: Provider
) -> None:
    provider.status = 500
    response = await api.get("/v1/lists", provider.token())
    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert (await api.get("/v1/lists")).status == 200
    assert (await api.get("/v1/lists", "of-nobody")).status == 401
