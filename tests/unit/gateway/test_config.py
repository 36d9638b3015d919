"""The gateway's settings."""

import pytest

from gateway.config import GatewayConfig
from upwell.ports import ConfigError


def test_without_settings_the_contracts_values_hold() -> None:
    config = GatewayConfig.from_env({})
    assert (config.port, config.admin_port, config.wait_seconds, config.drain_delay) == (8080, 9090, 10, 5)
    assert config.ingress_class == "upwell.ingress.networking.knative.dev"
    inside = "gateway.knative-serving.svc.cluster.local"
    assert config.load_balancers == (inside, inside)


def test_a_socket_that_outlives_us_needs_no_delay() -> None:
    assert GatewayConfig.from_env({"UPWELL_LISTEN_FDS": "8080=5"}).drain_delay == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UPWELL_GATEWAY_WAIT_SECONDS", "soon"),
        ("UPWELL_GATEWAY_WAITING_MAX", "-1"),
        ("UPWELL_GATEWAY_DRAIN_DELAY", "1e9"),
        ("UPWELL_GATEWAY_LOCAL_PORT", "70000"),
        ("UPWELL_ACCESS_LOG", "yes"),
        ("UPWELL_PORT_MAP", "8080"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GatewayConfig.from_env({variable: value})
    assert f'{variable}="{value}"' in str(caught.value)


def test_with_a_port_for_the_cluster_there_are_two_services() -> None:
    config = GatewayConfig.from_env({"UPWELL_GATEWAY_LOCAL_PORT": "8081", "SYSTEM_NAMESPACE": "system"})
    assert config.load_balancers.public == "gateway-external.system.svc.cluster.local"
    assert config.load_balancers.private == "gateway.system.svc.cluster.local"
