"""The cluster's settings as they change under a running controller, and the process' own."""

from collections.abc import Callable, Mapping

import pytest

from controller.config import ProcessConfig
from controller.settings import Settings
from upwell.api.config_network import NetworkConfig
from upwell.api.settings import SettingError
from upwell.ports import ConfigError


class Maps:
    """Config maps that the test edits."""

    def __init__(self) -> None:
        self.data: dict[str, Mapping[str, str]] = {"config-deployment": {"queue-sidecar-image": "queue:1"}}
        self._callbacks: list[Callable[[str], None]] = []

    def get(self, name: str) -> Mapping[str, str]:
        return self.data.get(name, {})

    def on_change(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append(callback)

    def edit(self, name: str, **values: str) -> None:
        self.data[name] = {key.replace("_", "-"): value for key, value in values.items()}
        for callback in self._callbacks:
            callback(name)


def test_a_change_is_seen_and_told() -> None:
    maps = Maps()
    settings, told = Settings(maps), list[str]()
    settings.on_change(told.append)
    assert settings.network.external_port == 0

    maps.edit("config-network", external_port="8080")
    maps.edit("somebody-elses", x="y")

    assert settings.network.external_port == 8080
    assert told == ["config-network"]


def test_a_mistake_keeps_the_settings_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    maps = Maps()
    settings = Settings(maps)
    maps.edit("config-network", external_port="8080")
    assert settings.network.external_port == 8080

    maps.edit("config-network", external_port="none")

    assert settings.network.external_port == 8080
    assert settings.network.external_port == 8080
    assert capsys.readouterr().err.count("config map cannot be used") == 1


def test_a_mistake_from_the_start_means_the_defaults() -> None:
    maps = Maps()
    maps.data["config-network"] = {"external-port": "none", "ingress-class": "ours"}

    network = Settings(maps).network

    assert (network.external_port, network.ingress_class) == (0, NetworkConfig().ingress_class)


def test_without_an_image_for_the_sidecar_there_is_an_error() -> None:
    maps = Maps()
    maps.data.clear()

    with pytest.raises(SettingError, match="queue-sidecar-image"):
        _ = Settings(maps).deployment


def test_the_process_has_defaults_for_everything() -> None:
    config = ProcessConfig.from_env({})

    assert (config.system_namespace, config.cluster_domain, config.workers) == ("knative-serving", "cluster.local", 8)
    assert config.health_ports() == (9090, 8080)


def test_a_pod_stands_for_election_under_its_name_and_address() -> None:
    assert ProcessConfig.from_env({"POD_NAME": "c-1", "POD_IP": "10.0.0.7"}).identity == "c-1_10.0.0.7"
    assert "_" not in ProcessConfig.from_env({"POD_NAME": "c-1"}).identity


def test_among_pods_that_share_an_address_only_given_ports_are_taken() -> None:
    shared = ProcessConfig.from_env({"UPWELL_PORT_MAP": "9090=20001"})
    given = ProcessConfig.from_env({"UPWELL_PORT_MAP": "9090=20001,8080=20002"})

    assert shared.health_ports() == (20001,)
    assert given.health_ports() == (20001, 20002)


@pytest.mark.parametrize("workers", ["0", "many", "-1", "1.5"])
def test_a_wrong_number_of_workers_is_named(workers: str) -> None:
    with pytest.raises(ConfigError, match=f'CONTROLLER_WORKERS="{workers}" must be a whole number'):
        ProcessConfig.from_env({"CONTROLLER_WORKERS": workers})
