"""Config maps: their defaults, their older spellings, and what is said about values that cannot be used."""

import pytest

from upwell.api.config_defaults import DefaultsConfig, parse_defaults
from upwell.api.config_deployment import parse_deployment
from upwell.api.config_domain import parse_domain
from upwell.api.config_features import parse_features
from upwell.api.config_gc import parse_gc
from upwell.api.config_maps import validate_config_map
from upwell.api.config_network import parse_network
from upwell.api.config_observability import parse_observability
from upwell.api.field_errors import Denied
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP
from upwell.api.settings import SettingError

SIDECAR = {"queue-sidecar-image": "registry/queue:1"}


def test_an_empty_config_map_means_the_contracts_defaults() -> None:
    defaults, network = parse_defaults({}), parse_network({})

    assert (defaults.timeout, defaults.timeout_max, defaults.response_start_timeout) == (300, 600, 300)
    assert str(defaults.container_name) == str(DefaultsConfig().container_name) == "user-container"
    assert (network.http_option, network.default_external_scheme, network.external_port) == ("Enabled", "http", 0)
    assert parse_deployment(SIDECAR).sidecar_requests == {"cpu": "25m"}
    assert parse_features({}).enabled("multi-container")
    assert not parse_features({}).permitted("kubernetes.podspec-affinity")


def test_the_hyphenated_key_wins_over_the_older_spelling() -> None:
    config = parse_deployment({**SIDECAR, "progressDeadline": "30s", "progress-deadline": "60s"})
    older = parse_deployment({"queueSidecarImage": "old:1", "queueSidecarCPURequest": "50m"})

    assert config.progress_deadline == 60
    assert (older.sidecar_image, older.sidecar_requests) == ("old:1", {"cpu": "50m"})


def test_the_most_specific_domain_is_chosen_then_the_first_by_name() -> None:
    team = "selector: {team: web}"
    domains = parse_domain({"default.org": "", "b.com": team, "a.com": team, "c.com": "selector: {team: web, x: y}"})

    assert domains.lookup({"team": "web"}, "cluster.local") == "a.com"
    assert domains.lookup({"team": "web", "x": "y"}, "cluster.local") == "c.com"
    assert domains.lookup({}, "cluster.local") == "default.org"
    assert domains.lookup({"networking.knative.dev/visibility": "cluster-local"}, "k8s.io") == "svc.k8s.io"
    assert parse_domain({}).lookup({}, "cluster.local") == "svc.cluster.local"


def test_an_unknown_flag_value_keeps_the_default() -> None:
    features = parse_features({"multi-container": "bogus", "autodetect-http2": "ENABLED"})

    assert features.enabled("multi-container")
    assert features.enabled("autodetect-http2")


def test_what_is_disabled_is_none() -> None:
    config = parse_gc({"max-non-active-revisions": "disabled", "retain-since-create-time": "1h"})

    assert (config.non_active_max, config.retain_since_create) == (None, 3600)


def test_the_sidecar_gets_only_what_is_set() -> None:
    config = parse_observability({"tracing-protocol": "grpc", "tracing-endpoint": "otel:4317"})

    assert config.sidecar["tracing"] == {"protocol": "grpc", "endpoint": "otel:4317"}
    assert config.sidecar["metrics"] == {"protocol": "none"}
    assert "enableRequestLog" not in config.sidecar


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("config-defaults", {"revision-timeout-seconds": "x"}, 'revision-timeout-seconds="x" must be a whole number'),
        ("config-deployment", {}, 'queue-sidecar-image="" must be set'),
        ("config-network", {"http-protocol": "nope"}, "must be one of: enabled, redirected, disabled"),
        ("config-network", {"domain-template": "{{.Name}}/x"}, "without a path"),
        ("config-network", {"external-port": "70000"}, "from 0 to 65535"),
        ("config-domain", {"a.com": "selector: ["}, "must be empty or YAML"),
        ("config-logging", {"loglevel.controller": "shout"}, "must be one of: debug"),
        ("config-gc", {"min-non-active-revisions": "2", "max-non-active-revisions": "1"}, "max-non-active-revisions"),
    ],
)
def test_a_value_that_cannot_be_used_is_denied_with_map_key_and_value(
    name: str, data: dict[str, str], problem: str
) -> None:
    with pytest.raises(Denied, match=name) as denied:
        validate_config_map(config_map(name, data))

    assert problem in str(denied.value)


