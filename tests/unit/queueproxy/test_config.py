"""The environment becomes one frozen configuration, or a list of everything that is wrong with it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from queueproxy.config import VARIABLES, QueueProxyConfig
from queueproxy.probe_spec import ProbeKind
from queueproxy.tls_settings import TlsSettings
from upwell.http import Limits
from upwell.http.h2.limits import Http2Limits
from upwell.ports import ConfigError
from upwell.telemetry.sampling import Sampler
from upwell.telemetry.tracing_settings import TracingSettings
from upwell.tls.settings import TlsOptions

MINIMAL = {
    "CONTAINER_CONCURRENCY": "0",
    "QUEUE_SERVING_PORT": "8012",
    "QUEUE_SERVING_TLS_PORT": "8112",
    "USER_PORT": "8080",
    "REVISION_TIMEOUT_SECONDS": "300",
    "SERVING_LOGGING_CONFIG": "",
    "SERVING_LOGGING_LEVEL": "",
    "SERVING_NAMESPACE": "default",
    "SERVING_CONFIGURATION": "",
    "SERVING_REVISION": "hello-00001",
    "SERVING_POD": "hello-pod",
    "SERVING_POD_IP": "",
}


def read(**changes: str | None) -> QueueProxyConfig:
    env: dict[str, str | None] = {**MINIMAL, **changes}
    return QueueProxyConfig.from_env({name: value for name, value in env.items() if value is not None})


def errors(**changes: str | None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    return str(caught.value).splitlines()


def test_the_required_variables_suffice() -> None:
    config = read()

    assert (config.serving_port, config.user_port, config.revision_timeout) == (8012, 8080, 300)
    assert (config.response_start_timeout, config.idle_timeout, config.probes) == (0, 0, ())
    assert config.log_level == "info"
    assert config.drain_quiet == 30
    assert not config.observability.prometheus
    assert config.observability.log_template is None


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_a_missing_required_variable_is_named_with_its_meaning(name: str) -> None:
    (line,) = errors(**{name: None})

    assert line.startswith(f"{name} is not set: give the ")


def test_all_that_is_wrong_is_told_at_once_a_line_each() -> None:
    lines = errors(
        CONTAINER_CONCURRENCY="many",
        USER_PORT="http",
        SERVING_POD=None,
        ENABLE_HTTP_FULL_DUPLEX="maybe",
        OBSERVABILITY_CONFIG="{no",
        SERVING_READINESS_PROBE="{no",
        UPWELL_PORT_MAP="8012",
        UPWELL_DRAIN_QUIET_SECONDS="-1",
    )

    assert len(lines) == 8
    assert any(line.startswith('CONTAINER_CONCURRENCY="many": not a whole number') for line in lines)
    assert any(line.startswith('USER_PORT="http": not a port') for line in lines)


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("0x1f", 31), ("017", 15), ("0b11", 3), ("-2", -2), ("0", 0)])
def test_integers_are_read_as_go_reads_them(text: str, value: int) -> None:
    assert read(CONTAINER_CONCURRENCY=text).container_concurrency == value


@pytest.mark.parametrize("text", ["", "1.5", "ten", "0x", "089", "१", " 1", str(2**63)])
def test_what_is_no_integer_is_refused(text: str) -> None:
    assert errors(CONTAINER_CONCURRENCY=text)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_switches_are_read_as_go_reads_them(text: str) -> None:
    config = read(ENABLE_MULTI_CONTAINER_PROBES=text, SERVING_READINESS_PROBE='[{"tcpSocket": {"port": 1}}]')

    assert len(config.probes) == 1


@pytest.mark.parametrize("text", ["", "yes", "on", "TrUe"])
def test_what_is_no_switch_is_refused(text: str) -> None:
    assert errors(ENABLE_HTTP2_AUTO_DETECTION=text)


def probe(value: Any, **changes: str) -> Any:
    return read(SERVING_READINESS_PROBE=json.dumps(value), **changes).probes


def test_an_http_probe_has_path_headers_and_its_own_timeout() -> None:
    http = {"path": "ready?x=1", "port": 9000, "httpHeaders": [{"name": "X-A", "value": "b"}], "scheme": "HTTP"}
    (spec,) = probe({"httpGet": http, "periodSeconds": 5, "timeoutSeconds": 2})

    assert (spec.kind, spec.host, spec.port, spec.path) == (ProbeKind.HTTP, "127.0.0.1", 9000, "/ready?x=1")
    assert spec.headers == (("X-A", "b"),)
    assert (spec.timeout, spec.eager, spec.https) == (2, False, False)


def test_without_a_period_a_probe_is_eager() -> None:
    (spec,) = probe({"tcpSocket": {"port": 9000}, "successThreshold": 3})

    assert (spec.kind, spec.eager, spec.success_threshold) == (ProbeKind.TCP, True, 3)


def test_probe_ports_go_through_the_port_map() -> None:
    (spec,) = probe({"grpc": {"port": 8080, "service": "s"}}, UPWELL_PORT_MAP="8080=20123")

    assert (spec.kind, spec.port, spec.grpc_service) == (ProbeKind.GRPC, 20123, "s")


def test_a_path_is_made_fit_for_a_request_line() -> None:
    (spec,) = probe({"httpGet": {"port": 1, "path": "/a b/ü"}})

    assert spec.path == "/a%20b/%C3%BC"


@pytest.mark.parametrize(
    "value",
    [
        [],
        "tcp",
        {"tcpSocket": {}},
        {"tcpSocket": {"port": 70000}},
        {"httpGet": {"port": 1, "httpHeaders": [{"value": "x"}]}},
        {"httpGet": {"port": 1, "httpHeaders": [{"name": "X", "value": "a\r\nb"}]}},
        {"tcpSocket": {"port": 1}, "periodSeconds": "5"},
        {"tcpSocket": "9000"},
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(value: Any) -> None:
    (line,) = errors(SERVING_READINESS_PROBE=json.dumps(value))

    assert line.startswith("SERVING_READINESS_PROBE")


def test_a_probe_of_no_known_kind_is_kept_and_will_fail() -> None:
    assert [spec.kind for spec in probe({"periodSeconds": 1})] == [ProbeKind.NONE]
    assert [spec.kind for spec in probe({"exec": {"command": ["true"]}})] == [ProbeKind.EXEC]


def observability(value: Any, **changes: str) -> Any:
    return read(OBSERVABILITY_CONFIG=json.dumps(value), **changes).observability


def test_prometheus_is_served_on_the_contracts_port_unless_told_otherwise() -> None:
    metrics = {"requestMetrics": {"protocol": "prometheus"}}

    assert observability(metrics).prometheus
    assert observability(metrics).metrics_port == 9091
    metrics["requestMetrics"]["endpoint"] = "127.0.0.1:9999"
    assert (observability(metrics).metrics_host, observability(metrics).metrics_port) == ("127.0.0.1", 9999)
    assert observability(metrics, METRICS_PROMETHEUS_PORT="9998").metrics_port == 9998


def test_the_request_log_is_off_unless_asked_for_and_has_a_template_of_its_own() -> None:
    assert observability({"requestLogTemplate": "x"}).log_template is None
    assert observability({"enableRequestLog": True}).log_template is not None
    assert observability({"enableRequestLog": True, "requestLogTemplate": ""}).log_template is None
    assert observability({"enableProbeRequestLog": True}).log_probes


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"requestMetrics": 1},
        {"requestMetrics": {"protocol": "statsd"}},
        {"requestMetrics": {"protocol": "prometheus", "endpoint": "nowhere"}},
        {"enableRequestLog": "yes"},
        {"enableRequestLog": True, "requestLogTemplate": "{{.Request.Nonsense}}"},
        {"enableRequestLog": True, "requestLogTemplate": "{{.Request.Method"},
        {"enableRequestLog": True, "requestLogTemplate": 5},
    ],
)
def test_an_observability_setting_that_makes_no_sense_is_refused(value: Any) -> None:
    (line,) = errors(OBSERVABILITY_CONFIG=json.dumps(value))

    assert line.startswith("OBSERVABILITY_CONFIG")


def test_help_knows_every_variable_that_is_required() -> None:
    assert {name for name, default, _ in VARIABLES if default == "required"} == set(MINIMAL)


# Limits, TLS and tracing


def test_limits_have_the_engines_defaults_and_a_variable_each() -> None:
    config = read(UPWELL_HEAD_FIELDS_MAX="9", UPWELL_BODY_IDLE_TIMEOUT_SECONDS="0", CONTAINER_CONCURRENCY="7")

    assert config.limits == Limits(head_fields=9, body_idle_timeout=0, idle_connections=7)
    assert read().limits == Limits(idle_connections=1000)


def test_each_bound_of_http_2_has_a_variable() -> None:
    defaults = {name: default for name, default, _ in VARIABLES if name.startswith("UPWELL_HTTP2_")}
    changed = {name: str(float(default) + 1).removesuffix(".0") for name, default in defaults.items()}

    http2 = read(**changed).limits.http2
    assert {each.name: getattr(http2, each.name) - getattr(Http2Limits(), each.name) for each in fields(http2)} == {
        each.name: 1 for each in fields(http2)
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UPWELL_HTTP2_STREAMS_MAX", "0"),
        ("UPWELL_HTTP2_CONNECTION_WINDOW_BYTES", "65534"),
        ("UPWELL_HTTP2_STREAM_WINDOW_BYTES", str(2**31)),
        ("UPWELL_HTTP2_PING_INTERVAL_SECONDS", "-1"),
        ("UPWELL_HEAD_BYTES_MAX", "10"),
        ("UPWELL_HEAD_FIELDS_MAX", "many"),
        ("UPWELL_HEAD_TIMEOUT_SECONDS", "-1"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    (error,) = errors(**{name: value})

    assert error.startswith(f'{name}="{value}": ')


def test_tls_is_on_when_both_files_are_there(tmp_path: Path) -> None:
    assert read(UPWELL_CERTS_DIR=str(tmp_path)).tls is None
    for name in ("tls.crt", "tls.key"):
        assert read(UPWELL_CERTS_DIR=str(tmp_path)).tls is None
        (tmp_path / name).touch()

    tls = read(UPWELL_CERTS_DIR=str(tmp_path), QUEUE_PROXY_TLS_CURVE_PREFERENCES="X25519, P-256").tls

    assert tls == TlsSettings(
        certificate=str(tmp_path / "tls.crt"),
        key=str(tmp_path / "tls.key"),
        options=TlsOptions(curves=("X25519", "prime256v1")),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"QUEUE_PROXY_TLS_MIN_VERSION": "1.1"},
        {"QUEUE_PROXY_TLS_MAX_VERSION": "2"},
        {"QUEUE_PROXY_TLS_MAX_VERSION": "1.2"},
        {"QUEUE_PROXY_TLS_CIPHER_SUITES": "TLS_ROT13"},
        {"QUEUE_PROXY_TLS_CURVE_PREFERENCES": "P-256,curvy"},
    ],
)
def test_a_tls_setting_that_is_not_known_is_refused(changes: dict[str, str]) -> None:
    (error,) = errors(**changes)

    assert error.startswith(next(iter(changes)))


@pytest.mark.parametrize(
    "text", ["null", json.dumps(dict.fromkeys(("requestMetrics", "tracing", "runtime", "enableRequestLog")))]
)
def test_null_is_a_setting_that_is_not_there(text: str) -> None:
    assert read(OBSERVABILITY_CONFIG=text).observability == read().observability


def traced(**settings: Any) -> str:
    return json.dumps({"tracing": {"protocol": "http/protobuf", "endpoint": "http://c:4318", **settings}})


def test_tracing_has_a_protocol_an_endpoint_and_a_share() -> None:
    found = read(OBSERVABILITY_CONFIG=traced(samplingRate=0.5)).observability.tracing

    assert found == TracingSettings(protocol="http/protobuf", endpoint="http://c:4318", sampler=Sampler(0.5, True))
    assert read().observability.tracing is None


def test_opentelemetrys_endpoint_wins() -> None:
    changes = {"OBSERVABILITY_CONFIG": traced(), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318"}
    found = read(**changes).observability.tracing

    assert found is not None
    assert found.endpoint == ""


@pytest.mark.parametrize(
    "settings", [{"protocol": "carrier-pigeon"}, {"samplingRate": "often"}, {"endpoint": "collector:4318"}]
)
def test_a_tracing_setting_that_makes_no_sense_is_refused(settings: dict[str, str]) -> None:
    (error,) = errors(OBSERVABILITY_CONFIG=traced(**settings))

    assert error.startswith(f"OBSERVABILITY_CONFIG: tracing.{next(iter(settings))}")
