"""Settings: defaults, units, and every mistake named at once."""

from pathlib import Path

import pytest

from activator.config import VARIABLES, ActivatorConfig, domain_of_resolver
from upwell.ports import ConfigError
from upwell.tls.settings import TlsOptions

REQUIRED = {"POD_NAME": "activator-1", "POD_IP": "10.8.0.1"}


def test_name_and_address_are_enough() -> None:
    config = ActivatorConfig.from_env(REQUIRED)

    assert config.probe_timeout == 0.3
    assert config.probe_frequency == 0.2
    assert config.queue_limit == 10_000
    assert config.drain_seconds == 45
    assert config.system_namespace == "knative-serving"


def test_durations_are_read_in_the_contracts_form() -> None:
    config = ActivatorConfig.from_env({**REQUIRED, "PROBE_TIMEOUT": "1s500ms", "PROBE_FREQUENCY": "50ms"})

    assert (config.probe_timeout, config.probe_frequency) == (1.5, 0.05)


def test_every_mistake_is_named_with_its_value() -> None:
    with pytest.raises(ConfigError) as caught:
        ActivatorConfig.from_env(
            {"POD_NAME": "a", "PROBE_TIMEOUT": "0s", "ACTIVATOR_QUEUE_LIMIT": "-1", "ACTIVATOR_DRAIN_SECONDS": "nan"}
        )

    text = str(caught.value)
    assert "POD_IP is not set" in text
    for part in ('PROBE_TIMEOUT="0s"', 'ACTIVATOR_QUEUE_LIMIT="-1"', 'ACTIVATOR_DRAIN_SECONDS="nan"'):
        assert part in text


def test_a_port_map_that_is_wrong_is_named_too() -> None:
    with pytest.raises(ConfigError, match="UPWELL_PORT_MAP"):
        ActivatorConfig.from_env({**REQUIRED, "UPWELL_PORT_MAP": "8012"})


def test_help_explains_every_variable_of_its_own() -> None:
    assert {name for name, _ in VARIABLES} >= {"POD_NAME", "ACTIVATOR_QUEUE_LIMIT", "ACTIVATOR_DRAIN_SECONDS"}


def test_the_cluster_domain_is_the_one_that_the_resolver_searches(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(
        "nameserver 10.96.0.10\nsearch knative-serving.svc.corp.example svc.corp.example corp.example\n"
    )

    assert domain_of_resolver(resolver) == "corp.example"
    resolver.write_text("search corp.example\n")
    assert domain_of_resolver(resolver) == ""
    assert domain_of_resolver(tmp_path / "nothing") == ""


def test_a_worker_knows_its_number_and_how_many_there_are() -> None:
    config = ActivatorConfig.from_env({**REQUIRED, "ACTIVATOR_WORKER": "2/4"})
    assert (config.worker, config.workers) == (2, 4)

    with pytest.raises(ConfigError, match=r'ACTIVATOR_WORKER="4/4": it has to be NUMBER/COUNT'):
        ActivatorConfig.from_env({**REQUIRED, "ACTIVATOR_WORKER": "4/4"})


def test_tls_is_set_by_the_contracts_variables() -> None:
    tls = ActivatorConfig.from_env({**REQUIRED, "ACTIVATOR_TLS_MIN_VERSION": "1.2"}).tls
    assert tls == TlsOptions(minimum="1.2")

    with pytest.raises(ConfigError, match="ACTIVATOR_TLS_MAX_VERSION"):
        ActivatorConfig.from_env({**REQUIRED, "ACTIVATOR_TLS_MAX_VERSION": "1.1"})


def test_metrics_and_config_maps_can_be_elsewhere() -> None:
    config = ActivatorConfig.from_env(
        {
            **REQUIRED,
            "METRICS_PROMETHEUS_HOST": "[::1]",
            "METRICS_PROMETHEUS_PORT": "9191",
            "CONFIG_OBSERVABILITY_NAME": "observability",
        }
    )

    assert (config.metrics_host, config.metrics_port) == ("::1", 9191)
    assert (config.observability_name, config.logging_name) == ("observability", "config-logging")
    with pytest.raises(ConfigError, match='METRICS_PROMETHEUS_PORT="70000"'):
        ActivatorConfig.from_env({**REQUIRED, "METRICS_PROMETHEUS_PORT": "70000"})
