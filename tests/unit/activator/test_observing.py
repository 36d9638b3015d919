"""What is told of requests, as the settings of the cluster have it."""

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from activator.config import ActivatorConfig
from activator.metrics import Metrics
from activator.observing import Observers
from activator.tracing_setup import TracingSetup, resource_attributes
from upwell.clock import FakeClock
from upwell.ports import ConfigError

if TYPE_CHECKING:
    from upwell.telemetry.tracing import SpanSender
    from upwell.telemetry.tracing_settings import TracingSettings

ENV = {"POD_NAME": "activator-1", "POD_IP": "10.0.0.1"}
ON = {"logging.enable-request-log": "true"}


def observers() -> Observers:
    return Observers(Metrics(), FakeClock())


def test_the_request_log_is_off_until_it_is_asked_for_and_can_be_switched_off_again() -> None:
    observed = observers()
    assert not logs(observed)

    observed.configure(ON)
    assert logs(observed)
    observed.configure({})
    assert not logs(observed)


def logs(observed: Observers) -> bool:
    return observed.request_log is not None


@pytest.mark.parametrize(
    "settings",
    [{**ON, "logging.request-log-template": "{{.Nonsense}}"}, {"logging.enable-request-log": "perhaps"}],
)
def test_settings_that_cannot_be_used_change_nothing(settings: dict[str, str]) -> None:
    observed = observers()
    observed.configure(ON)
    before = observed.request_log

    observed.configure(settings)

    assert observed.request_log is before


async def test_tracing_follows_the_settings_and_stays_as_it_is_with_bad_ones() -> None:
    observed = observers()
    setup = TracingSetup(observed, resource_attributes(ActivatorConfig.from_env(ENV), {}), {})
    running = asyncio.create_task(setup.run())

    setup.configure({"tracing-protocol": "stdout"})
    await until(lambda: observed.tracing is not None)
    first = observed.tracing
    setup.configure({"tracing-protocol": "smoke signals"})
    setup.configure({"tracing-protocol": "stdout", "tracing-sampling-rate": "0.5"})  # stdout takes all anyway
    await asyncio.sleep(0)
    assert observed.tracing is first
    setup.configure({})
    await until(lambda: observed.tracing is None)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("turns", range(8))
async def test_an_end_that_comes_just_as_the_last_spans_are_sent_is_an_end(turns: int) -> None:
    released, closing = threading.Event(), threading.Event()

    class Sender:
        def close(self) -> None:
            closing.set()
            released.wait(10)

    setup = TracingSetup(observers(), {}, {})
    setup._sender = cast("SpanSender", Sender())
    setup._current = cast("TracingSettings", "what is to be switched off")
    setup.configure({})
    running = asyncio.create_task(setup.run())
    await until(closing.is_set)

    released.set()
    for thread in threading.enumerate():
        if thread.name == "span flush":
            thread.join(10)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()

    async with asyncio.timeout(10):
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def until(look: Any) -> None:
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.005)


def test_what_this_process_is_called() -> None:
    config = ActivatorConfig.from_env(ENV)

    assert resource_attributes(config, {})["service.name"] == "activator"
    assert resource_attributes(config, {"OTEL_SERVICE_NAME": "front"})["service.name"] == "front"
    assert b'target_info{k8s_pod_name="activator-1"}' in Metrics({"k8s.pod.name": "activator-1"}).registry.render()


@pytest.mark.parametrize("variable", ["ACTIVATOR_FLIPS", "UPWELL_SERVER_TIMING"])
def test_a_switch_is_true_or_false(variable: str) -> None:
    with pytest.raises(ConfigError, match=f'{variable}="maybe": it has to be true or false'):
        ActivatorConfig.from_env({**ENV, variable: "maybe"})
