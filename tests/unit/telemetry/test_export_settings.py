"""Where metrics are pushed to: the cluster's settings, OpenTelemetry's variables, and what is refused."""

from typing import Any

import pytest

from upwell.ports import ConfigError
from upwell.telemetry.export_settings import MetricsExport, read_metrics_export, with_path


def read(env: dict[str, str] | None = None, **section: Any) -> MetricsExport:
    return read_metrics_export(env or {}, section, "grpc", "SETTINGS: requestMetrics")


def test_an_interval_is_given_in_nanoseconds_and_is_a_minute_without_one() -> None:
    assert read(exportInterval=30_000_000_000).interval == 30
    assert read().interval == read(exportInterval=0).interval == 60


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_an_endpoint_in_opentelemetrys_variables_is_left_to_the_exporter(variable: str) -> None:
    assert read({variable: "http://there"}, endpoint="not even a URL").endpoint == ""


def test_opentelemetrys_interval_is_in_milliseconds_and_wins() -> None:
    assert read({"OTEL_METRIC_EXPORT_INTERVAL": "1500"}, exportInterval=1).interval == 1.5


@pytest.mark.parametrize(
    ("env", "section", "named"),
    [
        ({}, {"exportInterval": "30s"}, 'requestMetrics.exportInterval is "30s"'),
        ({}, {"exportInterval": -1}, 'requestMetrics.exportInterval is "-1"'),
        ({}, {"exportInterval": True}, 'requestMetrics.exportInterval is "True"'),
        ({}, {"endpoint": "collector:4317"}, 'requestMetrics.endpoint is "collector:4317"'),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "0"}, {}, 'OTEL_METRIC_EXPORT_INTERVAL="0"'),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "1m"}, {}, 'OTEL_METRIC_EXPORT_INTERVAL="1m"'),
    ],
)
def test_what_cannot_be_read_is_named(env: dict[str, str], section: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read(env, **section)


def test_a_url_without_a_path_gets_the_usual_one() -> None:
    assert with_path("http://a:1", "/v1/metrics") == with_path("http://a:1/", "/v1/metrics") == "http://a:1/v1/metrics"
    assert with_path("http://a:1/own", "/v1/metrics") == "http://a:1/own"
