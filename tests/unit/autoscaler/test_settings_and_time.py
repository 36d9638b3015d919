"""What the process is told, once by its environment and live by config maps, and the time it goes by."""

import asyncio
import json

import pytest

from autoscaler.cluster_settings import ClusterSettings
from autoscaler.config import ProcessConfig
from autoscaler.timeline import Timeline
from upwell.clock import FakeClock
from upwell.ports import ConfigError

ENV = {"POD_NAME": "autoscaler-1", "POD_IP": "10.0.0.9"}


def test_the_identity_is_the_pods_name_and_address() -> None:
    assert ProcessConfig.from_env(ENV).identity == "autoscaler-1_10.0.0.9"


def test_all_problems_of_the_environment_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"POD_NAME is not set.*POD_IP is not set.*UPWELL_PORT_MAP"):
        ProcessConfig.from_env({"UPWELL_PORT_MAP": "x"})


def test_a_bad_config_map_is_refused_and_the_last_good_one_stays(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"stable-window": "30s"}
    settings = ClusterSettings(lambda name: data)
    assert settings.refresh("config-autoscaler")

    data["stable-window"] = "1s"

    assert not settings.refresh("config-autoscaler")
    assert settings.autoscaler.stable_window == 30
    assert settings.refused == 1
    line = json.loads(capsys.readouterr().err)
    assert (line["config_map"], line["severity"]) == ("config-autoscaler", "ERROR")
    assert "stable-window = 1s" in line["error"]


def test_the_progress_deadline_is_followed_too() -> None:
    settings = ClusterSettings(lambda name: {"progress-deadline": "90s"})

    assert settings.refresh("config-deployment")
    assert settings.progress_deadline == 90
    assert not settings.refresh("config-of-somebody-else")


async def test_the_timeline_does_not_follow_a_clock_that_is_set(clock: FakeClock) -> None:
    timeline = Timeline(clock)
    start = timeline.now()

    await clock.advance(5)
    clock.jump(-3600)

    assert timeline.now() == start + 5


def test_a_stamp_is_believed_only_when_it_is_recent(clock: FakeClock) -> None:
    timeline = Timeline(clock)
    now = timeline.now()

    assert [timeline.moment_of(now + offset) for offset in (-2, -60, -61, 1, -now)] == [
        now - 2,
        now - 60,
        now,
        now,
        now,
    ]


async def test_a_clock_that_was_set_and_stamps_that_cannot_be_are_counted(clock: FakeClock) -> None:
    timeline = Timeline(clock)
    watching = asyncio.create_task(timeline.watch())
    await clock.advance(20)
    assert timeline.jumps == 0

    clock.jump(3600)
    await clock.advance(20)
    watching.cancel()
    timeline.moment_of(0)
    timeline.moment_of(timeline.now() + 0.5)
    timeline.moment_of(timeline.now() + 3600)

    assert (timeline.jumps, timeline.restamped) == (1, 1)
