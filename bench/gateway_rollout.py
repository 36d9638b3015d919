"""The row for a new revision under load: the local platform whole, 500 requests/s at the gateway, open loop.

A Service is changed while requests come at a steady rate, whatever becomes of those before. Its new revision starts,
the route moves over, the old one drains and goes. Whatever is not 200 with the app's own words has failed.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.local import LocalPlatform, hello_documents, local_platform
from bench.proxies import LOAD_CORE, PROXY_CORE
from bench.rows import Bench, Measure, Row, Series, UnmeasuredError, at_most
from upwell.api.objects import Object
from upwell.cli.apply import apply_documents
from upwell.cli.documents import Document
from upwell.cli.observe import observing

__all__ = ["ROWS"]

RATE = 500
SECONDS = 10.0
CHANGE_AFTER = 2.0
READY_SECONDS = 60
TOO_LATE_SECONDS = 30
OLD, NEW = "hello-00001", "hello-00002"
STEADY = {"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/target": "100"}


def rollout(bench: Bench) -> Row:
    os.sched_setaffinity(0, {PROXY_CORE, LOAD_CORE})  # a platform has the machine, and this client is a part of it
    try:
        seen = asyncio.run(_rollout())
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    answers = Series("the platform")
    answers.add(seen)
    figures = (
        at_most(f"failed of {seen['requests']:,.0f} requests", seen["failed"], 0, "{:.0f}", by_the_clock=False),
        at_most("s from the change to the new revision's first answer", seen["s to the first"], None),
        at_most("slowest answer, ms", seen["slowest ms"], None, "{:.0f}"),
    )
    if not (seen["old"] and seen["new"]):
        raise UnmeasuredError(f"no rollout was seen: {seen}")
    return Row(figures, [answers])


class _Load:
    """Requests at a steady rate, and what became of them."""

    def __init__(self, session: aiohttp.ClientSession, url: str, host: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Host": host}
        self.answers: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        """When each answer was seen for the first time."""
        self.slowest = 0.0

    async def run(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(RATE * SECONDS)):
                await asyncio.sleep(began + number / RATE - time.monotonic())
                group.create_task(self._ask(), name=f"request {number}")

    async def _ask(self) -> None:
        began = time.monotonic()
        try:
            async with self._session.get(self._url, headers=self._headers) as response:
                text = await response.text()
                answer = text.strip().removeprefix("Hello from ").rstrip("!") if response.status == 200 else text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            answer = repr(error)
        now = time.monotonic()
        self.answers[answer] += 1
        self.first.setdefault(answer, now)
        self.slowest = max(self.slowest, now - began)


async def _rollout() -> Mapping[str, float]:
    async with local_platform("rollout") as platform:
        await _apply(platform, {"VERSION": "old"})
        async with observing(platform.client, "default", "hello") as observer:
            if not await observer.wait_for(lambda state: state.ready, READY_SECONDS):
                raise UnmeasuredError(f"hello is not ready: {observer.state.reason}")
            host = urlsplit(observer.state.url).hostname or ""
        timeout = aiohttp.ClientTimeout(total=TOO_LATE_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            load = _Load(session, platform.url, host)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(), name="load")
                await asyncio.sleep(CHANGE_AFTER)
                changed = time.monotonic()
                await _apply(platform, {"VERSION": "new"})
    failed = sum(count for answer, count in load.answers.items() if answer not in (OLD, NEW))
    for answer in sorted(set(load.answers) - {OLD, NEW})[:5]:
        print(f"  failed: {answer[:200]}", flush=True)
    return {
        "requests": load.answers.total(),
        "failed": failed,
        "old": load.answers[OLD],
        "new": load.answers[NEW],
        "s to the first": load.first.get(NEW, changed) - changed,
        "slowest ms": load.slowest * 1e3,
    }


async def _apply(platform: LocalPlatform, env: Mapping[str, str]) -> None:
    documents = hello_documents()
    for document in documents:
        _change(document, env)
    await apply_documents(platform.client, documents)


def _change(document: Document, env: Mapping[str, str]) -> None:
    template: dict[str, Any] = document.obj["spec"]["template"]
    template["metadata"]["annotations"].update(STEADY)
    container: Object = template["spec"]["containers"][0]
    container["env"] = [{"name": name, "value": value} for name, value in env.items()]


ROWS = (Measure("rollout", f"a new revision at {RATE} requests/s, the local platform", {}, rollout),)
