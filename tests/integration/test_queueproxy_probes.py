"""Health checks of a real sidecar, and the wait that ends the moment the app is ready."""

import asyncio
import json
import time

import pytest

from tests.integration.sidecar import HEALTH, app, say_ok, sidecar
from tests.waiting import eventually

ACTIVATOR = {"User-Agent": "Knative-Activator-Probe", "K-Network-Probe": "queue"}


def http_probe(port: int, **changes: int) -> str:
    return json.dumps({"httpGet": {"port": port, "path": "/ready"}, **changes})


def tcp_probe(port: int, **changes: int) -> str:
    return json.dumps({"tcpSocket": {"port": port}, **changes})


@pytest.mark.parametrize("agent", ["kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe"])
async def test_a_health_check_is_answered_by_our_sidecar_and_says_so(agent: str) -> None:
    async with app() as running, sidecar(running.port) as proxy:
        answer = await proxy.get("/healthz", {"User-Agent": agent, "K-Network-Probe": "queue"})

    assert (answer.status, answer.body) == (200, b"queue")
    assert answer.headers["upwell-sidecar"] == "1"
    assert not running.heads


async def test_the_probe_for_the_activator_is_not_answered_as_if_we_were_one() -> None:
    async with app() as running, sidecar(running.port) as proxy:
        answer = await proxy.get("/", {"User-Agent": "Knative-Autoscaling-Probe", "K-Network-Probe": "activator"})

    assert (answer.status, answer.body) == (400, b"unexpected probe header value: activator\n")


@pytest.mark.parametrize("period", [0, 5])
@pytest.mark.parametrize("probe", [http_probe, tcp_probe])
async def test_who_brings_upwell_wait_is_answered_the_moment_the_app_is_ready(probe: object, period: int) -> None:
    async with app() as running:
        running.stop()
        text = probe(running.port, periodSeconds=period)  # type: ignore[operator]
        async with sidecar(running.port, SERVING_READINESS_PROBE=text) as proxy:
            client = await proxy.connect()
            client.get("/healthz", **ACTIVATOR, Upwell_Wait="10000")
            with pytest.raises(TimeoutError):
                await client.answer(0.3)

            await running.start()
            listening = time.monotonic()
            answer = await client.answer()
            delay = time.monotonic() - listening

    assert (answer.status, answer.body, answer.headers["upwell-sidecar"]) == (200, b"queue", "1")
    assert delay < 2


async def test_who_waits_in_vain_is_told_at_the_deadline() -> None:
    async with app() as running:
        running.stop()
        async with sidecar(running.port, SERVING_READINESS_PROBE=tcp_probe(running.port)) as proxy:
            answer = await proxy.get("/healthz", {**ACTIVATOR, "Upwell-Wait": "200"})

    assert (answer.status, answer.body, answer.headers["upwell-sidecar"]) == (503, b"", "1")


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "9" * 40])
async def test_a_wait_that_is_no_number_of_milliseconds_is_an_ordinary_health_check(value: str) -> None:
    async with app() as running:
        running.stop()
        probe = tcp_probe(running.port, periodSeconds=1)
        async with sidecar(running.port, SERVING_READINESS_PROBE=probe) as proxy:
            answer = await proxy.get("/healthz", {**ACTIVATOR, "Upwell-Wait": value})

    assert answer.status == 503


class NotReady:
    """An app that says no until it is told to say yes."""

    def __init__(self) -> None:
        self.asked = 0
        self.ready = False

    async def __call__(self, _: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if self.ready else b"503 No"))


async def test_waiting_callers_ask_the_app_together() -> None:
    reply = NotReady()
    async with app(reply) as running:
        probe = http_probe(running.port, periodSeconds=5)
        async with sidecar(running.port, SERVING_READINESS_PROBE=probe) as proxy:
            clients = [await proxy.connect() for _ in range(10)]
            for client in clients:
                client.get("/healthz", **ACTIVATOR, Upwell_Wait="10000")
            await eventually(lambda: reply.asked >= 3)
            before = reply.asked
            reply.ready = True
            assert [(await client.answer()).status for client in clients] == [200] * 10

    assert reply.asked - before <= 3


async def test_a_waiting_caller_that_leaves_is_forgotten() -> None:
    reply = NotReady()
    async with app(reply) as running:
        probe = http_probe(running.port, periodSeconds=5)
        async with sidecar(running.port, SERVING_READINESS_PROBE=probe) as proxy:
            client = await proxy.connect()
            client.get("/healthz", **ACTIVATOR, Upwell_Wait="60000")
            await eventually(lambda: reply.asked)
            client.reset()
            proxy.terminate()
            assert await proxy.exit_status() == 0


async def test_a_waiting_caller_is_told_when_the_sidecar_drains() -> None:
    reply = NotReady()
    async with app(reply) as running:
        probe = http_probe(running.port, periodSeconds=5)
        async with sidecar(running.port, SERVING_READINESS_PROBE=probe) as proxy:
            client = await proxy.connect()
            client.get("/healthz", **ACTIVATOR, Upwell_Wait="60000")
            await eventually(lambda: reply.asked)
            proxy.terminate()
            answer = await client.answer()
            assert await proxy.exit_status() == 0

    assert (answer.status, answer.body) == (503, b"shutting down\n")


async def test_why_the_app_is_not_ready_is_logged_once() -> None:
    async with app(say_ok) as running:
        running.stop()
        probe = tcp_probe(running.port, periodSeconds=1)
        async with sidecar(running.port, SERVING_READINESS_PROBE=probe) as proxy:
            for _ in range(3):
                await proxy.get("/", HEALTH)
            lines = [line for line in proxy.logged() if line["message"] == "app is not ready"]

    assert [line["reason"] for line in lines] == ["connection refused"]
