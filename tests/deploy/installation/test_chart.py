"""The Helm chart, rendered by Helm's own engine and held against Kubernetes' schemas and the code that it starts."""

from __future__ import annotations

from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from deploy.installation.reading import ROOT, known_variables, parse_command
from tokentide_deploy.parts import PARTS
from tokentide_schemas import topics

CHART = ROOT / "deploy" / "helm" / "tokentide"
NEEDED: dict[str, Any] = {
    "kafka": {"bootstrapServers": "kafka:9092"},
    "secrets": {"writer": "tokentide-writer", "reader": "tokentide-reader", "collector": "tokentide-collector"},
}
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "keda": {"autoscaling": {"kind": "keda", "keda": {"triggerAuthentication": "kafka"}}},
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "everything": {
        "clickhouse": {"cluster": "main"},
        "settings": {"TOKENTIDE_SINK_MAX_ROWS": 500000},
        "files": {
            "alerts": "# mine\nrules: []\n",
            "cubes": '# mine\nname = "x"\n',
            "catalogue": {"mine.yaml": "models: []\n# two\n"},
        },
        "collector": {"ingress": {"enabled": True, "host": "events.example", "tlsSecret": "tls"}},
        "board": {
            "ingress": {"enabled": True, "host": "board.example", "tlsSecret": "tls"},
            "allowedHosts": ["b.example"],
        },
        "networkPolicy": {"egress": [{"to": [{"podSelector": {}}]}], "metricsFrom": [{"namespaceSelector": {}}]},
        "podMonitor": {"enabled": True},
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "nodeSelector": {"disk": "fast"},
        "priorityClassName": "high",
        "extraVolumes": [{"name": "certificates", "secret": {"secretName": "ca"}}],
        "extraVolumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
    },
}
OF_OTHERS = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema({**NEEDED, **values})
        files = chart.render({**NEEDED, **values}, name="demo", namespace="prod")
    return [d for name, text in files.items() if name.endswith(".yaml") for d in yaml.safe_load_all(text) if d]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"].removeprefix("demo-tokentide-"): d for d in documents if d["kind"] == kind}


def containers(documents: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    pods = [d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("Deployment", "Job")]
    return [(pod, container) for pod in pods for container in pod["containers"]]


def test_lint_finds_nothing_but_the_missing_picture() -> None:
    found = helm.lint(str(CHART))
    assert found["errors"] == []
    assert [m["error"] for m in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["1.27", "1.31", "1.37"])
def test_every_object_is_one_that_kubernetes_knows(case: str, version: str) -> None:
    for document in rendered(CASES[case]):
        if document["apiVersion"] not in OF_OTHERS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_every_part_is_started_with_arguments_and_variables_that_the_code_knows(case: str) -> None:
    documents = rendered(CASES[case])
    assert set(of_kind(documents, "Deployment")) == set(PARTS)
    for _, container in containers(documents):
        parse_command(container["args"])
        unknown = {entry["name"] for entry in container["env"]} - known_variables()
        assert not unknown, f"{container['name']} sets {sorted(unknown)}, which nothing reads"


def test_pods_run_without_rights_on_a_read_only_file_system() -> None:
    for pod, container in containers(rendered({})):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"]["memory"]
        assert "memory" in container["resources"]["limits"]


def test_every_deployment_has_its_three_probes_and_a_pinned_image() -> None:
    for name, deployment in of_kind(rendered({}), "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
        assert not container["image"].endswith((":", ":latest")), name


def test_each_part_mounts_the_secret_of_what_it_may_do() -> None:
    mounted = {}
    for name, deployment in of_kind(rendered({}), "Deployment").items():
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        (mounted[name],) = [v["secret"]["secretName"] for v in volumes if "secret" in v]
    assert {name for name, secret in mounted.items() if secret == "tokentide-reader"} == {"alerts", "board"}
    assert {name for name, secret in mounted.items() if secret == "tokentide-collector"} == {"collector"}


def test_what_needs_a_value_says_which() -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError, match=r"kafka\.bootstrapServers"):
        chart.render({"secrets": NEEDED["secrets"]}, name="demo", namespace="prod")
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError, match=r"secrets\.\w+: name a Secret"):
        chart.render({"kafka": NEEDED["kafka"]}, name="demo", namespace="prod")


@pytest.mark.parametrize(
    "values",
    [
        {"parts": {"wroker": {"replicas": 1, "resources": {}}}},
        {"image": {"tag": "latest"}},
        {"settings": {"PATH": "x"}},
        {"autoscaling": {"kind": "sometimes"}},
        {"replicas": 3},
    ],
)
def test_a_value_that_does_not_fit_is_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema({**NEEDED, **values})


def test_more_replicas_than_partitions_are_refused() -> None:
    with pytest.raises(helm.HelmError, match="replicas beyond the partitions have no work"):
        rendered({"autoscaling": {"kind": "keda", "maxReplicas": 30}})


def test_workers_and_sinks_follow_the_lag_of_their_own_group_and_topic() -> None:
    from tokentide_sinks.kafka import GROUP_EVENTS, GROUP_ROLLUPS

    scaled = of_kind(rendered(CASES["keda"]), "ScaledObject")
    sources = {
        n: (d["spec"]["triggers"][0]["metadata"]["consumerGroup"], d["spec"]["triggers"][0]["metadata"]["topic"])
        for n, d in scaled.items()
    }
    assert sources == {
        "worker": (topics.STREAM_APP_ID, topics.USAGE),
        "events-sink": (GROUP_EVENTS, topics.USAGE),
        "rollups-sink": (GROUP_ROLLUPS, topics.ROLLUPS),
    }
    deployments = of_kind(rendered(CASES["keda"]), "Deployment")
    for name in sources:
        assert "replicas" not in deployments[name]["spec"], "the autoscaler and the chart would fight over replicas"


def test_files_of_the_user_arrive_as_they_were_written() -> None:
    case = CASES["everything"]["files"]
    (config,) = of_kind(rendered(CASES["everything"]), "ConfigMap").values()
    assert config["data"] == {
        "alerts.yaml": case["alerts"],
        "cubes.toml": case["cubes"],
        "catalogue.mine.yaml": case["catalogue"]["mine.yaml"],
    }


def test_only_collector_and_board_are_reached_by_clients() -> None:
    documents = rendered({})
    policy = of_kind(documents, "NetworkPolicy")["clients"]
    assert policy["spec"]["podSelector"]["matchExpressions"][0]["values"] == ["collector", "board"]
    assert set(of_kind(documents, "Service")) == {"collector", "board"}
