"""Log lines: their form, bound context variables, and masking."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import structlog

from gateway import __version__
from gateway.clock import wall_now
from gateway.logs.fields import peer
from gateway.logs.log import Event, capture_interpreter_warnings, configure, get_logger


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """A log at `info` in memory; the fixture restores logging afterwards."""
    handlers, level, settings = logging.root.handlers, logging.root.level, structlog.get_config()
    stream = io.BytesIO()
    configure("info", stream)
    yield stream
    configure("info", None)
    structlog.configure(**settings)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_log_line_is_a_json_object_that_begins_with_at_level_event_and_whose_it_is(stream: io.BytesIO) -> None:
    configure("info", stream, node="gw1")
    get_logger().info(Event.STARTED, port=8080)
    (line,) = lines(stream)
    assert list(line) == ["at", "level", "event", "node", "version", "port"]
    assert (line.pop("node"), line.pop("version")) == ("gw1", __version__)
    assert abs(datetime.fromisoformat(line.pop("at")) - wall_now()) < timedelta(minutes=1)
    assert line == {"level": "info", "event": "started", "port": 8080}


def test_bound_context_variables_are_in_every_log_line(stream: io.BytesIO) -> None:
    with structlog.contextvars.bound_contextvars(case_id="01KAN00000000000000000000A", link="kcell"):
        get_logger().warning(Event.STARTED)
    get_logger().info(Event.STOPPED)
    bound, plain = lines(stream)
    assert (bound["level"], bound["case_id"], bound["link"]) == (
        "warning",
        "01KAN00000000000000000000A",
        "kcell",
    )
    assert "case_id" not in plain


def test_log_lines_below_the_level_are_not_written(stream: io.BytesIO) -> None:
    get_logger().debug(Event.STARTED)
    assert not stream.getvalue()


def test_personal_data_passed_to_the_log_is_masked(stream: io.BytesIO) -> None:
    with structlog.contextvars.bound_contextvars(iin="870312497005"):
        structlog.get_logger().info(
            Event.STARTED, number="+77011234567", surname="Akhmetova", nested=[{"password": "x"}]
        )
    (line,) = lines(stream)
    assert line["iin"] == "8703••••••05"
    assert line["number"] == "+7701•••••67"
    assert line["surname"] == "•••"
    assert line["nested"] == [{"password": "•••"}]


def test_an_exception_is_logged_with_its_cause_and_without_personal_data(stream: io.BytesIO) -> None:
    try:
        try:
            raise KeyError("Ахметова")
        except KeyError as error:
            raise ValueError("number 77011234567") from error
    except ValueError:
        get_logger().exception(Event.FAILED)
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["exception"]["error"] == "ValueError: number +7701•••••67"
    assert line["exception"]["cause"]["error"] == "KeyError: '•••'"
    assert "test_log.py" in line["exception"]["frames"][0]


def test_each_exception_of_a_group_is_logged(stream: io.BytesIO) -> None:
    group = ExceptionGroup("two", [ValueError("a"), TypeError("87011234567")])
    get_logger().error(Event.FAILED, exc_info=group)
    (line,) = lines(stream)
    assert [inner["error"] for inner in line["exception"]["errors"]] == [
        "ValueError: a",
        "TypeError: +7701•••••67",
    ]


def test_a_cycle_of_exception_causes_is_logged(stream: io.BytesIO) -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    get_logger().error(Event.FAILED, exc_info=first)
    assert lines(stream)[0]["exception"]["cause"]["error"] == "ValueError: b"


def test_log_records_of_libraries_are_logged_and_masked(stream: io.BytesIO) -> None:
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "+7 701 123 45 67")
    logging.getLogger("apscheduler").info("Running job")
    (line,) = lines(stream)
    del line["at"], line["node"], line["version"]
    assert line == {
        "level": "error",
        "event": "library",
        "library": "aiohttp.server",
        "message": "Error handling request from +7701•••••67",
    }


def test_the_traceback_of_a_library_is_masked(stream: io.BytesIO) -> None:
    try:
        raise ValueError("870312497005")
    except ValueError:
        logging.getLogger("asyncio").exception("unhandled")
    assert lines(stream)[0]["exception"]["error"] == "ValueError: 8703••••••05"


def test_an_invalid_log_record_of_a_library_is_logged(stream: io.BytesIO) -> None:
    (handler, *_) = logging.root.handlers
    for level, message in ((logging.WARNING, "%d of %d"), (35, "an unusual level")):
        handler.handle(logging.LogRecord("library", level, __file__, 1, message, ("one", 2), None))
    assert [line["message"] for line in lines(stream)] == ["%d of %d", "an unusual level"]


def test_a_database_error_is_logged_with_table_and_constraint_and_no_row(stream: io.BytesIO) -> None:
    error = asyncpg.CheckViolationError.new(
        {
            "S": "ERROR",
            "C": "23514",
            "M": 'new row for relation "cases" violates check constraint "nobody"',
            "D": 'Failing row contains (1, {"surname": "Akhmet...).',
            "t": "cases",
            "n": "nobody",
        }
    )
    get_logger().error(Event.FAILED, exc_info=error)
    assert lines(stream)[0]["exception"] == {
        "error": 'CheckViolationError: new row for relation "•••"',
        "frames": [],
        "sqlstate": "23514",
        "table": "cases",
        "constraint": "nobody",
    }


def test_warnings_and_unraisable_exceptions_are_logged_and_masked(
    stream: io.BytesIO, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Careless:
        def __del__(self) -> None:
            raise ValueError("no such person: 'Akhmetova'")

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        capture_interpreter_warnings()
        Careless()
        warnings.warn("no such number: '7 (701) 1234567'", stacklevel=1)
        logging.captureWarnings(False)
    unraisable, warning = lines(stream)
    assert unraisable["exception"]["error"] == "ValueError: no such person: '•••'"
    assert (unraisable["library"], warning["library"]) == ("python", "py.warnings")
    assert warning["message"].endswith("UserWarning: no such number: '•••'")
    assert capfd.readouterr() == ("", "")


def test_values_without_a_json_form_are_logged(stream: io.BytesIO) -> None:
    structlog.get_logger().info(
        Event.STARTED, surrogate="\ud800", huge=1 << 80, none=float("nan"), thing=object(), keys={1: 2}
    )
    (line,) = lines(stream)
    assert (line["surrogate"], line["none"], line["thing"], line["keys"]) == ("?", None, "<object>", {"1": 2})


def test_the_log_is_written_to_standard_output_by_default(
    capsysbinary: pytest.CaptureFixture[bytes], stream: io.BytesIO
) -> None:
    configure("info")
    get_logger().info(Event.STARTED)
    assert json.loads(capsysbinary.readouterr().out)["event"] == "started"
    assert not stream.getvalue()


def test_a_logger_created_before_configure_follows_it() -> None:
    log, settings = get_logger(), structlog.get_config()
    stream = io.BytesIO()
    configure("debug", stream)
    log.debug(Event.STARTED)
    assert lines(stream)[0]["level"] == "debug"
    configure("info", None)
    structlog.configure(**settings)


def test_a_closed_log_stream_raises_nothing(stream: io.BytesIO) -> None:
    stream.close()
    get_logger().info(Event.STARTED)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("smsc.example", 2775), "smsc.example:2775"),
        (("192.0.2.7", 49152), "192.0.2.7:49152"),
        (("2001:db8::7", 2775, 0, 0), "[2001:db8::7]:2775"),
        ("/run/a.socket", ""),
        (None, ""),
    ],
)
def test_the_other_end_of_a_connection_is_shown_as_host_and_port(address: object, shown: str) -> None:
    assert peer(address) == shown
