"""What the chart installs is what the components, the contract and an installed Knative expect of it."""

import importlib
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from activator.config import VARIABLES as ACTIVATOR_VARIABLES
from activator.config import ActivatorConfig
from autoscaler.config import VARIABLES as AUTOSCALER_VARIABLES
from autoscaler.config import ProcessConfig as AutoscalerConfig
from controller.config import VARIABLES as CONTROLLER_VARIABLES
from controller.config import ProcessConfig as ControllerConfig
from controller.webhook.keeper import CONFIGURATIONS, SECRET_NAME, SERVICE_NAME
from gateway.config import VARIABLES as GATEWAY_VARIABLES
from gateway.config import GatewayConfig
from tests.unit.chart.rendering import (
    CHART,
    COMBINATIONS,
    COMPONENTS,
    KNATIVE_NAMES,
    NAMESPACE,
    combinations,
    objects,
    of_kind,
    rules_of,
)
from upwell.api import names
from upwell.api.config_maps import validate_config_map
from upwell.api.resources import KNATIVE_RESOURCES
from upwell.cluster.runtime import COMMON_VARIABLES

DEFAULTS: dict[str, Any] = {}
VARIABLES: Mapping[str, Any] = {
    "activator": ACTIVATOR_VARIABLES,
    "autoscaler": AUTOSCALER_VARIABLES,
    "controller": CONTROLLER_VARIABLES,
    "gateway": GATEWAY_VARIABLES,
}
CONFIGS: Mapping[str, Any] = {
    "activator": ActivatorConfig,
    "autoscaler": AutoscalerConfig,
    "controller": ControllerConfig,
    "gateway": GatewayConfig,
}
KNATIVES: Mapping[str, Any] = {"CONFIG_LOGGING_NAME": "", "CONFIG_OBSERVABILITY_NAME": ""}
"""Variables that Knative's manifests set for every component, whether it reads them or not."""


def test_definitions_come_with_the_release_and_outlive_it() -> None:
    rendered = of_kind(DEFAULTS, "CustomResourceDefinition")

    assert set(rendered) == {f"{resource.plural}.{resource.group}" for resource in KNATIVE_RESOURCES}
    for name, definition in rendered.items():
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert definition == yaml.safe_load((CHART / "crds" / f"{name}.yaml").read_text()), "else as it was made"


@combinations
def test_config_maps_are_labelled_for_admission_which_accepts_them(values: dict[str, Any]) -> None:
    for config_map in of_kind(values, "ConfigMap").values():
        assert config_map["metadata"]["labels"][names.LABEL_PART_OF] == names.PART_OF
        assert all(isinstance(value, str) for value in config_map["data"].values())
        validate_config_map(config_map)


def test_there_is_a_config_map_for_everything_that_is_configured() -> None:
    wanted = (
        "autoscaler certmanager defaults deployment domain features gc leader-election logging network observability"
    )

    assert set(of_kind(DEFAULTS, "ConfigMap")) == {f"config-{name}" for name in wanted.split()}


@pytest.mark.parametrize(
    ("name", "group", "kind"),
    [("gateway-api", "gateway.networking.k8s.io", "httproutes"), ("istio", "networking.istio.io", "virtualservices")],
)
def test_where_ingresses_are_translated_their_class_the_settings_and_the_rights_come_along(
    name: str, group: str, kind: str
) -> None:
    values = {"ingress": {"translateFor": name}}
    maps = of_kind(values, "ConfigMap")

    assert maps["config-network"]["data"]["ingress-class"] == f"{name}.ingress.networking.knative.dev"
    assert set(maps) - set(of_kind(DEFAULTS, "ConfigMap")) == {f"config-{name.removesuffix('-api')}"}
    granted = [rule["resources"] for _, rule in rules_of("controller", values) if group in rule["apiGroups"]]
    assert any(kind in one for one in granted)
    assert not [rule for _, rule in rules_of("controller") if group in rule["apiGroups"]]


def test_sidecars_have_the_charts_image_and_routes_the_charts_gateway_unless_values_say_otherwise() -> None:
    data = {name: one["data"] for name, one in of_kind(DEFAULTS, "ConfigMap").items()}
    image = _container("activator", DEFAULTS)["image"]

    assert data["config-deployment"] == {"queue-sidecar-image": image}
    assert data["config-network"] == {"ingress-class": names.INGRESS_CLASS}

    other = {"config": {"network": {"ingress-class": "x"}, "deployment": {"queue-sidecar-image": "y"}}}
    changed = of_kind(other, "ConfigMap")
    assert changed["config-network"]["data"] == {"ingress-class": "x"}
    assert changed["config-deployment"]["data"] == {"queue-sidecar-image": "y"}


