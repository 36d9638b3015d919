"""The concurrency reporter: at once on waking, exact averages, the correction by one, and silence when quiet."""

from activator.reporter import ConcurrencyReporter
from activator.revisions import Revision, read_revision
from upwell.api.stat import Stat, WireStatMessage
from upwell.clock import FakeClock
from upwell.telemetry.metrics import Registry

LABELS = ("service", "configuration", "revision", "namespace")


class Story:
    """A reporter, its clock, and what it said."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[list[WireStatMessage]] = []
        self.gauge = Registry().gauge("concurrency", "", LABELS)
        self.reporter = ConcurrencyReporter("activator-1", self.said.append, self.clock, self.gauge)

    def arrive(self, name: str = "hello") -> Revision:
        revision = read_revision({"metadata": {"namespace": "default", "name": name}})
        self.reporter.request_in(revision)
        return revision

    def report(self) -> dict[str, tuple[float, float]]:
        stats = {message.name: message.stat for message in self.reporter.report()}
        return {name: (stat.average_concurrent_requests, stat.request_count) for name, stat in stats.items() if stat}


def test_the_first_request_is_told_at_once() -> None:
    story = Story()

    story.arrive()
    story.arrive()

    stat = Stat(pod_name="activator-1", average_concurrent_requests=1.0, request_count=1)
    assert story.said == [[WireStatMessage("default", "hello", stat)]]


async def test_the_next_report_takes_off_what_was_told_already() -> None:
    story = Story()
    story.arrive()
    story.arrive()
    story.arrive()

    await story.clock.advance(1)
    assert story.report() == {"hello": (2.0, 2)}
    await story.clock.advance(1)
    assert story.report() == {"hello": (3.0, 0)}


async def test_the_average_is_weighted_by_time_and_never_below_zero() -> None:
    story = Story()
    revision = story.arrive()
    await story.clock.advance(0.5)
    story.reporter.request_out(revision.key)
    await story.clock.advance(0.5)

    assert story.report() == {"hello": (0.0, 0)}

    story.arrive()
    await story.clock.advance(0.25)
    story.reporter.request_out(revision.key)
    await story.clock.advance(0.75)
    assert story.report() == {"hello": (0.25, 1)}


async def test_a_quiet_revision_is_reported_as_zero_once_and_then_wakes_anew() -> None:
    story = Story()
    revision = story.arrive()
    await story.clock.advance(0.5)
    story.reporter.request_out(revision.key)
    await story.clock.advance(0.5)
    story.report()

    await story.clock.advance(1)
    assert story.report() == {"hello": (0.0, 0)}
    assert story.report() == {}
    assert not story.gauge.children

    story.arrive()
    assert len(story.said) == 2


async def test_a_request_that_goes_on_keeps_its_revision_reported() -> None:
    story = Story()
    story.arrive()
    for _ in range(3):
        await story.clock.advance(1)
        assert "hello" in story.report()


async def test_all_busy_revisions_go_into_one_list_each_second() -> None:
    story = Story()
    story.arrive("one")
    story.arrive("two")

    await story.clock.advance(1)

    assert set(story.report()) == {"one", "two"}
