"""SIGTERM and /wait-for-drain at a real sidecar: nobody is refused, and it leaves when all is done."""

import asyncio
import signal

import pytest

from tests.integration.sidecar import ADMIN, HEALTH, Gate, app, sidecar
from tests.waiting import eventually


async def test_after_the_signal_probes_fail_and_requests_are_served() -> None:
    async with app() as running, sidecar(running.port, UPWELL_DRAIN_QUIET_SECONDS="1") as proxy:
        proxy.terminate()
        await eventually(lambda: any("draining" in line for line in proxy.lines))

        probe = await proxy.get("/", HEALTH)
        assert (probe.status, probe.body) == (503, b"shutting down\n")
        assert (await proxy.get()).status == 200
        assert await proxy.exit_status() == 0


async def test_a_request_in_flight_finishes_before_the_process_leaves() -> None:
    gate = Gate()
    async with app(gate) as running, sidecar(running.port) as proxy:
        client = await proxy.connect()
        client.get()
        await eventually(lambda: running.heads)
        proxy.terminate()
        await eventually(lambda: any("closing the listeners" in line for line in proxy.lines))
        with pytest.raises(OSError):  # noqa: PT011 - refused, or reset by a socket that is closing
            await proxy.get()
        gate.open()

        assert (await client.answer()).status == 200
        assert await proxy.exit_status() == 0


async def test_idle_connections_are_closed_at_the_end() -> None:
    async with app() as running, sidecar(running.port) as proxy:
        client = await proxy.connect()
        client.get()
        await client.answer()
        proxy.terminate()

        assert await client.rest() == b""
        assert await proxy.exit_status() == 0


async def test_a_second_signal_ends_at_once() -> None:
    async with app() as running, sidecar(running.port, UPWELL_DRAIN_QUIET_SECONDS="60") as proxy:
        proxy.terminate()
        await eventually(lambda: any("draining" in line for line in proxy.lines))
        proxy.process.send_signal(signal.SIGINT)

        assert await proxy.exit_status() == 1


async def test_wait_for_drain_returns_when_the_drain_is_done() -> None:
    async with app() as running, sidecar(running.port, UPWELL_DRAIN_QUIET_SECONDS="2") as proxy:
        hook = asyncio.create_task(proxy.get("/wait-for-drain", port=ADMIN))
        proxy.terminate()
        await asyncio.sleep(1.5)
        assert not hook.done()

        answer = await hook
        assert (answer.status, answer.body) == (200, b"")
        assert await proxy.exit_status() == 0


async def test_wait_for_drain_without_a_signal_lets_go_and_probes_pass_again() -> None:
    async with app() as running, sidecar(running.port, UPWELL_DRAIN_QUIET_SECONDS="60") as proxy:
        hook = asyncio.create_task(proxy.get("/wait-for-drain", port=ADMIN))

        async def draining() -> bool:
            return (await proxy.get("/", HEALTH)).status == 503

        await eventually(draining)
        assert (await hook).status == 200
        assert (await proxy.get("/", HEALTH)).status == 200


async def test_the_admin_port_knows_no_other_path() -> None:
    async with app() as running, sidecar(running.port) as proxy:
        assert (await proxy.get("/", port=ADMIN)).status == 404
