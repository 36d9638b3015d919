"""Whose lease is waited for, and whose is not."""

from typing import Any

import pytest

from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import new_object
from upwell.api.resources import LEASE, POD
from upwell.clock import FakeClock
from upwell.cluster.election import candidate, free_lease_of_gone_pod

SYSTEM = "knative-serving"


@pytest.fixture(name="api")
def api_fixture() -> FakeApi:
    api = FakeApi()
    spec = {"holderIdentity": "controller-old_10.0.0.7", "leaseDurationSeconds": 15}
    api.put(LEASE, new_object(LEASE, SYSTEM, "controller", spec=spec))
    return api


async def holder(api: FakeApi) -> Any:
    return (await api.get(LEASE, "controller", SYSTEM))["spec"]["holderIdentity"]


async def test_the_lease_of_a_pod_that_is_gone_is_given_back(api: FakeApi) -> None:
    await free_lease_of_gone_pod(api, "controller", SYSTEM)

    assert await holder(api) == ""


async def test_a_pod_that_exists_is_waited_for(api: FakeApi) -> None:
    api.put(POD, new_object(POD, SYSTEM, "controller-old"))

    await free_lease_of_gone_pod(api, "controller", SYSTEM)

    assert await holder(api) == "controller-old_10.0.0.7"


async def test_a_holder_that_is_no_pod_is_waited_for(api: FakeApi) -> None:
    await api.patch(LEASE, "controller", SYSTEM, {"spec": {"holderIdentity": "controller-4711"}})

    await free_lease_of_gone_pod(api, "controller", SYSTEM)

    assert await holder(api) == "controller-4711"


async def test_where_there_is_no_lease_there_is_nothing_to_free(api: FakeApi) -> None:
    await free_lease_of_gone_pod(api, "other", SYSTEM)

    assert api.writes == []


def test_times_that_cannot_be_used_are_told_and_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    candidate(FakeApi(), "controller", SYSTEM, "me", {"lease-duration": "soon"}, FakeClock())

    assert 'lease-duration=\\"soon\\"' in capsys.readouterr().err
