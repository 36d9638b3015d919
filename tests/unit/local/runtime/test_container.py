"""One container: starting, restarting, probing, ending; on a fake clock with processes on paper."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.runtime.fakes import FakeLauncher
from upwell.clock import FakeClock
from upwell.local.runtime.container import Container, Running, Terminated, Waiting
from upwell.local.runtime.launcher import LaunchError
from upwell.local.runtime.logs import ContainerLog
from upwell.local.runtime.probes import Probe
from upwell.local.runtime.spec import ContainerSpec

READY = Probe(kind="exec", command=("ready?",), period=10.0)
ALIVE = Probe(kind="exec", command=("alive?",), period=10.0, failure_threshold=2)


class Story:
    """A container with everything around it under the test's control."""

    def __init__(self, folder: Path, spec: ContainerSpec, **options: Any) -> None:
        self.clock = FakeClock()
        self.launcher = FakeLauncher(self.clock)
        self.changes = 0
        log = ContainerLog(folder / "app.log")
        self.container = Container(spec, log, self.launcher, self.clock, self._changed, **options)

    def _changed(self) -> None:
        self.changes += 1

    async def passes(self, seconds: float = 0.0) -> None:
        await self.clock.advance(seconds)


Begin = Callable[..., Any]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    @asynccontextmanager
    async def running(
        refusal: LaunchError | None = None, once: bool = False, answers: dict[str, int] | None = None, **fields: Any
    ) -> AsyncIterator[Story]:
        explain = fields.pop("explain", None)
        story = Story(tmp_path, ContainerSpec(name="app", command=("app",), **fields), once=once, explain=explain)
        story.launcher.refusal = refusal
        story.launcher.answers = answers or {}
        task = asyncio.create_task(story.container.run())
        await story.passes()
        yield story
        story.container.kill()
        await story.passes(60)
        await asyncio.wait_for(task, 1)

    return running


async def test_a_container_without_probes_is_ready_as_soon_as_it_runs(begin: Begin) -> None:
    async with begin() as story:
        assert isinstance(story.container.state, Running)
        assert story.container.started
        assert story.container.ready


async def test_a_process_that_ends_is_started_again_at_once(begin: Begin) -> None:
    async with begin() as story:
        story.launcher.process.exit(-9)
        await story.passes()

        assert isinstance(story.container.state, Running)
        assert story.container.restarts == 1
        assert len(story.launcher.started) == 2


async def test_what_ended_it_stays_visible(begin: Begin) -> None:
    async with begin() as story:
        story.launcher.process.exit(-9)
        await story.passes()

        last = story.container.last
        assert last is not None
        assert (last.exit_code, last.signal, last.reason) == (137, 9, "Error")


async def test_a_process_that_keeps_failing_waits_in_crash_loop_back_off(begin: Begin) -> None:
    async with begin() as story:
        for _ in range(2):
            story.launcher.process.exit(3)
            await story.passes()

        assert story.container.state == Waiting("CrashLoopBackOff", "app ended with exit code 3; next start in 0.25 s")
        assert not story.container.ready
        await story.passes(0.3)
        assert isinstance(story.container.state, Running)
        assert story.container.restarts == 2


async def test_the_end_of_the_log_explains_a_failure_where_the_specification_asks_for_it(begin: Begin) -> None:
    async with begin(log_as_message=True) as story:
        story.container.log.open().close()
        story.container.log.path.write_text("Traceback\nModuleNotFoundError: No module named 'aiohttp'\n")
        story.launcher.process.exit(1)
        await story.passes()

        assert story.container.last is not None
        assert story.container.last.message.endswith("No module named 'aiohttp'")


async def test_a_command_that_cannot_be_started_is_tried_again_and_shows_why(begin: Begin) -> None:
    async with begin(refusal=LaunchError("CommandNotFound", "app: not on PATH")) as story:
        assert story.container.state == Waiting("CommandNotFound", "app: not on PATH")

        story.launcher.refusal = None
        await story.passes(0.3)

        assert isinstance(story.container.state, Running)
        assert story.container.restarts == 0


async def test_readiness_follows_the_probe(begin: Begin) -> None:
    async with begin(readiness=READY) as story:
        await story.passes(0.01)
        assert story.container.ready

        story.launcher.answers["ready?"] = 1
        await story.passes(29)
        assert story.container.ready
        await story.passes(2)

        assert not story.container.ready
        assert isinstance(story.container.state, Running)


async def test_a_container_that_is_long_not_ready_says_why(begin: Begin) -> None:
    async def explain() -> str:
        return "nobody listens"

    async with begin(readiness=READY, explain=explain) as story:
        story.launcher.answers["ready?"] = 1
        await story.passes(31)

        expected = "readiness probe failed: command ended with exit code 1: nobody listens"
        assert story.container.not_ready_because == expected


async def test_the_same_reason_is_told_once(begin: Begin) -> None:
    async with begin(readiness=READY) as story:
        story.launcher.answers["ready?"] = 1
        await story.passes(40)
        changes = story.changes

        await story.passes(20)

        assert story.changes == changes


async def test_a_container_that_is_no_longer_alive_is_restarted(begin: Begin) -> None:
    async with begin(liveness=ALIVE) as story:
        story.launcher.answers["alive?"] = 1
        await story.passes(21)

        first = story.launcher.started[0]
        assert first.signals[0] is signal.SIGTERM
        assert story.container.restarts == 1
        assert story.container.last is not None
        assert story.container.last.message == "liveness probe failed: command ended with exit code 1"


async def test_nothing_else_is_asked_before_the_startup_probe_passes(begin: Begin) -> None:
    up = Probe(kind="exec", command=("up?",))
    async with begin(startup=up, readiness=READY, answers={"up?": 1}) as story:
        await story.passes(1)
        assert not story.container.started
        assert "ready?" not in story.launcher.executed

        story.launcher.answers = {}
        await story.passes(1)

        assert story.container.started
        assert story.container.ready


async def test_stopping_asks_first_and_kills_when_the_grace_period_is_over(begin: Begin) -> None:
    async with begin() as story:
        story.launcher.obedient = False
        story.launcher.process.exit(0)
        await story.passes()
        stopping = asyncio.create_task(story.container.stop(5.0))
        await story.passes(4.9)
        assert story.launcher.process.signals == [signal.SIGTERM]

        await story.passes(0.2)

        assert story.launcher.process.signals == [signal.SIGTERM, signal.SIGKILL]
        await stopping
        assert isinstance(story.container.state, Terminated)


async def test_the_pre_stop_hook_comes_before_sigterm(begin: Begin) -> None:
    async with begin(pre_stop=Probe(kind="exec", command=("drain",))) as story:
        await story.container.stop(5.0)

        assert story.launcher.executed == ["drain"]
        assert story.launcher.process.signals == [signal.SIGTERM]


async def test_a_stopped_container_is_not_started_again(begin: Begin) -> None:
    async with begin() as story:
        await story.container.stop(5.0)
        await story.passes(60)

        assert len(story.launcher.started) == 1


async def test_an_init_container_runs_until_it_succeeds_and_then_no_more(begin: Begin) -> None:
    async with begin(once=True) as story:
        story.launcher.process.exit(1)
        await story.passes()
        story.launcher.process.exit(0)
        await story.passes(10)

        assert story.container.completed
        assert len(story.launcher.started) == 2
