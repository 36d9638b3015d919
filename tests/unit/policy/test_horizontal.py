"""Class hpa: from annotations to what Kubernetes is asked for."""

from typing import Any

import pytest

from upwell.policy.autoscaler_config import AutoscalerConfig
from upwell.policy.horizontal import horizontal_spec, says_the_same
from upwell.policy.resolution import resolve

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hello-deployment"}
NO_MAXIMUM = 2147483647


def spec(reachability: str = "Reachable", **annotations: str) -> dict[str, Any]:
    given = {f"autoscaling.knative.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    given["autoscaling.knative.dev/class"] = "hpa.autoscaling.knative.dev"
    return horizontal_spec(resolve(AutoscalerConfig(), given, reachability=reachability), given, TARGET)


def test_without_annotations_kubernetes_own_defaults_hold() -> None:
    assert spec() == {"scaleTargetRef": TARGET, "maxReplicas": NO_MAXIMUM}


@pytest.mark.parametrize(
    ("metric", "target", "expected"),
    [
        (
            "cpu",
            "49.5",
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            },
        ),
        (
            "memory",
            "200",
            {
                "type": "Resource",
                "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "200Mi"}},
            },
        ),
        (
            "queue-length",
            "7",
            {
                "type": "Pods",
                "pods": {"metric": {"name": "queue-length"}, "target": {"type": "AverageValue", "averageValue": "7"}},
            },
        ),
    ],
)
def test_each_kind_of_metric_is_asked_for_in_its_own_way(metric: str, target: str, expected: dict[str, Any]) -> None:
    assert spec(metric=metric, target=target)["metrics"] == [expected]


def test_bounds_and_window_are_passed_on() -> None:
    asked = spec(min_scale="2", max_scale="5", window="30s")

    assert (asked["minReplicas"], asked["maxReplicas"]) == (2, 5)
    window = {"stabilizationWindowSeconds": 30}
    assert asked["behavior"] == {"scaleUp": window, "scaleDown": window}
    assert "minReplicas" not in spec("Unreachable", min_scale="2")


def test_what_the_api_server_fills_in_is_no_difference() -> None:
    stored = {
        **spec(window="30s"),
        "minReplicas": 1,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
        "behavior": {
            way: {"stabilizationWindowSeconds": 30, "selectPolicy": "Max", "policies": []}
            for way in ("scaleUp", "scaleDown")
        },
    }

    assert says_the_same(stored, spec(window="30s"))
    for other in (spec(), spec(window="30s", min_scale="2"), spec(window="30s", target="70")):
        assert not says_the_same(stored, other)
