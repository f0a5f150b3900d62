"""The manifest fits the server: its probes ask routes that there are, its times add up, its parts find one another."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import mlserve
from mlserve.cli import _parser
from mlserve.config.load import parse_config
from mlserve.config.schema import Config
from tests.support.configmap import ConfigMapVolume
from tests.support.daemon import running
from tests.support.stopping import longest_stop_s

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "kubernetes.yaml").read_text()
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
OBJECTS: dict[str, dict[str, Any]] = {one["kind"]: one for one in yaml.safe_load_all(TEXT)}
SPEC: dict[str, Any] = OBJECTS["Deployment"]["spec"]
POD: dict[str, Any] = SPEC["template"]["spec"]
(CONTAINER,) = POD["containers"]
CONFIG_TEXT: str = OBJECTS["ConfigMap"]["data"]["config.yaml"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG_TEXT, place="/config/config.yaml", environ={}).config


def step(instruction: str) -> str:
    """What the last such instruction of the Dockerfile says."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)[-1]


def mounted(volume: str) -> dict[str, Any]:
    (mount,) = (mount for mount in CONTAINER["volumeMounts"] if mount["name"] == volume)
    return mount


class TestTimes:
    def test_the_grace_period_is_longer_than_the_longest_stop(self, config: Config) -> None:
        """SIGKILL in the middle of a drain cuts answers short."""
        assert POD["terminationGracePeriodSeconds"] >= longest_stop_s(config.endpoint)

    def test_a_pod_that_goes_serves_until_its_probe_has_told(self, config: Config) -> None:
        """Load balancers that send to pods directly learn from the probe; until then requests still come."""
        probe = CONTAINER["readinessProbe"]
        told_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
        assert config.endpoint.shutdown_wait_ms.total_seconds() >= told_s

    @pytest.mark.parametrize("name", PROBES)
    def test_a_probe_ends_before_the_next_begins(self, name: str) -> None:
        assert CONTAINER[name]["timeoutSeconds"] <= CONTAINER[name]["periodSeconds"]


class TestNames:
    """A selector or a port that names nothing is accepted, and nothing answers."""

    def test_selectors_find_the_pods(self) -> None:
        labels = SPEC["template"]["metadata"]["labels"]
        (spread,) = POD["topologySpreadConstraints"]
        budget = OBJECTS["PodDisruptionBudget"]["spec"]["selector"]
        for selector in (SPEC["selector"], spread["labelSelector"], budget):
            assert selector["matchLabels"] == labels
        assert OBJECTS["Service"]["spec"]["selector"] == labels

    def test_the_port_is_the_one_that_the_configuration_opens(self, config: Config) -> None:
        (port,) = CONTAINER["ports"]
        assert port["containerPort"] == config.endpoint.port == int(step("EXPOSE"))
        assert config.endpoint.host == "0.0.0.0"
        assert OBJECTS["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
        assert {CONTAINER[name]["httpGet"]["port"] for name in PROBES} == {port["name"]}
        annotations = SPEC["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(port["containerPort"])

    def test_volumes_are_mounted_where_the_command_looks(self) -> None:
        assert {volume["name"] for volume in POD["volumes"]} == {mount["name"] for mount in CONTAINER["volumeMounts"]}
        options = _parser().parse_args(CONTAINER["args"])
        (name,) = OBJECTS["ConfigMap"]["data"]
        assert options.config == f"{mounted('config')['mountPath']}/{name}"
        assert POD["volumes"][0]["configMap"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]

    def test_the_configuration_is_not_mounted_by_subpath(self) -> None:
        """The kubelet never updates those, and no change would apply without a restart."""
        assert "subPath" not in mounted("config")

    def test_the_image_takes_these_arguments(self) -> None:
        """``args`` stand in the place of the image's CMD, after its ENTRYPOINT."""
        assert json.loads(step("ENTRYPOINT")) == ["mlserve"]
        assert CONTAINER["image"] == f"mlserve:{mlserve.__version__}"


class TestRights:
    """A model file is code: what it may reach is what the pod leaves."""

    def test_is_the_user_of_the_image(self) -> None:
        context = POD["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == step("USER")
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"]["type"] == "RuntimeDefault"

    def test_can_gain_nothing_and_write_nowhere_but_tmp(self) -> None:
        context = CONTAINER["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        writable = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"]
        assert POD["automountServiceAccountToken"] is False


def test_a_drained_node_leaves_somebody_to_serve() -> None:
    assert SPEC["replicas"] > OBJECTS["PodDisruptionBudget"]["spec"]["minAvailable"]
    assert SPEC["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_server_starts_with_this_configuration_and_answers_its_probes(tmp_path: Path) -> None:
    """Kubernetes would restart a server for a path that somebody renamed."""
    volume = ConfigMapVolume(tmp_path / "config")
    here = CONFIG_TEXT.replace("/etc/mlserve/examples", (ROOT / "examples").as_posix())
    volume.update({"config.yaml": here.encode()})
    options = _parser().parse_args(CONTAINER["args"])
    arguments = ["--host", "127.0.0.1", "--log-format", options.log_format]
    with running(volume.folder / "config.yaml", *arguments) as daemon:
        for name in PROBES:
            assert daemon.get(CONTAINER[name]["httpGet"]["path"])[0] == 200
        assert daemon.get("/v1/api/health") == (200, {"penguins": 1})
        daemon.process.terminate()
        daemon.wait_until(lambda: daemon.get("/readyz")[0] == 503)
        assert daemon.get("/healthz")[0] == 200
        daemon.process.kill()
        daemon.process.wait()


def test_the_head_says_how_to_apply_it() -> None:
    (command,) = re.findall(r"kubectl apply -f (\S+)", TEXT.partition("---")[0])
    assert shlex.split(command) == ["deploy/kubernetes.yaml"]
    assert (ROOT / command).exists()
