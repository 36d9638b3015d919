"""Settings: defaults, units, and every mistake named at once."""

import pytest

from activator.config import VARIABLES, ActivatorConfig
from upwell.ports import ConfigError

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
