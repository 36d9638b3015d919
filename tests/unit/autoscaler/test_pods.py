"""Pods: which state counts as what, and where the ready ones are scraped."""

from autoscaler.pods import NO_PODS, PodCounts, Pods, ReadyPod
from tests.unit.autoscaler.conftest import pod
from upwell.api.objects import Key

HELLO = Key("default", "hello")


class Watched:
    def __init__(self) -> None:
        self.changes: list[Key] = []
        self.gone: list[ReadyPod] = []
        self.pods = Pods(self.changes.append, self.gone.append)


def test_pods_are_counted_by_what_they_mean_for_scaling() -> None:
    pods = Watched().pods
    for one in (
        pod("ready"),
        pod("starting", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("going", deletionTimestamp="2000-01-01T00:00:00Z"),
        pod("done", phase="Succeeded", ready=False),
        pod("other", revision="other"),
    ):
        pods.changed(None, one)

    assert pods.counts(HELLO) == PodCounts(ready=1, not_ready=3, pending=1, terminating=1)


def test_the_statistics_port_is_the_one_with_its_name_or_else_the_contracts() -> None:
    pods = Watched().pods
    pods.changed(None, pod("a", port=20111))
    pods.changed(None, pod("b", started=50))

    assert pods.ready(HELLO) == [ReadyPod("a", "10.0.0.1", 20111, 0), ReadyPod("b", "10.0.0.1", 9090, 50)]


def test_a_revision_without_pods_is_forgotten() -> None:
    watched = Watched()
    one = pod("a")
    watched.pods.changed(None, one)
    watched.pods.changed(one, None)

    assert watched.pods.counts(HELLO) == NO_PODS
    assert watched.pods.ready(HELLO) == []
    assert watched.gone == [ReadyPod("a", "10.0.0.1", 9090, 0)]


def test_only_changes_that_matter_are_passed_on() -> None:
    watched = Watched()
    before, after = pod("a"), pod("a", annotations={"of": "no interest"})
    watched.pods.changed(None, before)
    watched.pods.changed(before, after)
    watched.pods.changed(after, pod("a", ready=False))

    assert watched.changes == [HELLO, HELLO]
    assert watched.gone == []
