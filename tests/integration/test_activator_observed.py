"""What operators and visitors see of a cold start: phases, spans, log lines, and a page."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.integration.activator_world import FakePod, World, api_server_fixture, world_fixture
from tests.integration.test_queueproxy_tracing import PARENT, SAMPLED, TRACE, collector
from tests.waiting import eventually
from upwell.api import names
from upwell.api.objects import new_object
from upwell.api.resources import CONFIG_MAP, REVISION
from upwell.cluster.errors import AlreadyExists

__all__ = ["api_server_fixture", "world_fixture"]

PHASES = ["queued", "decided", "pod_created", "sidecar_up", "app_ready", "first_byte"]
BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


async def configure(world: World, **data: str) -> None:
    """Make these the settings of config-observability."""
    settings = {name.replace("_", "-").replace("--", "."): value for name, value in data.items()}
    made = new_object(CONFIG_MAP, names.SYSTEM_NAMESPACE, "config-observability", data=settings)
    try:
        await world.client.create(CONFIG_MAP, made)
    except AlreadyExists:
        await world.client.update(CONFIG_MAP, made)


async def start_cold(world: World, revision: str, pod: FakePod, **asking: Any) -> Any:
    """Ask a revision without pods, then give it one."""
    asked = asyncio.create_task(world.ask(revision, **asking))
    await asyncio.sleep(0.1)
    await world.add_pod(revision, await pod.listen())
    await asyncio.sleep(0.1)
    pod.ready.set()
    return await asked


async def test_the_phases_of_a_cold_start_are_in_the_answer_the_metrics_and_the_log(world: World) -> None:
    await world.add_revision("phases")
    await world.start_activator(UPWELL_SERVER_TIMING="true")

    cold = await start_cold(world, "phases", FakePod())
    warm = await world.ask("phases")

    timing = re.findall(r"(\w+);dur=([0-9.]+)", cold.headers["Server-Timing"])
    assert [phase for phase, _ in timing] == PHASES
    took = {phase: float(milliseconds) for phase, milliseconds in timing}
    assert took["pod_created"] >= 90
    assert took["app_ready"] >= 90
    assert "Server-Timing" not in warm.headers
    metrics = await world.metrics()
    for phase in PHASES:
        assert f'upwell_activator_cold_start_phase_seconds_count{{phase="{phase}"}} 1' in metrics
    (line,) = [json.loads(line) for line in world.log.read_text().splitlines() if '"cold start"' in line]
    assert line["revision"] == "default/phases"
    assert line["app_ready_ms"] >= 90


async def test_a_cold_start_is_one_tree_of_spans(world: World) -> None:
    async with collector() as spans:
        await configure(world, tracing_protocol="http/protobuf", tracing_endpoint=spans.url, tracing_sampling_rate="1")
        await world.add_revision("traced")
        await world.start_activator(OTEL_BSP_SCHEDULE_DELAY="50")
        await eventually(lambda: '"tracing"' in world.log.read_text())
        pod = FakePod()

        await start_cold(world, "traced", pod, headers={"traceparent": SAMPLED})
        await eventually(lambda: any(span.name == "GET" for span in spans.spans))
        unknown = await world.ask("nobody")
        await eventually(lambda: sum(span.name == "GET" for span in spans.spans) == 2)

        server, waited = named(spans, "GET"), named(spans, "throttler_try")
        proxied, client = named(spans, "activator_proxy"), named(spans, "GET /")
        assert server.parent_span_id.hex() == PARENT
        assert waited.parent_span_id == proxied.parent_span_id == server.span_id
        assert client.parent_span_id == proxied.span_id
        for phase in ("pod_created", "app_ready"):
            assert named(spans, phase).parent_span_id == waited.span_id
        assert waited.start_time_unix_nano == server.start_time_unix_nano
        assert waited.end_time_unix_nano == client.start_time_unix_nano
        attributes = {pair.key: pair.value.string_value for pair in server.attributes}
        assert attributes["kn.revision.name"] == "traced"
        assert spans.resource["service.name"] == "activator"
        assert pod.seen[0]["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
        assert unknown.status == 404

        await configure(world, tracing_protocol="none")
        async with asyncio.timeout(10):
            while "traceparent" in pod.seen[-1]:
                await world.ask("traced")


def named(spans: Any, name: str) -> Any:
    """The first span of that name in the caller's trace."""
    return next(span for span in spans.spans if span.name == name and span.trace_id.hex() == TRACE)


async def test_the_request_log_is_switched_while_requests_go_on(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    await configure(world, logging__enable_request_log="false")
    await world.add_revision("logged")
    await world.start_activator()
    await world.add_pod("logged", await FakePod(ready=True).listen(), ready=True)
    written: list[str] = []

    async def lines_after(path: str) -> list[str]:
        await world.ask("logged", path)
        written.extend(capfd.readouterr().out.splitlines())
        return [line for line in written if path in line]

    assert await lines_after("/before") == []
    await configure(world, logging__enable_request_log="true")
    async with asyncio.timeout(10):
        while not (found := await lines_after("/during")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    line = json.loads(found[0])
    assert line["httpRequest"]["requestUrl"] == "/during"
    assert line["httpRequest"]["status"] == 200

    await configure(world, logging__enable_request_log="true", logging__request_log_template="{{.Nonsense}}")
    await configure(world, logging__enable_request_log="false")
    async with asyncio.timeout(10):
        while True:
            count = len(await lines_after("/after"))
            await asyncio.sleep(0.05)
            if len(await lines_after("/after")) == count:
                break


async def test_a_browser_is_shown_a_page_while_the_revision_starts_and_programs_wait(world: World) -> None:
    autoscaler = await world.add_autoscaler()
    await world.add_revision("paged")
    annotations = {names.ANNOTATION_WAITING_PAGE: "true", names.ANNOTATION_WAITING_PAGE_REFRESH: "1"}
    await world.client.patch(REVISION, "paged", "default", {"metadata": {"annotations": annotations}})
    await world.start_activator()
    await eventually(lambda: autoscaler.connections)

    page = await world.ask("paged", "/start", headers=BROWSER)
    program = asyncio.create_task(world.ask("paged"))

    assert page.status == 503
    assert page.headers["Refresh"] == "1"
    assert page.headers["Upwell-Error"] == "activator; reason=starting"
    assert "svc is starting" in page.text
    # The visitor is in the figures until the page should have come back, beside the program that waits.
    await eventually(lambda: any(stat.average_concurrent_requests > 1.5 for stat in autoscaler.about("paged")))
    assert not program.done()
    await world.add_pod("paged", await FakePod(ready=True).listen())
    assert (await program).status == 200
    assert (await world.ask("paged", "/start", headers=BROWSER)).status == 200
    await eventually(lambda: autoscaler.about("paged")[-1].average_concurrent_requests == 0.0)
    assert sum(stat.request_count for stat in autoscaler.about("paged")) == 3
    assert 'upwell_activator_waiting_pages_total{k8s_namespace_name="default",kn_revision_name="paged"} 1' in (
        await world.metrics()
    )