def test_somebody_elses_config_map_is_not_judged() -> None:
    other = config_map("config-defaults", {"revision-timeout-seconds": "x"})
    del other["metadata"]["labels"]

    validate_config_map(other)


def test_an_edited_example_is_pointed_out() -> None:
    edited = config_map("config-gc", {"_example": "edited"})
    edited["metadata"]["annotations"] = {"knative.dev/example-checksum": "12345678"}

    with pytest.raises(Denied, match="_example"):
        validate_config_map(edited)


def test_defaults_above_their_maximum_are_refused() -> None:
    with pytest.raises(SettingError, match="at most 600"):
        parse_defaults({"revision-timeout-seconds": "700"})


def config_map(name: str, data: dict[str, str]) -> Object:
    labels = {"app.kubernetes.io/name": "knative-serving"}
    return new_object(CONFIG_MAP, "knative-serving", name, metadata={"labels": labels}, data=data)


@pytest.mark.parametrize(
    ("name", "data", "accepted"),
    [
        ("config-defaults", {"container-concurrency": "+5"}, True),
        ("config-defaults", {"container-concurrency": " 5"}, False),
        ("config-defaults", {"container-concurrency": "1_0"}, False),
        ("config-defaults", {"container-concurrency": "-1"}, False),
        ("config-defaults", {"revision-timeout-seconds": str(2**63)}, False),
        ("config-defaults", {"revision-idle-timeout-seconds": "-1"}, True),
        ("config-defaults", {"revision-idle-timeout-seconds": "301"}, False),
        ("config-defaults", {"revision-timeout-seconds": "-1"}, True),
        ("config-defaults", {"max-revision-timeout-seconds": "299"}, False),
        ("config-gc", {"retain-since-create-time": ""}, True),
        ("config-gc", {"max-non-active-revisions": ""}, True),
        ("config-gc", {"max-non-active-revisions": "-1"}, False),
        ("config-gc", {"retain-since-last-active-time": "-1s"}, False),
        ("config-network", {"http-protocol": ""}, True),
        ("config-network", {"system-internal-tls": ""}, True),
        ("config-network", {"cluster-local-domain-tls": "maybe"}, False),
        ("config-network", {"tag-template": "{{.Tag}}/{{.Name}}"}, True),
        ("config-network", {"tag-template": "{{.Bogus}}"}, False),
        ("config-network", {"domain-template": "{{.Name}}?{{.Domain}}"}, False),
        ("config-network", {"domain-template": ""}, False),
        ("config-observability", {"metrics-protocol": "Prometheus"}, False),
        ("config-observability", {"metrics-protocol": "prometheus", "metrics-endpoint": ":9"}, True),
        ("config-observability", {"metrics-export-interval": "-1s"}, False),
        ("config-observability", {"tracing-protocol": "stdout", "tracing-endpoint": "x"}, False),
        ("config-observability", {"runtime-profiling": "Enabled"}, False),
        ("config-observability", {"runtime-export-interval": "-1s"}, False),
        ("config-domain", {"a.com": "selector: {app: 1}"}, False),
        ("config-domain", {"a.com": "just a text"}, False),
        ("config-deployment", {**SIDECAR, "default-affinity-type": "None"}, False),
        ("config-deployment", {**SIDECAR, "runtime-class-name": "Kata_1: {}"}, False),
        ("config-deployment", {**SIDECAR, "runtime-class-name": "kata: {selector: {a b: c}}"}, False),
        ("config-deployment", {**SIDECAR, "runtime-class-name": "kata: {selector: {a: c}}"}, True),
        ("config-logging", {"loglevel.controller": ""}, True),
        ("config-logging", {"loglevel.controller": "DEBUG"}, True),
    ],
)
def test_settings_are_accepted_and_refused_as_by_the_contract(name: str, data: dict[str, str], accepted: bool) -> None:
    labels = {"app.kubernetes.io/name": "knative-serving"}
    config_map = new_object(CONFIG_MAP, "knative-serving", name, metadata={"labels": labels}) | {"data": data}

    if accepted:
        validate_config_map(config_map)
    else:
        with pytest.raises(Denied):
            validate_config_map(config_map)
