"""A kind that the cluster does not have, and what happens when it comes to have it."""

import asyncio
from collections.abc import AsyncIterator

from controller.issuing.classes import CM_CERTIFICATE
from controller.issuing.optional import optional_informer
from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import new_object
from upwell.api.resources import Resource
from upwell.clock import FakeClock
from upwell.cluster.errors import NotFound
from upwell.cluster.informer import Trim


class WithoutCertManager(FakeApi):
    """Does not serve the kind until it is installed."""

    installed = False
    asked = 0

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", trim: Trim | None = None
    ) -> tuple[list[dict[str, object]], str]:
        self.asked += 1
        if not self.installed:
            raise NotFound(404, "NotFound", "the server could not find the requested resource")
        return await super().list(resource, namespace, labels=labels, fields=fields, trim=trim)

    async def watch(self, *args: object, **kwargs: object) -> AsyncIterator[tuple[str, dict[str, object]]]:
        assert self.installed, "nothing to watch"
        async for event in super().watch(*args, **kwargs):  # type: ignore[arg-type]
            yield event


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_missing_kind_counts_as_empty_and_is_followed_once_it_is_there() -> None:
    api, clock = WithoutCertManager(), FakeClock()
    informer = optional_informer(api, CM_CERTIFICATE, clock)
    running = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.wait_synced(), 5)
    assert informer.list() == []
    await settle()
    assert api.asked == 1, "it is not asked for over and over"

    await clock.advance(40)
    await settle()
    assert api.asked == 2
    api.installed = True
    api.put(CM_CERTIFICATE, new_object(CM_CERTIFICATE, "shop", "app", spec={}))
    await clock.advance(40)
    await settle()
    assert [one["metadata"]["name"] for one in informer.list()] == ["app"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
