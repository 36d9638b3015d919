"""Our listeners in somebody else's Gateway."""

from typing import Any

import pytest

from controller.ingress.kinds import GATEWAY, REFERENCE_GRANT
from controller.ingress.listeners import Listeners, listener_name
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.ingress.ingresses import INSIDE, PUBLIC, ingress
from upwell.api.config_gateway import ParentGateway
from upwell.api.objects import Key, Object, new_object

PARENT = ParentGateway(key=Key("gateways", "public"), service=Key("gateways", "public"))
THEIRS = {"name": "http", "port": 80, "protocol": "HTTP"}


def secured(*hosts: str) -> Object:
    obj = ingress()
    obj["spec"]["tls"] = [{"hosts": list(hosts), "secretName": "app-tls", "secretNamespace": "shop"}]
    return obj


@pytest.fixture(name="api")
def api_fixture() -> FakeApi:
    api = FakeApi()
    api.put(GATEWAY, new_object(GATEWAY, "gateways", "public", spec={"listeners": [THEIRS]}))
    return api


async def gateway(api: FakeApi) -> Object:
    return await api.get(GATEWAY, "public", "gateways")


async def use(api: FakeApi, *names: str, generation: int | None = None) -> None:
    """What an implementation says of the listeners that it uses."""
    found = await gateway(api)
    conditions = [
        {"type": kind, "status": "True", "observedGeneration": generation or found["metadata"].get("generation")}
        for kind in ("Accepted", "Programmed", "ResolvedRefs")
    ]
    listeners: list[dict[str, Any]] = [{"name": name, "conditions": conditions} for name in names]
    await api.update_status(GATEWAY, {**found, "status": {"listeners": listeners}})


async def test_a_host_with_a_certificate_has_a_listener_beside_those_of_others(api: FakeApi) -> None:
    obj = secured(PUBLIC, INSIDE)

    obstacle = await Listeners(api).apply(obj, PARENT)

    theirs, ours = (await gateway(api))["spec"]["listeners"]
    assert theirs == THEIRS
    assert (ours["hostname"], ours["port"], ours["protocol"]) == (PUBLIC, 443, "HTTPS")
    (certificate,) = ours["tls"]["certificateRefs"]
    assert (certificate["namespace"], certificate["name"]) == ("shop", "app-tls")
    assert obstacle is not None
    assert listener_name(obj, PUBLIC) in obstacle.message
    grant = await api.get(REFERENCE_GRANT, "app-tls-gateways", "shop")
    assert grant["spec"]["to"] == [{"group": "", "kind": "Secret", "name": "app-tls"}]


async def test_a_listener_that_is_used_is_not_in_the_way_and_not_written_again(api: FakeApi) -> None:
    obj = secured(PUBLIC)
    await Listeners(api).apply(obj, PARENT)
    found = await gateway(api)
    found["spec"]["listeners"][1]["tls"]["options"] = {"added": "by the server"}
    api.put(GATEWAY, found)
    await use(api, "http", listener_name(obj, PUBLIC))
    api.writes.clear()

    assert await Listeners(api).apply(obj, PARENT) is None
    assert api.writes == []


async def test_listeners_go_with_their_ingress_and_no_others_do(api: FakeApi) -> None:
    obj, other = secured(PUBLIC), secured(PUBLIC)
    other["metadata"]["uid"] = "uid-other"
    await Listeners(api).apply(obj, PARENT)
    await Listeners(api).apply(other, PARENT)

    await Listeners(api).apply({**obj, "spec": {}}, PARENT)

    names = [one["name"] for one in (await gateway(api))["spec"]["listeners"]]
    assert names == ["http", listener_name(other, PUBLIC)]


async def test_a_gateway_that_is_not_there_is_named_where_it_is_needed(api: FakeApi) -> None:
    nowhere = ParentGateway(key=Key("gateways", "gone"), service=Key("gateways", "gone"))

    obstacle = await Listeners(api).apply(secured(PUBLIC), nowhere)

    assert obstacle is not None
    assert obstacle == ("GatewayDoesNotExist", "could not find Gateway gateways/gone")
    assert await Listeners(api).apply(ingress(), nowhere) is None
