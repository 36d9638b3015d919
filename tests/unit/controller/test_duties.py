"""Who acts on what: the reference's Leases, buckets of keys, and the end of a term."""

import asyncio
import contextlib

from controller.duties import Duty, lease_names
from tests.unit.cluster.fake_api import FakeApi
from upwell.api.objects import Key, new_object
from upwell.api.resources import ROUTE
from upwell.clock import FakeClock
from upwell.cluster.informer import Informer
from upwell.cluster.reconciler import Reconciler
from upwell.cluster.runtime import running

NAMES = [f"r{number}" for number in range(40)]


class Worked:
    """A reconciler that notes its keys, and may be made to hang."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.hang = False
        self.broken_off = 0

    async def __call__(self, key: Key) -> None:
        self.keys.append(key.name)
        if self.hang:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.broken_off += 1
                raise


async def make_duty(worked: Worked, clock: FakeClock) -> tuple[Duty, Informer]:
    api = FakeApi()
    for name in NAMES:
        api.put(ROUTE, new_object(ROUTE, "shop", name))
    informer = Informer(api, ROUTE, clock=clock)
    return Duty("route", Reconciler("route", worked, workers=50, clock=clock), informer), informer


async def lead_for_a_while(duty: Duty, leases: tuple[str, ...], clock: FakeClock) -> None:
    async with running({lease: duty.lead(lease) for lease in leases}):
        await clock.advance(1)


def test_leases_are_named_as_the_references() -> None:
    assert lease_names("domainmapping", 2) == (
        "controller.knative.dev.serving.pkg.reconciler.domainmapping.reconciler.00-of-02",
        "controller.knative.dev.serving.pkg.reconciler.domainmapping.reconciler.01-of-02",
    )


async def test_nothing_is_worked_on_without_a_lease() -> None:
    worked, clock = Worked(), FakeClock()
    duty, informer = await make_duty(worked, clock)
    async with running({"copy": informer.run(), "queue": duty.queue.run()}):
        duty.queue.enqueue(Key("shop", "r1"))
        await clock.advance(1)

    assert worked.keys == []


async def test_buckets_share_the_keys_out_and_none_is_left() -> None:
    shares = []
    for number in range(3):
        worked, clock = Worked(), FakeClock()
        duty, informer = await make_duty(worked, clock)
        leases = duty.divide(3)
        async with running({"copy": informer.run(), "queue": duty.queue.run()}):
            await clock.advance(0.1)
            await lead_for_a_while(duty, (leases[number],), clock)
        shares.append(set(worked.keys))

    assert shares[0] | shares[1] | shares[2] == set(NAMES)
    assert sum(map(len, shares)) == len(NAMES)
    assert all(shares)


async def test_the_end_of_a_term_ends_the_work_under_way_and_the_next_begins_it_again() -> None:
    worked, clock = Worked(), FakeClock()
    worked.hang = True
    duty, informer = await make_duty(worked, clock)
    (lease,) = duty.divide(1)
    async with running({"copy": informer.run(), "queue": duty.queue.run()}):
        await clock.advance(0.1)
        with contextlib.suppress(asyncio.CancelledError):
            await lead_for_a_while(duty, (lease,), clock)
        assert worked.broken_off == len(NAMES)
        worked.hang = False
        worked.keys.clear()
        await lead_for_a_while(duty, (lease,), clock)

    assert set(worked.keys) == set(NAMES)
