"""The message that the autoscaler scrapes."""

import asyncio

from queueproxy.stats import StatsReporter
from upwell.api.stat import Stat, decode_stat
from upwell.clock import FakeClock
from upwell.policy.request_stats import RequestStats


async def test_before_the_first_report_there_is_only_the_pods_name() -> None:
    clock = FakeClock()
    reporter = StatsReporter(RequestStats(clock.monotonic()), "pod-1", clock)

    assert decode_stat(reporter.message) == Stat(pod_name="pod-1")


async def test_every_second_the_message_tells_of_that_second_alone() -> None:
    clock = FakeClock()
    stats = RequestStats(clock.monotonic())
    reporter = StatsReporter(stats, "pod-1", clock)
    running = asyncio.create_task(reporter.run())
    await asyncio.sleep(0)

    stats.request_in(clock.monotonic(), proxied=True)
    await clock.advance(0.5)
    stats.request_out(clock.monotonic(), proxied=True)
    await clock.advance(0.5)
    assert decode_stat(reporter.message) == Stat("pod-1", 0.5, 0.5, 1.0, 1.0, 1.0)

    await clock.advance(1)
    assert decode_stat(reporter.message) == Stat("pod-1", process_uptime=2.0)
    running.cancel()


async def test_a_whole_message_fits_what_the_scraper_reads() -> None:
    clock = FakeClock()
    stats = RequestStats(clock.monotonic())
    reporter = StatsReporter(stats, "p" * 253, clock)
    stats.request_in(clock.monotonic(), proxied=True)
    await clock.advance(1)
    reporter.report()

    assert len(reporter.message) <= 336
