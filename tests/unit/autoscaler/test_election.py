"""The lease of a pod that is gone is not waited for; any other is."""

import pytest

from autoscaler.election import BUCKET, elector, free_lease_of_gone_pod
from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Key, new_object
from upwell.api.resources import LEASE, POD
from upwell.clock import FakeClock

SYSTEM = "knative-serving"


async def holder_after_a_look(holder: str, *pods: str) -> str:
    api = FakeApi()
    api.put(LEASE, new_object(LEASE, SYSTEM, BUCKET, spec={"holderIdentity": holder, "leaseDurationSeconds": 15}))
    for pod in pods:
        api.put(POD, new_object(POD, SYSTEM, pod))
    await free_lease_of_gone_pod(api, SYSTEM)
    return str(api.objects[LEASE, Key(SYSTEM, BUCKET)]["spec"]["holderIdentity"])


async def test_the_lease_of_a_pod_that_is_no_more_is_given_back() -> None:
    assert await holder_after_a_look("autoscaler-1_10.0.0.1", "autoscaler-2") == ""


async def test_the_lease_of_a_pod_that_exists_is_left_alone() -> None:
    assert await holder_after_a_look("autoscaler-1_10.0.0.1", "autoscaler-1") == "autoscaler-1_10.0.0.1"


async def test_the_lease_of_a_holder_whose_pod_is_not_known_is_left_alone() -> None:
    assert await holder_after_a_look("somebody") == "somebody"


async def test_without_a_lease_there_is_nothing_to_do() -> None:
    api = FakeApi()
    await free_lease_of_gone_pod(api, SYSTEM)
    assert api.writes == []


def test_times_that_cannot_be_used_are_named_and_the_defaults_hold(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    elector(FakeApi(), SYSTEM, "me", {"lease-duration": "soon"}, clock)

    assert "lease-duration" in capsys.readouterr().err
