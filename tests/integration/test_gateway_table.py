"""The routing table of a real gateway: changes of it under load, clients that keep to their part, slices in pieces."""

import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.gateway_world import World, world
from tests.unit.gateway.builders import ingress, path, rule, service, simple, slices, split
from tests.waiting import eventually
from upwell.api.names import ANNOTATION_STICKINESS, LABEL_SERVICE_TYPE, SERVICE_TYPE_PRIVATE
from upwell.api.objects import Object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS
from upwell.cluster.errors import Conflict

CHANGES = 60
USERS = [f"user-{number}" for number in range(200)]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, UPWELL_GATEWAY_WAIT_SECONDS="1") as here:
        yield here


def sticky(by: str, **percents: int) -> Object:
    parts = [split(name, percent) for name, percent in percents.items()]
    obj = ingress("a", rule("a.example", paths=[path(*parts)]))
    obj["metadata"]["annotations"][ANNOTATION_STICKINESS] = by
    return obj


async def who(here: World, **fields: Any) -> str:
    status, content, _ = await here.get("a.example", **fields)
    assert status == 200, content
    return str(content["name"])


async def put(here: World, obj: Object) -> None:
    """Apply an Ingress whose status the gateway may be writing."""
    while True:
        try:
            await here.apply(INGRESS, obj)
            return
        except Conflict:
            continue


@pytest.mark.parametrize(("by", "field"), [("header=X-User", "X_User"), ("cookie=user", "Cookie")])
async def test_clients_keep_to_their_part_and_only_those_who_must_move(here: World, by: str, field: str) -> None:
    async def answers() -> list[str]:
        said = [user if field == "X_User" else f"theme=dark; user={user}" for user in USERS]
        return [await who(here, **{field: value}) for value in said]

    for name in ("old", "new"):
        await here.serve(name, await here.backend(name))
    await here.route(sticky(by, old=80, new=20))
    first = await answers()
    assert await answers() == first
    assert 15 < first.count("new") < 70

    await here.route(sticky(by, old=50, new=50))
    second = await answers()
    moves = Counter((was, now) for was, now in zip(first, second, strict=True) if was != now)
    assert set(moves) == {("old", "new")}
    assert 70 < second.count("new") < 130


async def test_a_client_that_says_nothing_is_dealt_its_parts_exactly(here: World) -> None:
    for name in ("old", "new"):
        await here.serve(name, await here.backend(name))
    await here.route(sticky("header=X-User", old=75, new=25))

    assert Counter([await who(here) for _ in range(200)]) == {"old": 150, "new": 50}


async def test_many_changes_of_other_routes_and_of_its_own_lose_no_request(here: World) -> None:
    for name in ("one", "two"):
        await here.serve(name, await here.backend(name))
    await here.route(simple("a", "a.example", "one"))
    async with here.load("a.example", clients=4) as seen:
        for number in range(CHANGES):
            await put(here, simple(f"other-{number % 20}", f"other-{number}.example", "one"))
            await put(here, simple("a", "a.example", ("one", "two")[number % 2]))
        await here.more(seen, 50)

    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen} == {"one", "two"}

    async def last_is_served() -> bool:
        return (await here.get(f"other-{CHANGES - 1}.example"))[0] == 200

    await eventually(last_is_served)
    assert (await here.get("other-0.example"))[0] == 404


async def test_what_only_the_activator_asks_for_is_not_watched(here: World) -> None:
    backend = await here.backend("pod")
    await here.route(simple("a", "a.example", "private"))
    labels = {LABEL_SERVICE_TYPE: SERVICE_TYPE_PRIVATE}
    hidden, (listed,) = service("private"), slices("private", backend.address)
    for resource, obj in ((CORE_SERVICE, hidden), (ENDPOINT_SLICE, listed)):
        obj["metadata"].setdefault("labels", {}).update(labels)
        await here.apply(resource, obj)
    await here.serve("public", backend)
    await here.route(simple("b", "b.example", "public"))

    assert (await here.get("b.example"))[1]["name"] == "pod"
    assert (await here.get("a.example"))[0] == 503


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
async def test_slices_of_both_families_are_one_service(here: World) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"name": "six"})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "::1", 0)
        await site.start()
        port = runner.addresses[0][1]
        four = await here.backend("four")
        await here.apply(CORE_SERVICE, service("both"))
        first, second = slices("both", four.address, f"0.0.0.0:{port}")
        second["addressType"] = "IPv6"
        second["endpoints"][0]["addresses"] = ["::1"]
        for obj in (first, second):
            await here.apply(ENDPOINT_SLICE, obj)
        await here.route(simple("a", "a.example", "both"))

        async def both() -> bool:
            return {await who(here) for _ in range(20)} == {"four", "six"}

        await eventually(both)
    finally:
        await runner.cleanup()
