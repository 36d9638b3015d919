"""What stands behind a public Service: slices that change little, and an Endpoints object that says the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from activator.public_address import SLICE_MOST, plan_slices, public_endpoints
from activator.sks import Backends, public_service, ready_backends
from upwell.api.objects import Object, annotations_of, labels_of, name_of

SKS: Object = {
    "apiVersion": "networking.internal.knative.dev/v1alpha1",
    "kind": "ServerlessService",
    "metadata": {"namespace": "default", "name": "app-00001", "uid": "sks-uid", "labels": {"app": "app-00001"}},
    "spec": {"mode": "Serve", "protocolType": "http1"},
}
SERVICE = public_service(SKS)


def backends(numbers: set[int], port: int = 8012, **endpoint: Any) -> Backends:
    endpoints = [{"addresses": [address(number)], **endpoint} for number in sorted(numbers)]
    return ready_backends([{"ports": [{"name": "http", "port": port}], "endpoints": endpoints}], "http")


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def addresses(made: list[Object]) -> list[str]:
    return [item["addresses"][0] for one in made for item in one["endpoints"]]


def changed(before: list[Object], after: list[Object]) -> int:
    """How many slices are written or deleted to get from one to the other."""
    old, new = ({name_of(one): one for one in made} for made in (before, after))
    return sum(old.get(name) != new.get(name) for name in old.keys() | new.keys())


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.sets(st.integers(0, 900), max_size=700), min_size=1, max_size=5))
def test_whatever_comes_and_goes_each_address_is_listed_once_and_no_slice_is_empty_or_too_full(
    steps: list[set[int]],
) -> None:
    made: list[Object] = []
    for wanted in steps:
        made = plan_slices(SKS, SERVICE, backends(wanted), made)

        assert sorted(addresses(made)) == sorted(map(address, wanted))
        assert len({name_of(one) for one in made}) == len(made)
        assert all(0 < len(one["endpoints"]) <= SLICE_MOST for one in made)
        assert len(made) <= max(1, 2 * -(-len(wanted) // SLICE_MOST))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(300, 1000), st.integers(0, 2000))
def test_one_pod_more_or_less_is_a_change_of_one_slice(count: int, other: int) -> None:
    crowd = set(range(count))
    before = plan_slices(SKS, SERVICE, backends(crowd), [])

    assert changed(before, plan_slices(SKS, SERVICE, backends(crowd), before)) == 0
    assert changed(before, plan_slices(SKS, SERVICE, backends(crowd ^ {other}), before)) == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sets(st.integers(0, 400), min_size=1, max_size=300),
    st.sets(st.integers(0, 400), min_size=1, max_size=300),
    st.sampled_from([8012, 9012]),
)
def test_at_every_step_of_a_flip_the_address_leads_to_who_was_there_or_will_be(
    before: set[int], after: set[int], port: int
) -> None:
    there = {name_of(one): one for one in plan_slices(SKS, SERVICE, backends(before), [])}
    planned = plan_slices(SKS, SERVICE, backends(after, port=port), list(there.values()))
    stale = there.keys() - {name_of(one) for one in planned}

    for one in planned:
        there[name_of(one)] = one
        assert set(addresses(list(there.values()))) & {address(number) for number in after}
        # Who stays is there all the while.
        assert {address(number) for number in before & after} <= set(addresses(list(there.values())))
    for name in stale:
        del there[name]
        assert there
    assert sorted(addresses(list(there.values()))) == sorted(map(address, after))


def test_a_pod_that_is_replaced_is_a_change_of_one_slice_too() -> None:
    before = plan_slices(SKS, SERVICE, backends(set(range(250))), [])

    after = plan_slices(SKS, SERVICE, backends(set(range(251)) - {7}), before)

    assert changed(before, after) == 1
    assert address(250) in addresses(after)


def test_a_flip_to_the_same_ports_fills_a_slice_that_is_there() -> None:
    pods = plan_slices(SKS, SERVICE, backends(set(range(250))), [])

    (made,) = plan_slices(SKS, SERVICE, backends({1000, 1001}), pods)

    assert name_of(made) in {name_of(one) for one in pods}


def test_other_ports_are_other_slices() -> None:
    before = plan_slices(SKS, SERVICE, backends({1}), [])

    (made,) = plan_slices(SKS, SERVICE, backends({1}, port=9012), before)

    assert name_of(made) != name_of(before[0])
    assert made["ports"] == [{"name": "http", "port": 9012}]


def test_the_endpoints_object_says_the_same_and_is_not_to_be_mirrored() -> None:
    made = public_endpoints(SKS, backends({1, 2}, targetRef={"kind": "Pod", "name": "p"}, zone="z"))

    assert made["subsets"] == [
        {
            "addresses": [{"ip": address(number), "targetRef": {"kind": "Pod", "name": "p"}} for number in (1, 2)],
            "ports": [{"name": "http", "port": 8012}],
        }
    ]
    assert labels_of(made) == {
        "app": "app-00001",
        "networking.internal.knative.dev/serverlessservice": "app-00001",
        "networking.internal.knative.dev/serviceType": "Public",
        "endpointslice.kubernetes.io/skip-mirror": "true",
    }
    assert made["metadata"]["ownerReferences"][0]["uid"] == "sks-uid"


def test_the_endpoints_object_holds_a_thousand_addresses_and_says_when_there_are_more() -> None:
    full, more = (public_endpoints(SKS, backends(set(range(count)))) for count in (1000, 1001))

    assert [len(made["subsets"][0]["addresses"]) for made in (full, more)] == [1000, 1000]
    assert "endpoints.kubernetes.io/over-capacity" not in annotations_of(full)
    assert annotations_of(more)["endpoints.kubernetes.io/over-capacity"] == "truncated"
