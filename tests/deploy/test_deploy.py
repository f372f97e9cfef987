"""The deployment files: valid for their programs, and every setting and metric in them exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT
from prometheus_client import generate_latest

from app.api.metrics import Metrics
from app.settings import PREFIX, Settings, load_settings

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = DEPLOY / "compose" / "compose.yml"
KUBERNETES = "1.33"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in documents(path):
            if "template" in document.get("spec", {}):
                yield f"{path.name} {document['kind']}", document["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(path):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize(("name", "pod"), [*pods()], ids=lambda value: str(value)[:30])
def test_pods_run_as_nobody_and_write_only_where_they_must(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] and pod["enableServiceLinks"] is False
    [container] = pod["containers"]
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] and own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def settings_of(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name.startswith(PREFIX)}


def kubernetes_settings() -> dict[str, str]:
    of_kind = {document["kind"]: document for document in documents(MANIFESTS[-1])}
    [container] = of_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
    secrets = {one["name"]: "postgresql://crossray@host/crossray" for one in container["env"]}
    return settings_of(of_kind["ConfigMap"]["data"] | secrets)


def compose_settings() -> dict[str, str]:
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "compose" / ".env.example").read_text().splitlines()
        if not line.startswith("#")
    )
    text = re.sub(r"\$\{(\w+):\?\}", lambda found: example[found[1]], COMPOSE.read_text("utf-8"))
    environment: dict[str, str] = yaml.safe_load(text)["services"]["crossray"]["environment"]
    return settings_of(environment)


@pytest.mark.parametrize("given", [kubernetes_settings, compose_settings])
def test_every_setting_exists_and_is_taken(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = given() | {"CROSSRAY_HOST": "0.0.0.0"}  # as the image sets it
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.accounts == "oidc" and settings.store is not None and settings.workers == 2
    assert settings.max_uploads * settings.max_request_bytes < 1600 * 2**20


def test_pods_are_given_the_time_that_the_service_takes_to_stop() -> None:
    [deployment] = [d for d in documents(MANIFESTS[-1]) if d["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] == pause + Settings().stop_seconds + 10


def test_compose_names_only_what_is_there() -> None:
    compose = yaml.safe_load(COMPOSE.read_text("utf-8"))
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        assert set(service["networks"]) <= set(compose["networks"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source.startswith("./")
    assert (COMPOSE.parent / "Caddyfile").is_file()
    assert (COMPOSE.parent / compose["services"]["crossray"]["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize("path", [COMPOSE, ROOT / "docker-compose.yml"], ids=lambda p: p.name)
def test_docker_compose_takes_it(path: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker-compose here")
    example = COMPOSE.parent / ".env.example"
    command = ["docker-compose", "--env-file", str(example), "-f", str(path), "config", "-q"]
    subprocess.run(command, check=True)


def test_every_metric_of_the_dashboard_is_one_of_the_service() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "crossray.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"crossray_\w+", expression)}
    metrics = Metrics()
    metrics.requests.labels("POST", "/v1/reports", "201").inc()
    metrics.job_studies.labels("done").inc()
    shown = generate_latest(metrics.registry).decode()
    families = re.findall(r"^# TYPE (\w+) (\w+)$", shown, re.MULTILINE)
    known = set()
    for family, kind in families:
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        known |= {family + ending for ending in endings}
    assert len(names) > 10 and names <= known
    made = {family for family, _ in families if not family.endswith("_created")}
    shown_families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert made <= shown_families, "a metric that no panel shows"
