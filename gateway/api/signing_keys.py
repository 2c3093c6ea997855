"""The public keys with which an identity provider signs: by discovery and JWKS (RFC 7517), kept, seldom fetched.

While the provider is away the kept keys go on being used. No request to it is made for a request to us: only the
first token, a token with an unknown key, or time make one, and never more often than the policy says.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.api.callers import KeysUnavailableError
from gateway.config.policy import OidcPolicy
from gateway.logs.log import Event, get_logger

log = get_logger()

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class InvalidDocumentError(Exception):
    """A document of the provider is not what it should be. The message is a word for the log."""


class SigningKey(NamedTuple):
    """A public key, and the algorithms that it is for: asymmetric ones only."""

    key: Any
    algorithms: frozenset[str]


class SigningKeys:
    """The keys of one issuer by kid ("" for one without)."""

    def __init__(self, issuer: str, policy: OidcPolicy, now: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._policy = policy
        self._now = now
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_at = float("-inf")
        self._next_at = float("-inf")  # not fetched before
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, kid: object) -> SigningKey | None:
        """The key; None when the provider has none of that kid. Raises KeysUnavailableError."""
        if not isinstance(kid, str):
            return None
        if kid not in self._keys:
            if (fetching := self._fetch_if_due()) is not None:
                await asyncio.shield(fetching)  # a request that ends does not end it for the others
            if not self._keys:
                raise KeysUnavailableError
        elif self._now() - self._fetched_at >= self._policy.max_age_seconds:
            self._fetch_if_due()
        return self._keys.get(kid)

    async def close(self) -> None:
        """Ends a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fetch_if_due(self) -> "asyncio.Task[None] | None":
        """The fetch under way, which begins now where it may."""
        if self._fetching is None and self._now() >= self._next_at:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        policy = self._policy
        try:
            keys = await _fetched(self._issuer, policy)
            self._keys, self._fetched_at = keys, self._now()
            log.info(Event.OIDC_KEYS_FETCHED, keys=len(keys))
        except (aiohttp.ClientError, OSError, TimeoutError, InvalidDocumentError) as error:
            reason = str(error) if isinstance(error, InvalidDocumentError) else type(error).__name__
            log.warning(Event.OIDC_KEYS_UNAVAILABLE, reason=reason, keys=len(self._keys))
        finally:
            self._next_at = self._now() + (policy.refresh_seconds if self._keys else policy.retry_seconds)
            self._fetching = None


async def _fetched(issuer: str, policy: OidcPolicy) -> dict[str, SigningKey]:
    timeout = aiohttp.ClientTimeout(total=policy.fetch_timeout_seconds)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        about = await _document(session, issuer.rstrip("/") + _DISCOVERY, policy.max_document_bytes)
        if about.get("issuer") != issuer:
            raise InvalidDocumentError("another issuer")
        address = about.get("jwks_uri")
        if not isinstance(address, str) or not _is_allowed(address, issuer):
            raise InvalidDocumentError("no jwks_uri by https")
        keys = _keys(await _document(session, address, policy.max_document_bytes))
    if not keys:
        raise InvalidDocumentError("no usable key")
    return keys


async def _document(session: aiohttp.ClientSession, address: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object at the address; a redirect is none."""
    async with session.get(address, allow_redirects=False) as response:
        if response.status != 200:
            raise InvalidDocumentError(f"status {response.status}")
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > max_bytes:
                raise InvalidDocumentError("too long")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise InvalidDocumentError("not JSON") from None
    if not isinstance(document, dict):
        raise InvalidDocumentError("not an object")
    return document


def _is_allowed(address: str, issuer: str) -> bool:
    """Whether the address is one by https; by http only where the issuer is, too: on this host."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        return False
    return scheme == "https" or (scheme == "http" and issuer.startswith("http://"))


def _keys(document: Mapping[str, Any]) -> dict[str, SigningKey]:
    """The usable keys by kid; others, such as those for encryption, are left out."""
    given = document.get("keys")
    found: dict[str, SigningKey] = {}
    for one in given[:_MAX_KEYS] if isinstance(given, list) else []:
        if isinstance(one, dict) and isinstance(kid := one.get("kid", ""), str) and (key := _key(one)) is not None:
            found.setdefault(kid, key)
    return found


def _key(jwk: Mapping[str, Any]) -> SigningKey | None:
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        key = jwt.PyJWK.from_dict({name: value for name, value in jwk.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithms = _algorithms(key)
    if "alg" in jwk:
        algorithms &= {jwk["alg"]} if isinstance(jwk["alg"], str) else set()
    return SigningKey(key, algorithms) if algorithms else None


def _algorithms(key: object) -> frozenset[str]:
    match key:
        case RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return _RSA
        case EllipticCurvePublicKey() if key.curve.name in _OF_CURVE:
            return frozenset((_OF_CURVE[key.curve.name],))
        case Ed25519PublicKey():
            return frozenset(("EdDSA",))
        case _:
            return frozenset()
