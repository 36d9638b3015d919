"""One pod: the order of its containers, its readiness, its end, and the status that is reported of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.runtime.fakes import FakeLauncher
from upwell.clock import FakeClock
from upwell.local.runtime.launcher import LaunchError
from upwell.local.runtime.logs import PodLogs
from upwell.local.runtime.pod import Pod
from upwell.local.runtime.probes import Probe
from upwell.local.runtime.spec import ContainerSpec, PodSpec
from upwell.local.runtime.status import pod_status, unready_message

OBJECT = {"metadata": {"name": "web-abc-12345", "namespace": "default", "labels": {"pod-template-hash": "abc"}}}
READY = Probe(kind="exec", command=("ready?",))


class Story:
    def __init__(self, folder: Path, *containers: ContainerSpec, init: tuple[ContainerSpec, ...] = ()) -> None:
        self.clock = FakeClock()
        self.launcher = FakeLauncher(self.clock)
        self.statuses: list[dict[str, Any]] = []
        spec = PodSpec(containers=containers, init_containers=init, grace=10.0)
        logs = PodLogs(folder)
        self.pod = Pod.build(OBJECT, spec, "uid", self.launcher, logs, self.clock, self._changed)

    def _changed(self, pod: Pod) -> None:
        self.statuses.append(pod_status(pod))

    def started(self) -> list[str]:
        return [process.name for process in self.launcher.started]

    def condition(self, name: str) -> dict[str, Any]:
        conditions = self.statuses[-1]["conditions"]
        return next(item for item in conditions if item["type"] == name)


Begin = Callable[..., Any]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    @asynccontextmanager
    async def running(
        *containers: ContainerSpec, answers: dict[str, int] | None = None, **options: Any
    ) -> AsyncIterator[Story]:
        refusal = options.pop("refusal", None)
        story = Story(tmp_path, *containers, **options)
        story.launcher.answers = answers or {}
        story.launcher.refusal = refusal
        task = asyncio.create_task(story.pod.run())
        await story.clock.advance(0)
        yield story
        story.pod.terminate(0)
        await story.clock.advance(60)
        await asyncio.wait_for(task, 1)

    return running


def container(name: str, **fields: Any) -> ContainerSpec:
    return ContainerSpec(name=name, command=(name,), **fields)


async def test_all_containers_start_together(begin: Begin) -> None:
    async with begin(container("app"), container("queue-proxy")) as story:
        assert story.started() == ["app", "queue-proxy"]
        assert story.pod.ready
        assert story.statuses[-1]["phase"] == "Running"


async def test_init_containers_come_first_one_after_the_other(begin: Begin) -> None:
    async with begin(container("app"), init=(container("one"), container("two"))) as story:
        assert story.started() == ["one"]
        assert story.condition("Initialized")["status"] == "False"
        assert story.statuses[-1]["phase"] == "Pending"

        story.launcher.process.exit(0)
        await story.clock.advance(0)
        assert story.started() == ["one", "two"]
        story.launcher.process.exit(0)
        await story.clock.advance(0)

        assert story.started() == ["one", "two", "app"]
        assert story.condition("Initialized")["status"] == "True"


async def test_a_pod_is_ready_when_all_of_its_containers_are(begin: Begin) -> None:
    async with begin(container("app"), container("queue-proxy", readiness=READY), answers={"ready?": 1}) as story:
        assert not story.pod.ready
        assert story.condition("Ready")["reason"] == "ContainersNotReady"
        assert "[queue-proxy]" in story.condition("Ready")["message"]

        story.launcher.answers = {}
        await story.clock.advance(5)

        assert story.pod.ready
        assert story.condition("Ready")["status"] == "True"


async def test_a_condition_changes_its_time_only_with_its_status(begin: Begin) -> None:
    async with begin(container("app", readiness=READY), answers={"ready?": 1}) as story:
        before = story.condition("Ready")["lastTransitionTime"]
        await story.clock.advance(30)
        assert story.condition("Ready")["lastTransitionTime"] == before

        story.launcher.answers = {}
        await story.clock.advance(30)

        assert story.condition("Ready")["lastTransitionTime"] != before


async def test_a_container_that_died_makes_the_pod_not_ready_at_once(begin: Begin) -> None:
    async with begin(container("app"), container("queue-proxy")) as story:
        for _ in range(2):
            story.launcher.started[0 if len(story.launcher.started) == 2 else -1].exit(1)
            await story.clock.advance(0)

        status = story.statuses[-1]["containerStatuses"][0]
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert not story.pod.ready


async def test_the_sidecar_is_asked_again_when_the_app_behind_it_was_restarted(begin: Begin) -> None:
    async with begin(container("app"), container("queue-proxy", readiness=READY, queue_proxy=True)) as story:
        await story.clock.advance(1)
        assert story.pod.ready

        story.launcher.answers = {"ready?": 1}
        story.launcher.started[0].exit(-9)
        await story.clock.advance(1)
        assert story.started() == ["app", "queue-proxy", "app"]
        assert not story.pod.ready

        story.launcher.answers = {}
        await story.clock.advance(1)
        assert story.pod.ready


async def test_a_container_that_cannot_start_is_the_pods_problem(begin: Begin) -> None:
    refusal = LaunchError("CommandMissing", "container app has no command: add command: [...]")
    async with begin(container("app"), refusal=refusal) as story:
        assert story.pod.problem is not None
        assert story.pod.problem.reason == "CommandMissing"
        assert "add command: [...]" in unready_message(story.pod)
        assert story.statuses[-1]["phase"] == "Pending"


async def test_asking_again_with_less_time_ends_the_pod_sooner(begin: Begin) -> None:
    async with begin(container("app")) as story:
        story.launcher.obedient = False
        story.launcher.process.exit(0)
        await story.clock.advance(0)
        story.pod.terminate(100)
        await story.clock.advance(1)
        assert not story.launcher.process.exited.done()

        story.pod.terminate(0)
        await asyncio.wait_for(story.launcher.process.exited, 1)

        assert story.pod.terminating