@pytest.mark.parametrize("component", COMPONENTS)
@combinations
def test_components_get_only_variables_that_they_read_with_values_that_they_accept(
    component: str, values: dict[str, Any]
) -> None:
    if not _is_on(component, values):
        return
    read = {str(entry[0]) for entry in (*VARIABLES[component], *COMMON_VARIABLES)} | set(KNATIVES)
    env = {entry["name"]: entry for entry in _container(component, values)["env"]}
    assert env.keys() - read - {"TZ"} == set()

    fields = {"metadata.name": "a-1", "status.podIP": "10.0.0.1", "metadata.namespace": NAMESPACE}
    config = CONFIGS[component].from_env(
        {
            name: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            for name, entry in env.items()
        }
    )
    assert getattr(config, "system_namespace", NAMESPACE) == NAMESPACE


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_container_names_a_component_that_can_be_started(component: str) -> None:
    (argument,) = _container(component, DEFAULTS)["args"]

    assert importlib.util.find_spec(f"{argument}.__main__") is not None


@combinations
def test_pods_meet_the_restricted_pod_security_standard(values: dict[str, Any]) -> None:
    for deployment in of_kind(values, "Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & spec.keys()
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all(port["containerPort"] > 1023 for port in container["ports"]), "no capability is needed"


@combinations
def test_rollouts_start_a_pod_before_they_stop_one_and_leave_it_time_to_finish(values: dict[str, Any]) -> None:
    for name, deployment in of_kind(values, "Deployment").items():
        spec = deployment["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        pod = spec["template"]["spec"]
        assert {"readinessProbe", "livenessProbe"} <= pod["containers"][0].keys()
        if name.endswith(("activator", "gateway")):
            assert pod["terminationGracePeriodSeconds"] >= 600, "the longest revision timeout of config-defaults"


@combinations
def test_every_selector_finds_the_pods_it_is_meant_for(values: dict[str, Any]) -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(values, "Deployment").values()]
    for one in objects(values):
        selectors = {
            "Service": lambda spec: spec["selector"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }
        if one["kind"] in selectors:
            selector = selectors[one["kind"]](one["spec"])
            assert sum(selector.items() <= labels.items() for labels in pods) == 1, one["metadata"]["name"]


@combinations
def test_every_port_of_a_service_is_one_that_its_pods_and_their_network_policy_have_open(
    values: dict[str, Any],
) -> None:
    policies = of_kind(values, "NetworkPolicy")
    deployments = of_kind(values, "Deployment")
    for service in of_kind(values, "Service").values():
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        name = next(name for name in deployments if name.endswith(component))
        container = deployments[name]["spec"]["template"]["spec"]["containers"][0]
        listening = {port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            if port["name"] == "http-profiling":
                continue  # Knative's pods behind the same Service have it
            assert port["targetPort"] in listening
            if policies:
                opened = {one["port"] for rule in policies[name]["spec"]["ingress"] for one in rule["ports"]}
                assert port["targetPort"] in opened


def test_services_have_the_contracts_names_and_ports() -> None:
    services = {
        name: {(port["port"], port["targetPort"]) for port in one["spec"]["ports"]}
        for name, one in of_kind(DEFAULTS, "Service").items()
    }

    assert services["autoscaler"] >= {(8080, names.PORT_STAT_SERVER), (9090, names.PORT_METRICS)}
    assert services["activator-service"] >= {
        (80, names.PORT_HTTP),
        (81, names.PORT_H2C),
        (443, names.PORT_TLS),
        (9090, names.PORT_METRICS),
    }
    assert services["webhook"] == {(443, 8443)}
    assert services["gateway"] >= {(80, 8081)}
    assert services["gateway-external"] == {(80, 8080)}


@pytest.mark.parametrize("tls", [True, False])
def test_with_https_the_gateway_has_port_443_and_may_read_certificates_else_neither(tls: bool) -> None:
    values = {"gateway": {"tls": {"enabled": tls}}}
    ports = {port["port"] for port in of_kind(values, "Service")["gateway-external"]["spec"]["ports"]}
    readable = {name for _, rule in rules_of("gateway", values) for name in rule["resources"]}

    assert (443 in ports) == ("secrets" in readable) == tls


def test_services_with_knatives_names_select_its_pods_too_so_that_deployments_can_be_swapped() -> None:
    services = of_kind(DEFAULTS, "Service")

    assert services["activator-service"]["spec"]["selector"] == {"app": "activator"}
    assert services["autoscaler"]["spec"]["selector"] == {"app": "autoscaler"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_beside_knative_a_component_comes_alone_and_under_a_name_of_its_own(component: str) -> None:
    values = COMBINATIONS[f"{component} beside Knative"]
    found = objects(values)

    assert list(of_kind(values, "Deployment")) == [f"upwell-{component}"]
    assert (
        of_kind(values, "Deployment")[f"upwell-{component}"]["spec"]["template"]["metadata"]["labels"]["app"]
        == component
    ), "Knative's Services find it by this label"
    assert not {"ConfigMap", "CustomResourceDefinition", "Secret"} & {one["kind"] for one in found}
    assert not set(of_kind(values, "Service")) & set(KNATIVE_NAMES)
    assert all("upwell" in one["metadata"]["name"] or component == "gateway" for one in found)


def test_beside_knative_the_sidecar_needs_no_object() -> None:
    assert objects(COMBINATIONS["queue-proxy beside Knative"]) == []


@pytest.mark.parametrize(
    ("values", "flips"),
    [
        (DEFAULTS, "true"),
        (COMBINATIONS["activator beside Knative"], "false"),
        (COMBINATIONS["all beside Knative"], "true"),
        ({"knative": {"replace": ["activator"]}, "activator": {"flips": True}}, "true"),
        ({"activator": {"flips": False}}, "false"),
    ],
)
def test_activators_write_public_addresses_where_no_controller_of_knatives_does(
    values: dict[str, Any], flips: str
) -> None:
    (variable,) = [entry for entry in _container("activator", values)["env"] if entry["name"] == "ACTIVATOR_FLIPS"]
    writes = {
        verb
        for name, role in of_kind(values, "ClusterRole").items()
        if name == "upwell-activator"
        for rule in role["rules"]
        for verb in rule["verbs"]
    } - {"get", "list", "watch"}

    assert variable["value"] == flips
    assert bool(writes) == (flips == "true"), "and may do so only then"


def test_with_a_horizontal_autoscaler_an_upgrade_leaves_the_number_of_activators_alone() -> None:
    values = {"activator": {"autoscaling": {"enabled": True}}}
    (scaler,) = of_kind(values, "HorizontalPodAutoscaler").values()

    assert scaler["spec"]["scaleTargetRef"]["name"] == "activator"
    assert "replicas" not in of_kind(values, "Deployment")["activator"]["spec"]


@combinations
def test_every_role_is_bound_to_the_account_of_its_component(values: dict[str, Any]) -> None:
    accounts = set(of_kind(values, "ServiceAccount"))
    roles = {("ClusterRole", name) for name in of_kind(values, "ClusterRole") if "users" not in name}
    roles |= {("Role", name) for name in of_kind(values, "Role")}
    bound = set()
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in of_kind(values, kind).values():
            (subject,) = binding["subjects"]
            assert subject["name"] in accounts
            assert binding["roleRef"]["name"].endswith(subject["name"].removeprefix("upwell-"))
            bound.add((binding["roleRef"]["kind"], binding["roleRef"]["name"]))
    assert bound == roles


def test_only_what_users_write_waits_for_a_controller_that_is_away() -> None:
    policies: dict[str, set[str]] = {}
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for configuration in of_kind(DEFAULTS, kind).values():
            for webhook in configuration["webhooks"]:
                assert "caBundle" not in webhook["clientConfig"], "the controller writes it"
                for rule in webhook["rules"]:
                    policies.setdefault(webhook["failurePolicy"], set()).update(rule["resources"])

    assert policies["Fail"] == {"services", "configurations", "revisions", "routes", "domainmappings"}
    internal = {"podautoscalers", "metrics", "ingresses", "certificates", "serverlessservices"}
    assert policies["Ignore"] == internal | {"configmaps"}, "an upgrade that mends the controller writes config maps"


def test_webhook_configurations_have_the_names_that_the_controller_keeps() -> None:
    kept = {name for _, name in CONFIGURATIONS}
    found = set(of_kind(DEFAULTS, "MutatingWebhookConfiguration")) | set(
        of_kind(DEFAULTS, "ValidatingWebhookConfiguration")
    )
    allowed = {name for _, rule in rules_of("controller") for name in rule.get("resourceNames", ())}

    assert found == kept
    assert allowed == kept | {SECRET_NAME, names.TRUST_BUNDLE}
    assert SECRET_NAME in of_kind(DEFAULTS, "Secret")
    assert SERVICE_NAME in of_kind(DEFAULTS, "Service")


def _is_on(component: str, values: Mapping[str, Any]) -> bool:
    return any(name.endswith(component) for name in of_kind(dict(values), "Deployment"))


def _container(component: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found = of_kind(dict(values), "Deployment")
    deployment = next(one for name, one in found.items() if name.endswith(component))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    result: dict[str, Any] = container
    return result
