"""`gateway tail`: the record behind every prefix, the filters, and nothing unprintable."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.cli.log_lines import MAX_LINE_BYTES, as_json, lines, printable, read_line
from gateway.cli.tail import shown as shown_of

ROOT = Path(__file__).parents[2]
RECORD = {"at": "2026-11-22T10:15:03.512+00:00", "level": "info", "event": "link_bound", "link": "kcell"}
TEXT = json.dumps(RECORD)
LINES = """\
{"at":"2026-11-22T10:15:03.512+00:00","level":"info","event":"link_bound","link":"kcell","bound":1}
not a line of the log
{"at":"2026-11-22T10:15:04.000+00:00","level":"error","event":"task_failed","exception":\
{"error":"ValueError: a","frames":["x.py:1 f"],"cause":{"error":"KeyError: 'b'","frames":[]}}}
{"at":"2026-11-22T10:15:05.000+00:00","level":"warning","event":"case_parked","case_id":"01C","reason":"a [b]"}
"""
BOUND, OTHER, FAILED, PARKED = (
    "10:15:03.512 info     link_bound link=kcell bound=1",
    "not a line of the log",
    "10:15:04.000 error    task_failed",
    "10:15:05.000 warning  case_parked case_id=01C reason=a [b]",
)
RAISED = ["    raised ValueError: a", "      x.py:1 f", "    because of KeyError: 'b'"]


@pytest.fixture
def tailed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(octets: bytes, *options: str) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))
        assert main(["tail", *options]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_a_line_has_time_level_event_and_fields_and_an_exception_its_frames_and_cause(tailed: Any) -> None:
    assert tailed(LINES.encode()) == [BOUND, OTHER, FAILED, *RAISED, PARKED]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--level", "warning"], [OTHER, FAILED, *RAISED, PARKED]),
        (["--event", "link_bound"], [BOUND]),
        (["--event", "case_*", "--event", "link_*"], [BOUND, PARKED]),
        (["--case", "01C"], [PARKED]),
        (["--link", "kcell"], [BOUND]),
        (["--link", "kcell", "--level", "error"], []),
        (["--grep", r"a \[b\]|a line"], [OTHER, PARKED]),
    ],
)
def test_tail_shows_lines_that_match_all_of_its_filters(tailed: Any, options: list[str], shown: list[str]) -> None:
    assert tailed(LINES.encode(), *options) == shown


@pytest.mark.parametrize(
    ("line", "label"),
    [
        (TEXT, ""),
        (f"Nov 22 10:15:03 host gateway[4711]: {TEXT}", ""),
        (f"2026-11-22T10:15:03.512345+05:00 host gateway[4711]: {TEXT}", ""),
        (json.dumps({"MESSAGE": TEXT, "PRIORITY": "6", "_HOSTNAME": "host"}), ""),
        (json.dumps({"MESSAGE": list(TEXT.encode()), "_HOSTNAME": "host"}), ""),
        (f"2026-11-22T10:15:03.512345678Z {TEXT}", ""),
        (json.dumps({"log": f"{TEXT}\n", "stream": "stdout", "time": "2026-11-22T10:15:03.5Z"}), ""),
        (f"gateway-1  | {TEXT}", "gateway-1"),
        (f"\x1b[36mgateway-1  |\x1b[0m {TEXT}", "gateway-1"),
        (f"[pod/gateway-7d9c/gateway] {TEXT}", "pod/gateway-7d9c/gateway"),
        (f"2026-11-22T10:15:03.512345678+05:00 stdout F {TEXT}", ""),
        (f"host gateway{{a}}: {TEXT}", ""),
        (json.dumps({"MESSAGE": json.dumps({"log": TEXT})}), ""),
    ],
    ids=[
        "cat", "short", "short-iso", "journald-json", "journald-octets", "docker-logs", "docker-file", "compose",
        "compose-coloured", "kubectl", "cri", "brace-in-the-prefix", "wrapped-twice",
    ],
)  # fmt: skip
def test_the_record_behind_every_prefix_is_found(line: str, label: str) -> None:
    found = read_line(f"{line}\n")
    assert (found.record, found.label) == (RECORD, label)


def test_tail_with_json_prints_only_the_json_objects(tailed: Any) -> None:
    octets = f"gateway-1  | {TEXT}\nnot a line of the log\n[pod/a/b] {TEXT}\n".encode()
    assert [json.loads(line) for line in tailed(octets, "--json")] == [RECORD, RECORD]


HOSTILE = (
    '{"event":"\\u001b[2J","level":"\\u0007","at":"\\u009b31m..........","a\\u202eb":["\\u0000"]}',
    '{"event":"x","exception":{"error":"\\u001b]0;title\\u0007","frames":["\\r\\n",7],"cause":{"frames":3}}}',
    '{"event":["x"],"level":["error"],"exception":"text"}',
    '{"log":"\\u001b[2J\\n"}',
    '{"MESSAGE":[300,-1]}',
    '{"MESSAGE":null}',
    "gateway-1 | \x1b[2J\x9b\u202e\ufeff",
    '{"event":"x","a":' + "[" * 300 + "]" * 300 + "}",
    '{"event":"x","exception":' + '{"cause":' * 500 + "{}" + "}" * 500 + "}",
)


@pytest.mark.parametrize("line", HOSTILE)
def test_tail_shows_hostile_lines_in_printable_characters(tailed: Any, line: str) -> None:
    shown = tailed(line.encode())
    assert shown
    assert all(one.isprintable() for one in shown)


strings = st.text(max_size=20) | st.sampled_from(
    ["\x1b[2J", "\x00", "\u202e", "\x9b", "\r", "\u2028", "\U000e0001"]
)
values = st.recursive(
    strings | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)
wrappings = st.sampled_from(["{}", "gateway-1  | {}", "[pod/x/y] {}", "Nov 22 host gateway[1]: {}"])


@given(fields=st.dictionaries(strings, values, max_size=4), event=values, exception=values, wrapping=wrappings)
def test_whatever_a_record_holds_only_printable_characters_and_line_feeds_of_its_form_leave(
    fields: dict[str, Any], event: Any, exception: Any, wrapping: str
) -> None:
    text = json.dumps({**fields, "event": event, "exception": exception})
    line = read_line(wrapping.replace("{}", text))
    assert all(one.isprintable() for one in shown_of(line).plain.split("\n"))
    if line.record is not None:
        passed = as_json(line.record)
        assert passed is not None
        assert passed.isprintable()
        assert json.loads(passed) == json.loads(json.dumps(line.record))


@given(octets=st.binary(max_size=200))
def test_whatever_octets_come_only_printable_characters_leave(octets: bytes) -> None:
    for line in lines(io.BytesIO(octets)):
        assert shown_of(line).plain.isprintable()


def test_a_line_without_end_is_cut_and_the_next_one_is_read() -> None:
    endless = b"x" * ((1 << 21) + 5) + b"\n" + TEXT.encode()
    first, second = lines(io.BytesIO(endless))
    assert len(printable(first.text)) <= 8_000
    assert second.record == RECORD


def test_each_line_leaves_a_pipe_before_the_next_one_comes() -> None:
    command = [sys.executable, "-P", "-m", "gateway", "tail", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as tail:
        assert tail.stdin is not None
        assert tail.stdout is not None
        for _ in range(2):
            tail.stdin.write(f"gateway-1  | {TEXT}\n".encode())
            tail.stdin.flush()
            assert json.loads(tail.stdout.readline()) == RECORD
        tail.stdin.close()
        assert tail.wait(60) == 0


def test_a_regular_expression_that_is_none_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["tail", "--grep", "("])
    assert stopped.value.code == 2
    assert "is no regular expression" in capsys.readouterr().err


def in_parts(octets: bytes, stream: bytes = b"stdout", size: int = 7) -> list[bytes]:
    """The line as the runtime of Kubernetes writes it: cut anywhere, each part with the flag P but the last."""
    parts = [octets[at : at + size] for at in range(0, len(octets), size)]
    flags = [b"P"] * (len(parts) - 1) + [b"F"]
    at = b"2026-11-22T10:15:03.512345678Z"
    return [b" ".join((at, stream, flag, part)) + b"\n" for flag, part in zip(flags, parts, strict=True)]


def test_a_line_that_kubernetes_has_cut_is_joined() -> None:
    record = {**RECORD, "link": "қызмет"}
    octets = json.dumps(record, ensure_ascii=False).encode()
    both = zip(in_parts(octets), in_parts(octets, b"stderr"), strict=True)  # the streams come mixed
    file = io.BytesIO(b"".join(part for parts in both for part in parts) + LINES.encode())
    assert [line.record for line in lines(file)][:3] == [record, record, json.loads(LINES.splitlines()[0])]


def test_a_cut_line_without_its_last_part_is_shown_as_it_is() -> None:
    (line,) = lines(io.BytesIO(b"".join(in_parts(TEXT.encode())[:-1])))
    assert line.record is None
    assert line.text.endswith(TEXT[: len(TEXT) // 7 * 7])


def test_of_a_cut_line_without_end_the_beginning_is_kept() -> None:
    part = b"2026-11-22T10:15:03.5Z stdout P " + b"x" * 500_000 + b"\n"
    (line,) = lines(io.BytesIO(part * 8))
    assert len(line.text) == MAX_LINE_BYTES
