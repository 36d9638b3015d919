"""The platform's own objects: complete, in one namespace, and consistent with what runs them."""

from pathlib import Path

from upwell.api.config_maps import validate_config_map
from upwell.local import manifests
from upwell.local.runtime.images import command_for
from upwell.local.runtime.ports import declared_ports

KUBECONFIG = Path("/home/me/.upwell/kubeconfig")


def test_each_component_is_a_deployment_that_the_runtime_can_run() -> None:
    for deployment in manifests.deployments(KUBECONFIG, manifests.GatewayPorts(8080), "run"):
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        variables = {item["name"]: item for item in container["env"]}

        assert command_for(container["image"])[-1] == deployment["metadata"]["name"]
        assert variables["KUBECONFIG"]["value"] == str(KUBECONFIG)
        assert variables.keys() >= {"POD_NAME", "POD_IP", "SYSTEM_NAMESPACE"}
        assert container["readinessProbe"]["httpGet"]["port"] in declared_ports(deployment["spec"]["template"]["spec"])


def test_only_the_gateway_is_reached_from_the_machine() -> None:
    host_ports = {
        deployment["metadata"]["name"]: port["hostPort"]
        for deployment in manifests.deployments(KUBECONFIG, manifests.GatewayPorts(8123), "run")
        for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
        if "hostPort" in port
    }

    assert host_ports == {"gateway": 8123}


def test_each_start_makes_a_new_template_so_that_no_old_status_counts() -> None:
    one = manifests.deployments(KUBECONFIG, manifests.GatewayPorts(8080), "one")
    other = manifests.deployments(KUBECONFIG, manifests.GatewayPorts(8080), "other")

    assert all(a["spec"]["template"] != b["spec"]["template"] for a, b in zip(one, other, strict=True))


def test_services_select_the_components() -> None:
    found = {service["metadata"]["name"]: service["spec"]["selector"] for service in manifests.services()}

    assert found == {
        "autoscaler": {"app": "autoscaler"},
        "activator-service": {"app": "activator"},
        "gateway": {"app": "gateway"},
    }


def test_the_port_in_urls_follows_the_gateways() -> None:
    network = next(
        item
        for item in manifests.config_maps(manifests.GatewayPorts(8123))
        if item["metadata"]["name"] == "config-network"
    )

    assert network["data"]["external-port"] == "8123"
    assert manifests.forced_keys(manifests.GatewayPorts(8123))["config-network"].items() <= network["data"].items()


def test_config_maps_are_labelled_so_that_edits_are_checked_and_pass_that_check_themselves() -> None:
    for config_map in manifests.config_maps(manifests.GatewayPorts(8123)):
        assert config_map["metadata"]["labels"] == {"app.kubernetes.io/name": "knative-serving"}
        validate_config_map(config_map)
