"""The row for a change of the gateway's routes: in this process, from the watch's event to the table that has it."""

import asyncio
import copy
import gc
import time
from collections.abc import AsyncIterator

from bench.gateway_routes import FEW, MANY, objects_of
from bench.rows import Bench, Measure, Row, Series, at_most
from gateway import kept
from gateway.routes import Routes
from upwell.api.names import INGRESS_CLASS
from upwell.api.objects import Object
from upwell.api.resources import INGRESS, Resource
from upwell.cluster.informer import Informer, Trim
from upwell.cluster.runtime import running

__all__ = ["ROWS"]

CHANGES = 200
ROUNDS = 9
APP_PORT = 8012
MOST_MS = 1.0
"""A request that comes at the same moment waits for as long."""
UNNOTICED = 1.3
"""Of the CPU time of a change: the processor's caches are colder with more to look after."""


class _Source:
    """What an informer needs of a client: so many Ingresses, and changes of them when asked for."""

    def __init__(self, routes: int) -> None:
        self._objects = [objects_of(number, APP_PORT)[0][1] for number in range(routes)]
        self._events: asyncio.Queue[tuple[str, Object]] = asyncio.Queue(1)
        self._next = 0

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", trim: Trim | None = None
    ) -> tuple[list[Object], str]:
        assert trim is not None
        return [trim(copy.deepcopy(obj)) for obj in self._objects], "1"

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        while True:
            yield await self._events.get()

    def change(self) -> Object:
        """One of the objects in its next generation, as JSON would come to."""
        self._next = (self._next + 7) % len(self._objects)
        obj = self._objects[self._next]
        obj["metadata"]["generation"] += 1
        obj["metadata"]["resourceVersion"] = f"{self._next}-{obj['metadata']['generation']}"
        return copy.deepcopy(obj)

    def send(self, obj: Object) -> None:
        self._events.put_nowait(("MODIFIED", obj))


def change(bench: Bench) -> Row:
    few, many = asyncio.run(_changes())
    column = "CPU ms/change"
    figures = [
        at_most(f"ms for a change among {MANY:,} routes", min(many.columns[column]), MOST_MS, by_the_clock=False),
        at_most(f"the same, of that among {FEW}", min(many.columns[column]) / min(few.columns[column]), UNNOTICED),
        at_most(f"s to read {MANY:,} routes at the start", many.columns["s at the start"][0], None),
    ]
    return Row(figures, [few, many], f"{CHANGES} changes one after the other per turn; the quickest turn counts.")


async def _changes() -> list[Series]:
    series = []
    worlds = []
    tasks = {}
    for count in (FEW, MANY):
        source = _Source(count)
        informer = Informer(source, INGRESS, trim=kept.ingress_trim(INGRESS_CLASS))
        worlds.append((source, informer, Routes(informer, INGRESS_CLASS)))
        series.append(Series(f"{count:,} routes"))
        tasks[f"informer of {count} routes"] = informer.run()
    began = time.process_time()
    async with running(tasks):
        for _, informer, routes in worlds:
            await informer.wait_synced()
            routes.flush()
        series[-1].add({"s at the start": time.process_time() - began})
        gc.collect()
        gc.freeze()
        for _ in range(ROUNDS):
            for one, (source, _, routes) in zip(series, worlds, strict=True):
                one.add({"CPU ms/change": await _turn(source, routes)})
    gc.unfreeze()
    return series


async def _turn(source: _Source, routes: Routes) -> float:
    changed = [source.change() for _ in range(CHANGES)]
    served = asyncio.Event()
    routes.on_served(lambda _: served.set())
    began = time.process_time()
    for obj in changed:
        served.clear()
        source.send(obj)
        await served.wait()
    return (time.process_time() - began) / CHANGES * 1e3


ROWS = (Measure("change", f"one changed Ingress among {FEW} and among {MANY:,}", {}, change),)
