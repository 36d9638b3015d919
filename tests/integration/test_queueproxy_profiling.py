"""The profiling port of a real sidecar."""

import asyncio
import gzip
import json

from tests.compiled import needs_plain_python
from tests.integration.sidecar import PROFILES, Client, Sidecar, app, sidecar
from tests.waiting import eventually

ON = {"OBSERVABILITY_CONFIG": json.dumps({"runtime": {"profiling": "enabled"}})}


async def keep_busy(proxy: Sidecar, done: asyncio.Event) -> None:
    client = await proxy.connect()
    while not done.is_set():
        client.get()
        assert (await client.answer()).status == 200
    client.close()


async def profile(proxy: Sidecar, path: str) -> bytes:
    """The body of a profile that is taken while requests are served; it has no chunks."""
    done = asyncio.Event()
    busy = asyncio.create_task(keep_busy(proxy, done))
    try:
        answer = await proxy.get(f"/debug/pprof/{path}", port=PROFILES)
    finally:
        done.set()
        await busy
    assert answer.status == 200, answer
    return answer.body


@needs_plain_python
async def test_cpu_time_is_found_where_requests_are_served() -> None:
    async with app() as running, sidecar(running.port, **ON) as proxy:
        text = (await profile(proxy, "profile?seconds=0.7&debug=1")).decode()
        assert "/upwell/http/" in text
        assert all(line.rpartition(" ")[2].isdigit() for line in text.splitlines())
        assert b"nanoseconds" in gzip.decompress(await profile(proxy, "profile?seconds=0.2"))
        assert (await proxy.get()).status == 200


async def test_allocations_are_found_with_their_lines() -> None:
    async with app() as running, sidecar(running.port, **ON) as proxy:
        assert b"inuse_space" in gzip.decompress(await profile(proxy, "heap?seconds=0.3"))


async def test_tasks_and_threads_are_listed() -> None:
    async with app() as running, sidecar(running.port, **ON) as proxy:
        answer = await proxy.get("/debug/pprof/goroutine", port=PROFILES)
        assert b"task statistics\n" in answer.body
        assert b"thread MainThread\n" in answer.body
        assert (await proxy.get("/debug/pprof/", port=PROFILES)).status == 200
        assert (await proxy.get("/debug/pprof/trace", port=PROFILES)).status == 404
        client = await proxy.connect(PROFILES)
        client.send(b"POST /debug/pprof/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        refused = await client.answer()
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_one_profile_is_taken_at_a_time_and_ends_with_its_caller() -> None:
    async with app() as running, sidecar(running.port, **ON) as proxy:
        caller: Client = await proxy.connect(PROFILES)
        caller.get("/debug/pprof/profile?seconds=50")

        async def refused() -> bool:
            return (await proxy.get("/debug/pprof/heap?seconds=0.01", port=PROFILES)).status == 409

        await eventually(refused)
        caller.close()

        async def taken() -> bool:
            return (await proxy.get("/debug/pprof/heap?seconds=0.01", port=PROFILES)).status == 200

        await eventually(taken)


async def test_a_duration_without_sense_is_refused() -> None:
    async with app() as running, sidecar(running.port, **ON) as proxy:
        for seconds in ("0", "-1", "61", "nan", "x"):
            answer = await proxy.get(f"/debug/pprof/profile?seconds={seconds}", port=PROFILES)
            assert (answer.status, answer.body) == (400, b"seconds: give a number above 0 and up to 60\n")
