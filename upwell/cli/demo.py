"""`upwell demo`: a Service from zero to N and back, on this machine, with the real platform.

The phases: start the platform, apply the Service and wait for Ready, wait until it has gone to zero, send one
request there (the cold start), keep enough requests in flight that several pods are needed, stop, and wait for
zero again. While it runs, a display (or plain lines without a terminal) shows what happens; at the end there is a
summary, a chart, an HTML page and, if asked for, JSON. It fails if a single request failed.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import upwell
from upwell.api.objects import name_of, namespace_of
from upwell.api.resources import SERVICE
from upwell.charts.drawing import Mark
from upwell.cli.apply import apply_documents
from upwell.cli.demo_display import Display, make_display
from upwell.cli.demo_report import Sample, Summary, cold_start_phases, write_html, write_json
from upwell.cli.documents import Document, load_files
from upwell.cli.errors import CommandError
from upwell.cli.observe import Observer, observing
from upwell.cli.session import free_port, platform_root
from upwell.cli.tasks import background
from upwell.cli.traffic import Traffic, percentile
from upwell.local.platform import Platform, PlatformError

__all__ = ["DemoOptions", "demo"]

_SAMPLE_SECONDS = 0.25
_READY_SECONDS = 30.0
_ZERO_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line sets."""

    file: Path
    """The Service to show."""
    json: Path | None
    html: Path | None
    port: int
    """The gateway's port; 0 takes a free one, so that the demo never meets another platform."""
    concurrency: int
    """Requests in flight in the burst."""
    burst_seconds: float
    request_ms: int
    """How long the app takes for one request of the burst."""

    @staticmethod
    def default_file() -> Path:
        return Path(upwell.__file__).parent.parent / "examples" / "hello" / "service.yaml"


async def demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit code: 0 only if no request failed and it ended at zero."""
    documents = load_files([options.file])
    service = next((document for document in documents if document.resource is SERVICE), None)
    if service is None:
        raise CommandError(
            f"{options.file}: there is no Service in it", "name a file with a serving.knative.dev/v1 Service"
        )
    root = platform_root() / "demo"
    shutil.rmtree(root / "state", ignore_errors=True)
    with make_display() as display:
        platform = Platform(root, gateway_port=options.port or free_port())
        try:
            display.phase("start the platform")
            await platform.start()
            summary = await _alongside(platform, _Story(platform, service, documents, options, display).run())
        except PlatformError as error:
            raise CommandError(str(error)) from error
        finally:
            await platform.stop()
    if options.html:
        write_html(summary, options.html)
    if options.json:
        write_json(summary, options.json)
    for line in summary.lines(options.html):
        print(line)
    return 0 if summary.good else 1


def _at_zero(observer: Observer) -> bool:
    return observer.state.desired == 0 and observer.state.pods == 0


async def _alongside(platform: Platform, story: Coroutine[Any, Any, Summary]) -> Summary:
    """Run the story while the platform is supervised; a platform that gives up ends the story."""
    supervisor = asyncio.create_task(platform.run(), name="platform")
    told = asyncio.create_task(story, name="demo")
    try:
        await asyncio.wait((supervisor, told), return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            supervisor.result()
            raise CommandError("the platform ended before the demo did", "see the logs under .upwell/logs")
        return told.result()
    finally:
        for task in (supervisor, told):
            task.cancel()
        await asyncio.gather(supervisor, told, return_exceptions=True)


class _Story:
    """The phases in order, and what was seen in them."""

    def __init__(
        self, platform: Platform, service: Document, documents: list[Document], options: DemoOptions, display: Display
    ) -> None:
        self._platform = platform
        self._service = service
        self._documents = documents
        self._options = options
        self._display = display
        self._started = monotonic()
        self._samples: list[Sample] = []
        self._marks: list[Mark] = []
        self._traffic = Traffic(f"http://127.0.0.1:{platform.gateway_port}", "")

    async def run(self) -> Summary:
        name, namespace = name_of(self._service.obj), namespace_of(self._service.obj)
        self._phase("apply")
        await apply_documents(self._platform.client, self._documents)
        async with (
            observing(self._platform.client, namespace, name) as observer,
            background("demo sampler", self._sample(observer)),
        ):
            return await self._phases(observer)

    async def _phases(self, observer: Observer) -> Summary:
        await self._expect(observer, "Ready", lambda: observer.state.ready, _READY_SECONDS)
        # Set once the Service is Ready, since only then is its address known.
        self._traffic.host = urlsplit(observer.state.url).hostname or ""
        self._phase("wait for zero")
        await self._expect(observer, "zero", lambda: _at_zero(observer), _ZERO_SECONDS)
        self._phase("one request at zero")
        phases = await self._cold_start(observer)
        self._phase("burst")
        path = f"/?ms={self._options.request_ms}"
        await self._traffic.burst(self._options.concurrency, self._options.burst_seconds, path)
        self._phase("stop and wait for zero")
        stopped = monotonic()
        await self._expect(observer, "zero", lambda: _at_zero(observer), _ZERO_SECONDS)
        traffic = self._traffic
        return Summary(
            requests=traffic.sent,
            answered=traffic.answered,
            failed=traffic.failed,
            failures=dict(traffic.failures),
            cold_start_ms=phases["first_byte"],
            cold_start_phases_ms=phases,
            peak_pods=max(sample.ready_pods for sample in self._samples),
            seconds_to_zero=round(monotonic() - stopped, 1),
            seconds=round(monotonic() - self._started, 1),
            latency_ms={f"p{p}": round(percentile(traffic.latencies_ms, p), 1) for p in (50, 95, 99)},
            samples=self._samples,
            marks=self._marks,
        )

    async def _cold_start(self, observer: Observer) -> dict[str, float]:
        before = set(observer.state.starts)
        async with self._traffic.session(1) as session:
            sent = monotonic()
            first_byte = await self._traffic.request(session)
            if first_byte < 0:
                kinds = ", ".join(self._traffic.failures)
                raise CommandError(f"the request at zero failed: {kinds}", "see `upwell logs hello` of an `upwell up`")
        await self._expect(observer, "a pod", lambda: observer.state.ready_pods > 0, 10.0)
        return cold_start_phases(observer.state, before, sent, first_byte)

    def _phase(self, name: str) -> None:
        self._marks.append(Mark(monotonic() - self._started, name))
        self._display.phase(name)

    async def _expect(self, observer: Observer, what: str, reached: Callable[[], bool], timeout: float) -> None:
        if not await observer.wait_for(lambda _: reached(), timeout):
            reason = observer.state.reason or "no reason given"
            raise CommandError(
                f"not {what} after {timeout:.0f} s: {reason}", "run it again, or see docs/how-to/troubleshooting.md"
            )

    async def _sample(self, observer: Observer) -> None:
        while True:
            state, traffic = observer.state, self._traffic
            recent = sorted(traffic.recent_ms)
            sample = Sample(
                seconds=round(monotonic() - self._started, 2),
                desired=state.desired,
                ready_pods=state.ready_pods,
                in_flight=traffic.in_flight,
                sent=traffic.sent,
                failed=traffic.failed,
                p50_ms=round(percentile(recent, 50), 1),
                p99_ms=round(percentile(recent, 99), 1),
            )
            self._samples.append(sample)
            self._display.show(sample)
            await asyncio.sleep(_SAMPLE_SECONDS)
