"""deploy/ and compose.yaml: what cannot be run here fits its schema, its program, and the configuration it has."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.config import load
from gateway.config.warnings import warnings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
GATEWAYS = ("gw1", "gw2")
SECRET_FOLDER = "/run/secrets/gateway/"


def program(name: str) -> str:
    """The path of a program, or the test is skipped."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    return found


def objects() -> Iterator[dict[str, Any]]:
    """Every Kubernetes object of the manifests."""
    for file in sorted(KUBERNETES.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))


def found(kind: str) -> Any:
    (one,) = [one for one in objects() if one["kind"] == kind]
    return one


# --- compose ------------------------------------------------------------------------------------------------


def substituted(text: object) -> str:
    """The text with the defaults of its variables, as compose reads it."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def test_compose_fits_the_specification() -> None:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


def test_every_file_that_compose_mounts_exists() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) > 5
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("service", GATEWAYS)
def test_the_configuration_of_compose_is_valid_and_meets_its_simulators(service: str) -> None:
    environ = {name: substituted(value) for name, value in COMPOSE["services"][service]["environment"].items()}
    config = load(DEPLOY / "compose" / "config.toml", environ=environ)
    options = dict(
        substituted(option).removeprefix("--").split("=", 1)
        for option in COMPOSE["services"]["simulators"]["command"]
        if option.startswith("--")
    )
    assert config.gateway.node == service
    assert config.mcb.token == config.wallet.token == config.sdu.token == options["token"]
    assert config.links[0].password == options["password"]
    assert options["gateway-token"] in config.http.tokens["wallet"]
    assert list(warnings(config)) == []


def test_all_ports_of_compose_are_bound_to_this_machine() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("script", sorted((DEPLOY / "compose").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_of_compose_are_valid_shell(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


# --- Kubernetes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifest", list(objects()), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_fits_the_schema_of_its_kind(manifest: Mapping[str, Any]) -> None:
    schemas = json.loads((SCHEMAS / "kubernetes-1.33.json").read_text(encoding="utf-8"))
    name = schemas["kinds"][f"{manifest['apiVersion']} {manifest['kind']}"]
    jsonschema.Draft202012Validator({**schemas, "$ref": f"#/$defs/{name}"}).validate(manifest)


def test_a_misspelt_field_of_a_manifest_does_not_fit() -> None:
    broken = {**found("Service"), "specs": {}}
    with pytest.raises(jsonschema.ValidationError, match="specs"):
        test_a_manifest_fits_the_schema_of_its_kind(broken)


def test_the_manifests_have_two_processes_probes_and_one_at_a_time() -> None:
    deployment = found("Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert found("PodDisruptionBudget")["spec"]["minAvailable"] == 1
    selector = found("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert found("Service")["spec"]["selector"] == selector == deployment["spec"]["selector"]["matchLabels"]
    assert set(found("NetworkPolicy")["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_the_configuration_of_the_manifests_has_its_secrets_in_files(tmp_path: Path) -> None:
    text = (KUBERNETES / "config.toml").read_text(encoding="utf-8")
    for name in re.findall(rf'"file:{SECRET_FOLDER}([a-z-]+)"', text):
        value = {"database": "postgresql://a@b/c", "sdu-signing-secret": "whsec_" + "c2VjcmV0" * 4}
        (tmp_path / name).write_text(value.get(name, f"{name}-0123456789")[-8 if "password" in name else 0 :])
    (tmp_path / "config.toml").write_text(text.replace(SECRET_FOLDER, f"{tmp_path}/"))
    config = load(tmp_path / "config.toml", environ={"POD_NAME": "gateway-1"})
    assert (config.gateway.node, config.gateway.database) == ("gateway-1", "postgresql://a@b/c")
    assert not re.search(r'(token|password|secret)s?\s*=\s*"(?!file:)', text)
    page = (ROOT / "docs" / "ops" / "deployment.md").read_text(encoding="utf-8")
    assert all(file.name in page for file in tmp_path.iterdir() if file.name != "config.toml")


def test_kustomize_builds_the_manifests() -> None:
    built = subprocess.run(
        [program("kubectl"), "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=True
    ).stdout
    kinds = [one["kind"] for one in yaml.safe_load_all(built)]
    assert sorted(kinds) == sorted(
        ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
    )


# --- systemd ------------------------------------------------------------------------------------------------


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd" / "gateway.service").read_text(encoding="utf-8")
    (tmp_path / "gateway.service").write_text(unit.replace("/opt/gateway/bin/gateway", sys.executable))
    verified = subprocess.run(
        [program("systemd-analyze"), "verify", str(tmp_path / "gateway.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_waits_for_ready_and_watches_the_process() -> None:
    unit = (DEPLOY / "systemd" / "gateway.service").read_text(encoding="utf-8")
    assert {"Type=notify", "WatchdogSec=30s", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(
        unit.split("\n")
    )
    page = (ROOT / "docs" / "ops" / "deployment.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"LoadCredential=([\w-]+):", unit) if name not in page] == []
