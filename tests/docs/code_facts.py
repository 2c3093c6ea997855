"""The log events, metrics and configuration keys of the code, to be compared with their reference pages."""

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from prometheus_client.metrics import MetricWrapperBase

from gateway import metrics
from gateway.api.ops import database_metrics
from gateway.clock import Clock
from gateway.config import load
from gateway.config.callers import read_users
from gateway.config.table import Source, Table
from gateway.logs.log import Event
from gateway.store.queues import Queue, SmsQueue, Waiting

ROOT = Path(__file__).parents[2]

# --- log events ---------------------------------------------------------------------------------------------

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical"}
_LEVEL_OF = {**_LEVELS, "exception": "error"}


@dataclass(slots=True)
class Logged:
    """Levels and fields of an event by its calls; `dynamic` when a call does not name all of them."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    dynamic: bool = False


def logged_events() -> Mapping[str, Logged]:
    """Every event that some code of gateway/ logs, by its name."""
    found: defaultdict[str, Logged] = defaultdict(Logged)
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (event := _event_of(node)) is not None:
                logged, level = found[event], _level_of(node)
                logged.levels |= {level} if level else set()
                names = {keyword.arg for keyword in node.keywords}
                logged.fields |= {name for name in names if name not in (None, "exc_info")}
                if level == "error" and isinstance(node.func, ast.Attribute) and node.func.attr == "exception":
                    names.add("exc_info")
                logged.fields |= {"exception"} if "exc_info" in names else set()
                logged.dynamic |= None in names or level is None
    return found


def _event_of(call: ast.Call) -> str | None:
    for argument in call.args[:2]:
        if isinstance(argument, ast.Attribute) and argument.attr in Event.__members__:
            owner = ast.unparse(argument.value)
            if owner in ("Event", "LogEvent", "log.Event"):
                return Event[argument.attr].value
    return None


def _level_of(call: ast.Call) -> str | None:
    return _LEVEL_OF.get(call.func.attr) if isinstance(call.func, ast.Attribute) else None


# --- metrics ------------------------------------------------------------------------------------------------


class Metric(NamedTuple):
    """A metric as `GET /metrics` shows it; of a counter the name is without `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]


def metrics_shown() -> list[Metric]:
    """Every metric of the process and of the database."""
    collectors = [c for c in vars(metrics).values() if isinstance(c, MetricWrapperBase)]
    shown = [Metric(c._name, c._type or "", tuple(c._labelnames)) for c in collectors]
    registered = {family.name: Metric(family.name, family.type, ()) for family in metrics.REGISTRY.collect()}
    of_process = [metric for name, metric in registered.items() if name.startswith("process_")]
    shown += of_process
    assert {metric.name for metric in shown} == registered.keys(), "one is no name of gateway/metrics.py"
    now = datetime(2026, 11, 23, tzinfo=UTC)
    waiting = Waiting(
        queues=[Queue("journal", 1, now)],
        sms=[SmsQueue("kcell", 1, 1, now)],
        cases=[("3", "asked", 1)],
        held=[("tele2", 1)],
    )
    of_database = database_metrics(waiting, Clock(now, wall=lambda: now)).collect()
    return shown + [Metric(one.name, one.type, tuple(one.samples[0].labels)) for one in of_database]


# --- configuration ------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A key of config.toml, as the code reads it."""

    name: str
    type: str
    default: object
    limits: tuple[str, ...]
    """What its page has to name: least and most, choices, or the words of an error message."""


_TYPES = {
    "text": "string",
    "texts": "array of strings",
    "secret": "secret",
    "secrets": "secret or array of secrets",
    "whole": "integer",
    "wholes": "array of integers",
    "number": "number",
    "flag": "boolean",
    "choice": "string",
    "duration": "duration",
    "path": "path",
    "file": "path",
    "url": "URL",
    "table": "table",
}


def configuration_keys() -> list[Key]:
    """Every key that reading config.toml reads; those of a table that is named freely under a placeholder."""
    reads: dict[str, Key] = {}
    with ExitStack() as patches:
        for method in _TYPES:
            original = getattr(Table, method)
            patches.enter_context(patch.object(Table, method, _recording(original, reads)))
        load(ROOT / "config.toml", environ={}, secrets=False)
        read_users(Table({"users": {"NAME": {}}}, "http", Source(directory=ROOT, environ={}, secrets=False)))
    return [key for key in reads.values() if not any(other.startswith(f"{key.name}.") for other in reads)]


def _recording(original: Callable[..., Any], reads: dict[str, Key]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def read(table: Table, *arguments: Any, **named: Any) -> Any:
        bound = signature.bind(table, *arguments, **named)
        bound.apply_defaults()
        given = bound.arguments
        name = re.sub(r"^services\.3\b", "services.CODE", table.full_key(given["name"]))
        name = re.sub(r"^links\.kcell\b", "links", name)
        limits = [_shown(given[limit]) for limit in ("least", "most") if limit in given]
        limits += [str(choice) for choice in given.get("choices", ())]
        if given.get("must") not in (None, "not be empty"):
            limits.append(given["must"].removeprefix("be "))
        # `path` reads by `text`: the outer call says what the key is.
        reads.setdefault(name, Key(name, _TYPES[original.__name__], given.get("default"), tuple(limits)))
        return original(table, *arguments, **named)

    return read


def _shown(limit: object) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
