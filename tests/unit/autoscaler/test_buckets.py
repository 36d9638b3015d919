"""Buckets: every replica divides the revisions alike, by leases or by the ordinals of a StatefulSet."""

import pytest

from autoscaler.buckets import Buckets, StatefulSet
from autoscaler.config import ProcessConfig
from upwell.api.objects import Key
from upwell.policy.subset import choose_subset
from upwell.ports import ConfigError

MEMBER = {"STATEFUL_CONTROLLER_ORDINAL": "autoscaler-1", "STATEFUL_SERVICE_NAME": "autoscaler"}


def test_buckets_have_the_names_of_their_leases_and_share_the_revisions() -> None:
    buckets = Buckets.leased(3)
    keys = [Key("default", f"revision-{number}") for number in range(300)]

    assert buckets.names == tuple(f"autoscaler-bucket-0{number}-of-03" for number in range(3))
    shares = [sum(buckets.of(key) == name for key in keys) for name in buckets.names]
    assert sum(shares) == 300
    assert min(shares) > 30
    for key in keys[:20]:
        assert {buckets.of(key)} == choose_subset(buckets.names, 1, f"default/{key.name}")


def test_one_bucket_has_them_all() -> None:
    assert Buckets.leased(1).of(Key("any", "thing")) == "autoscaler-bucket-00-of-01"


def test_in_a_stateful_set_buckets_are_the_addresses_of_its_pods() -> None:
    place = StatefulSet.from_env({**MEMBER, "STATEFUL_SERVICE_PORT": "8080", "SYSTEM_NAMESPACE": "system"})

    assert place is not None
    assert place.ordinal == 1
    buckets = place.buckets(2)
    assert buckets.names[1] == "http://autoscaler-1.autoscaler.system.svc.cluster.local:8080"
    assert buckets.object_name(buckets.names[1]) == "autoscaler-bucket-01-of-02"
    assert StatefulSet.from_env({}) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"STATEFUL_CONTROLLER_ORDINAL": ""}, "both, or neither"),
        ({"STATEFUL_CONTROLLER_ORDINAL": "autoscaler"}, 'STATEFUL_CONTROLLER_ORDINAL="autoscaler"'),
        ({"STATEFUL_SERVICE_PORT": "http"}, 'STATEFUL_SERVICE_PORT="http"'),
    ],
)
def test_a_place_that_cannot_be_read_is_named(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ProcessConfig.from_env({"POD_NAME": "a", "POD_IP": "b", **MEMBER, **change})
