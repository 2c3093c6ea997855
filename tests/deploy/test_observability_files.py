"""Alert rules, dashboard and runbook: every metric and label exists, every alert has its entry."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.api.alerts import Code
from gateway.cli import main
from gateway.logs.fields import Fields
from gateway.logs.log import Event
from tests.docs.code_facts import metrics_shown

ROOT = Path(__file__).parents[2]
ALERTS_FILE = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ALERTS = [
    rule for group in yaml.safe_load(ALERTS_FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "gateway.json").read_text(encoding="utf-8"))
RUNBOOK = (ROOT / "docs" / "ops" / "runbook.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^## (\w+)\n((?:(?!^##? ).*\n)+)", RUNBOOK, re.MULTILINE))

OF_PROMETHEUS = {"job", "instance", "le", "alertstate"}
"""Labels that Prometheus adds."""
SAMPLES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",), "info": ("_info",)}
LABELS = {
    f"{metric.name}{ending}": set(metric.labels) for metric in metrics_shown() for ending in SAMPLES[metric.type]
} | {"up": set(), "ALERTS": set()}


def expressions() -> Iterator[str]:
    """Every PromQL expression of the rules and the dashboard."""
    yield from (rule["expr"] for rule in ALERTS)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", []))
    yield from (annotation["expr"] for annotation in DASHBOARD["annotations"]["list"])
    yield from re.findall(r"label_values\((.+)\)", json.dumps(DASHBOARD["templating"]))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    named = set(re.findall(r"\b((?:gateway|process)_\w+|up|ALERTS)\b(?!\s*\()", bare))
    assert named
    assert named <= LABELS.keys()
    known = set().union(*(LABELS[name] for name in named)) | OF_PROMETHEUS
    labels = set(re.findall(r"(\w+)\s*=~?\s*\"\"", bare))
    labels |= set(re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", bare))))
    assert labels <= known


def test_an_alert_expression_with_an_unknown_metric_or_label_is_found() -> None:
    with pytest.raises(AssertionError):
        test_every_metric_and_label_of_an_expression_exists("sum by (link) (gateway_sessions_lost)")
    with pytest.raises(AssertionError):
        test_every_metric_and_label_of_an_expression_exists('gateway_sessions_bound{lnk="kcell"}')


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_a_summary_and_its_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / file).exists()
    assert anchor in ENTRIES
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_every_code_of_the_overview_has_its_entry_and_no_entry_is_without_an_alert() -> None:
    anchors = {rule["annotations"]["runbook"].partition("#")[2] for rule in ALERTS}
    assert ENTRIES.keys() == {*map(str, Code), *anchors}


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_runbook_entry_has_means_notice_do_and_look_at(entry: str) -> None:
    assert re.findall(r"^- \*\*(.+?)\*\*", ENTRIES[entry], re.MULTILINE) == ["Means", "Notice", "Do", "Look at"]


def test_every_log_event_that_the_runbook_names_is_one() -> None:
    looked_at = " ".join(re.findall(r"\*\*Look at\*\*: ((?:.+\n(?:  .+\n)*))", RUNBOOK))
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", looked_at))
    metrics = {re.sub(r"(_total|_bucket|_sum|_count)$", "", name) for name in LABELS}
    named = {name for name in named if re.sub("_total$", "", name) not in metrics}
    assert named - set(Event) - set(Fields.__annotations__) == set()


def test_every_command_that_the_runbook_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"`gateway ([a-z-]+)", RUNBOOK))
    assert len(commands) > 8
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = set(re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert commands <= shown


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "deploy/prometheus/alerts.yaml"),
        ("check", "config", "deploy/prometheus/prometheus.yaml"),
        ("test", "rules", "tests/deploy/alerts_test.yaml"),
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[1]}",
)
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    checked = subprocess.run(["promtool", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_has_unique_panels_that_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) == 23
