"""The gateway's routing, as clients and the control plane see it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.integration.gateway_world import World, world
from tests.unit.gateway.builders import ingress, path, rule, service, simple, slices, split
from tests.waiting import eventually
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


async def test_a_request_reaches_its_service_with_the_fields_of_the_contract(here: World) -> None:
    await here.serve("hello-00001", await here.backend("one"))
    obj = ingress(
        "hello",
        rule(
            "hello.default.example",
            paths=[
                path(split("hello-00001", Knative_Serving_Revision="hello-00001", Knative_Serving_Namespace="default"))
            ],
        ),
    )
    served = await here.route(obj)
    status, content, _ = await here.get(
        "Hello.default.example:8080",
        "/a?b=c",
        Knative_Serving_Revision="forged",
        X_Forwarded_Proto="https",
        X_Forwarded_For="10.1.1.1",
        K_Original_Host="kept",
    )

    assert {c["type"]: c["status"] for c in served["status"]["conditions"]} == {
        "LoadBalancerReady": "True",
        "NetworkConfigured": "True",
        "Ready": "True",
    }
    assert status == 200
    assert content["path"] == "/a?b=c"
    fields = content["headers"]
    for field in (
        ["host", "Hello.default.example:8080"],
        ["knative-serving-revision", "hello-00001"],
        ["knative-serving-namespace", "default"],
        ["x-forwarded-proto", "http"],
        ["x-forwarded-host", "Hello.default.example:8080"],
        ["x-forwarded-for", "10.1.1.1, 127.0.0.1"],
        ["k-original-host", "kept"],
    ):
        assert field in fields
        assert [name for name, _ in fields].count(field[0]) == 1


async def test_an_unknown_host_is_404_and_says_which(here: World) -> None:
    status, content, headers = await here.get("nobody.example")

    assert status == 404
    assert '"nobody.example"' in content
    assert headers["Upwell-Error"] == "gateway; reason=no-such-host"


async def test_a_split_is_exact(here: World) -> None:
    await here.serve("old", await here.backend("old"))
    await here.serve("new", await here.backend("new"))
    await here.route(ingress("a", rule("a.example", paths=[path(split("old", 90), split("new", 10))])))

    counts: Counter[str] = Counter()
    for _ in range(10):
        answers = await asyncio.gather(*(here.get("a.example") for _ in range(100)))
        counts.update(content["name"] for _, content, _ in answers)

    assert counts == {"old": 900, "new": 100}


async def test_a_tag_in_the_header_leads_to_its_revision(here: World) -> None:
    await here.serve("blue", await here.backend("blue"))
    await here.serve("main", await here.backend("main"))
    tagged = path(split("blue"), headers={"Knative-Serving-Tag": {"exact": "blue"}})
    await here.route(ingress("a", rule("a.example", paths=[tagged, path(split("main"))])))

    assert (await here.get("a.example"))[1]["name"] == "main"
    assert (await here.get("a.example", Knative_Serving_Tag="blue"))[1]["name"] == "blue"


async def test_a_mapped_host_follows_the_routes_of_the_host_it_stands_for(here: World) -> None:
    await here.serve("hello-00001", await here.backend("one"))
    await here.route(
        ingress(
            "hello",
            rule(
                "hello.default.svc.cluster.local", paths=[path(split("hello-00001", A="1"))], visibility="ClusterLocal"
            ),
        )
    )
    mapping = path(
        split("hello"), rewriteHost="hello.default.svc.cluster.local", appendHeaders={"K-Original-Host": "my.example"}
    )
    await here.route(ingress("mapping", rule("my.example", paths=[mapping])))
    status, content, _ = await here.get("my.example")

    assert status == 200
    fields = dict(content["headers"])
    assert fields["host"] == "hello.default.svc.cluster.local"
    assert fields["k-original-host"] == "my.example"
    assert fields["x-forwarded-host"] == "my.example"
    assert fields["a"] == "1"
    assert [name for name, _ in content["headers"]].count("x-forwarded-proto") == 1


async def test_a_websocket_passes(here: World) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await here.apply(CORE_SERVICE, service("ws"))
        await here.apply(ENDPOINT_SLICE, slices("ws", f"127.0.0.1:{port}")[0])
        await here.route(simple("ws", "ws.example", "ws"))
        async with connect("ws://ws.example/chat", host="127.0.0.1", port=here.port, proxy=None) as client:
            for message in ("one", "two" * 10_000):
                await client.send(message)
                assert await client.recv() == message


async def test_a_prober_learns_which_version_is_served(here: World) -> None:
    await here.serve("hello-00001", await here.backend("one"))
    await here.route(simple("a", "a.example", "hello-00001"))
    probe: dict[str, Any] = {"K_Network_Probe": "probe", "K_Network_Hash": "override"}
    probe["User_Agent"] = "Knative-Ingress-Probe"
    status, content, headers = await here.get("a.example", "/healthz", **probe)
    assert (status, content) == (200, "")
    first = headers["K-Network-Hash"]
    assert len(first) == 64

    await here.route(simple("a", "a.example", "hello-00002"))
    assert (await here.get("a.example", "/healthz", **probe))[2]["K-Network-Hash"] != first


async def test_other_classes_and_deleted_objects_are_not_served(here: World) -> None:
    await here.serve("a", await here.backend("a"))
    await here.apply(INGRESS, simple("foreign", "foreign.example", "a", ingress_class="istio"))
    await here.route(simple("a", "a.example", "a"))
    assert (await here.get("foreign.example"))[0] == 404
    assert "status" not in await here.client.get(INGRESS, "foreign", "default")

    await here.client.delete(INGRESS, "a", "default")

    async def gone() -> bool:
        return (await here.get("a.example"))[0] == 404

    await eventually(gone)


async def test_a_status_is_written_once_for_each_generation(here: World) -> None:
    await here.route(simple("a", "a.example", "a"))
    version = (await here.client.get(INGRESS, "a", "default"))["metadata"]["resourceVersion"]
    await here.route(simple("b", "b.example", "b"))

    assert (await here.client.get(INGRESS, "a", "default"))["metadata"]["resourceVersion"] == version


async def test_with_a_local_port_the_public_one_knows_no_private_host(tmp_path: Path) -> None:
    async with world(tmp_path, UPWELL_GATEWAY_LOCAL_PORT="8081") as here:
        await here.serve("a", await here.backend("a"))
        await here.route(
            ingress(
                "a",
                rule("a.default.svc.cluster.local", paths=[path(split("a"))], visibility="ClusterLocal"),
                rule("a.example", paths=[path(split("a"))]),
            )
        )
        for host, port, status in (
            ("a.example", here.port, 200),
            ("a.default.svc.cluster.local", here.port, 404),
            ("a.example", here.local_port, 200),
            ("a.default.svc.cluster.local", here.local_port, 200),
        ):
            assert (await here.get(host, port=port))[0] == status


async def test_metrics_and_health_are_on_the_admin_port(here: World) -> None:
    await here.serve("a", await here.backend("a"))
    await here.route(simple("a", "a.example", "a"))
    for _ in range(3):
        await here.get("a.example")
    await here.get("nobody.example")
    text = await here.metrics()

    assert 'upwell_gateway_requests_total{namespace="default",service="a",code_class="2xx"} 3.0' in text
    assert 'upwell_gateway_request_duration_seconds_count{namespace="default",service="a"} 3.0' in text
    assert "upwell_gateway_unrouted_requests_total 1.0" in text
    assert "upwell_gateway_hosts 1.0" in text
    kubelet = await here.get("127.0.0.1", "/healthz", User_Agent="kube-probe/1.36")
    assert kubelet[:2] == (200, "ok")


async def test_the_access_log_has_one_line_per_request_and_no_query(tmp_path: Path) -> None:
    async with world(tmp_path, UPWELL_ACCESS_LOG="true") as here:
        await here.serve("a", await here.backend("a"))
        await here.route(simple("a", "a.example", "a"))
        await here.get("a.example", "/path?token=secret")

        async def logged() -> list[dict[str, object]]:
            return [line for line in here.gateway.said() if line["logger"] == "gateway.access"]

        (line,) = await eventually(logged)
        assert (line["status"], line["host"], line["path"]) == (200, "a.example", "/path")
        assert line["backend"] == "default/a:80"
        assert "secret" not in here.gateway.errors.read_text()
