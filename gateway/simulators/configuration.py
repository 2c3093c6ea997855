"""`config.toml` for a gateway whose partners are simulated: of demo, simulators, benches, chaos runs and tests."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_SERVICES = {"3": {"name": "school-meals", "link": "https://egovmobile.page.link/socwallet"}}
_LINK = {"host": "127.0.0.1", "system_id": "gateway", "source": "1414"}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def config_toml(*, links: Sequence[Mapping[str, Any]], **tables: Mapping[str, Any]) -> str:
    """The text of a `config.toml` with these tables and links.

    The service is school meals unless `services` names others. A link is to localhost, binds as `gateway` and
    sends from 1414 unless it says otherwise.
    """
    named = [(f"[{name}]", table) for name, table in {"services": _SERVICES, **tables}.items()]
    named += [("[[links]]", {**_LINK, **link}) for link in links]
    return "".join(f"{header}\n{_lines(table)}" for header, table in named)


def partner_tables(urls: Mapping[str, str], *, token: str, secret: str) -> dict[str, dict[str, Any]]:
    """The tables of MCB, wallet and SDU at these URLs; the gateway presents `token` to all of them."""
    tables: dict[str, dict[str, Any]] = {
        name: {"url": urls[name], "token": token} for name in ("mcb", "wallet", "sdu")
    }
    tables["sdu"]["signing_secret"] = secret
    return tables


def caller_tokens(token: str) -> dict[str, str]:
    """`http.tokens`: callers present `token` with the suffix -sdu, -wallet or -ops."""
    return {role: f"{token}-{role}" for role in ("sdu", "wallet", "ops")}


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in table.items())


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name)


def _value(value: object) -> str:
    """The TOML of a scalar, an array of scalars or a table of these: but for the table it is JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
