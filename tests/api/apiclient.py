"""A client that checks every response against openapi.json."""

import io
import re
from collections.abc import AsyncIterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import orjson
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gateway.api import ops
from gateway.store.database import Database

DOCUMENT = orjson.loads(Path(ops.OPENAPI).read_bytes())
NDJSON = "application/x-ndjson"
TABLES = ("lists", "list_errors", "progress", "cases", "calls", "journal", "journal_pending", "wallet_events")

_REGISTRY: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(DOCUMENT))
_PATHS = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in DOCUMENT["paths"]]


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [orjson.loads(line) for line in self.body.splitlines()]


class Caller:
    """Sends requests; a response that openapi.json does not describe fails the test."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        data: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        body = io.BytesIO(data) if isinstance(data, bytes) else data  # aiohttp warns of long bytes
        async with self.session.request(method, path, data=body, headers=sent) as response:
            endless = response.content_type == "text/event-stream"
            read = await (response.content.readline() if endless else response.read())
            received = Response(response.status, response.headers, read)
        check(method, path.partition("?")[0], received)
        return received


def check(method: str, path: str, response: Response) -> None:
    """Checks a response against the schema of its path, method and status."""
    content_type = response.headers["Content-Type"].partition(";")[0]
    pointer = _schema_pointer(method, path, response.status, content_type)
    validator = Draft202012Validator(
        {"$ref": f"urn:api#{quote(pointer)}"},
        registry=_REGISTRY,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )
    if "json" in content_type:
        validator.validate(response.lines if content_type == NDJSON else response.json)
    if response.status >= 400:
        assert content_type == "application/problem+json"
        assert response.json["status"] == response.status
        assert response.json["title"] == HTTPStatus(response.status).phrase


def _schema_pointer(method: str, path: str, status: int, content_type: str) -> str:
    """The JSON pointer of the schema of this response."""
    template = next((template for pattern, template in _PATHS if pattern.fullmatch(path)), None)
    operation = DOCUMENT["paths"].get(template, {}).get(method.lower())
    if template is None or operation is None:
        assert status in (404, 405, 400, 431), f"{method} {path} is not in the document and responded {status}"
        return "/components/schemas/Problem"
    assert str(status) in operation["responses"], f"{method} {template} may not respond {status}"
    described = operation["responses"][str(status)]
    at = f"/paths/{_escaped(template)}/{method.lower()}/responses/{status}"
    if "$ref" in described:
        at = described["$ref"].removeprefix("#")
        described = DOCUMENT["components"]["responses"][at.rpartition("/")[2]]
    assert content_type in described["content"], f"{method} {template} {status} may not be {content_type}"
    schema = f"{at}/content/{_escaped(content_type)}/schema"
    return f"{schema}/contentSchema" if content_type == NDJSON else schema


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


class Api:
    """Short calls of the API, and reads of the rows that they leave in the database."""

    def __init__(self, caller: Caller, database: Database) -> None:
        self.call = caller
        self.database = database

    async def push(
        self,
        records: Sequence[Mapping[str, Any] | bytes] | bytes,
        list_id: str = "list-1",
        *,
        query: str = "",
        encoding: str | None = None,
    ) -> Response:
        body = records if isinstance(records, bytes) else ndjson(records)
        headers = {"Content-Type": NDJSON} | ({"Content-Encoding": encoding} if encoding else {})
        return await self.call(
            "PUT", f"/v1/lists/{list_id}{query}", token="sdu-token-of-tests", data=body, headers=headers
        )

    async def get(self, path: str, token: str = "sdu-token-of-tests") -> Response:
        return await self.call("GET", path, token=token)

    async def post(self, path: str, body: object = None, token: str = "ops-token-of-tests") -> Response:
        data = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        return await self.call("POST", path, token=token, data=data, headers=headers)

    async def case_id(self, record_id: str = "r-1", list_id: str = "list-1") -> str:
        found = await self.get(f"/v1/cases?list_id={list_id}&record_id={record_id}")
        return str(found.json["cases"][0]["case_id"])

    async def fetch(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        async with self.database.acquire() as connection:
            return [tuple(row.values()) for row in await connection.fetch(query, *arguments)]

    async def execute(self, query: str, *arguments: object) -> None:
        async with self.database.acquire() as connection:
            await connection.execute(query, *arguments)

    async def rows(self) -> dict[str, int]:
        """The number of rows in each table that a request could fill; empty tables left out."""
        counts = {}
        for table in TABLES:
            (count,) = (await self.fetch(f"SELECT count(*) FROM {table}"))[0]
            if count:
                counts[table] = count
        return counts


def ndjson(records: Sequence[Mapping[str, Any] | bytes]) -> bytes:
    return b"".join(one + b"\n" if isinstance(one, bytes) else orjson.dumps(one) + b"\n" for one in records)
