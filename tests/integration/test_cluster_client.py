"""The client on the wire: pages, streams cut anywhere, errors by kind, tokens that end."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from upwell.api.objects import new_object
from upwell.api.resources import DEPLOYMENT, POD
from upwell.cluster.client import Client, PatchType
from upwell.cluster.errors import AlreadyExists, ApiError, Conflict, Forbidden, Gone, Invalid, NotFound, Unavailable
from upwell.ports import ConfigError
from upwell.telemetry.metrics import Registry

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An HTTP server that answers as the test says and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.respond: Respond = _nothing
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query), await request.read()))
        self.headers.append(dict(request.headers))
        return await self.respond(request)

    def answers(self, content: Any, status: int = 200, **headers: str) -> None:
        async def respond(_: web.Request) -> web.StreamResponse:
            return web.json_response(content, status=status, headers=headers)

        self.respond = respond


async def _nothing(_: web.Request) -> web.StreamResponse:
    return web.json_response({})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


def write_kubeconfig(path: Path, url: str, user: dict[str, Any] | None = None) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture
async def client(server: Server, tmp_path: Path) -> AsyncIterator[Client]:
    client = await Client.connect(write_kubeconfig(tmp_path / "kubeconfig", server.url))
    yield client
    await client.close()


async def test_a_list_is_read_page_by_page_and_its_items_know_their_kind(server: Server, client: Client) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        more = request.query.get("continue")
        metadata = {"resourceVersion": "opaque"} if more else {"resourceVersion": "opaque", "continue": "next"}
        return web.json_response(
            {"metadata": metadata, "items": [{"metadata": {"name": "second" if more else "first"}}]}
        )

    server.respond = respond
    items, version = await client.list(POD, "default", labels="app=hello", fields="status.phase=Running")

    assert [item["metadata"]["name"] for item in items] == ["first", "second"]
    assert {(item["apiVersion"], item["kind"]) for item in items} == {("v1", "Pod")}
    assert version == "opaque"
    assert [path for _, path, _, _ in server.requests] == ["/api/v1/namespaces/default/pods"] * 2
    assert server.requests[1][2] == {
        "continue": "next",
        "labelSelector": "app=hello",
        "fieldSelector": "status.phase=Running",
        "limit": "500",
    }


async def test_a_list_whose_next_page_expired_is_read_in_one_piece(server: Server, client: Client) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        if "continue" in request.query:
            return web.json_response({"reason": "Expired", "message": "too old"}, status=410)
        metadata = {"resourceVersion": "5"}
        if "limit" in request.query:
            metadata["continue"] = "next"
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": "a"}}]})

    server.respond = respond
    items, version = await client.list(POD)

    assert ([item["metadata"]["name"] for item in items], version) == (["a"], "5")


def event(kind: str, name: str) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": "1"}}}).encode() + b"\n"


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
async def test_a_watch_is_read_line_by_line_however_it_is_cut(server: Server, client: Client, size: int) -> None:
    text = event("ADDED", "one") + event("MODIFIED", "two" * 100) + b"\n" + event("DELETED", "ünï")

    async def respond(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        for start in range(0, len(text), size):
            await stream.write(text[start : start + size])
        return stream

    server.respond = respond
    seen = [(kind, obj["metadata"]["name"]) async for kind, obj in client.watch(POD, resource_version="rv9")]

    assert seen == [("ADDED", "one"), ("MODIFIED", "two" * 100), ("DELETED", "ünï")]
    query = server.requests[0][2]
    assert (query["watch"], query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "true", "rv9")


async def test_an_expired_position_is_gone_by_status_and_by_event(server: Server, client: Client) -> None:
    server.answers({"kind": "Status", "code": 410, "reason": "Gone", "message": "old"}, 410)
    with pytest.raises(Gone):
        _ = [e async for e in client.watch(POD, resource_version="1")]

    server.answers({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}})
    with pytest.raises(Gone):
        _ = [e async for e in client.watch(POD, resource_version="1")]


async def test_a_watch_that_breaks_is_unavailable(server: Server, client: Client) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(event("ADDED", "one"))
        assert request.transport is not None
        request.transport.abort()
        return stream

    server.respond = respond
    watch = client.watch(POD, resource_version="1")
    assert (await anext(watch))[1]["metadata"]["name"] == "one"
    with pytest.raises(Unavailable):
        await anext(watch)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (405, "MethodNotAllowed", ApiError),
    ],
)
async def test_errors_come_by_kind_with_the_servers_words(
    server: Server, client: Client, status: int, reason: str, kind: type[ApiError]
) -> None:
    server.answers({"kind": "Status", "reason": reason, "message": "because", "code": status}, status)
    with pytest.raises(kind, match="because") as caught:
        await client.create(POD, new_object(POD, "default", "a"))

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason) == (status, reason)


async def test_the_wait_a_server_asks_for_is_known(server: Server, client: Client) -> None:
    server.answers({"reason": "TooManyRequests"}, 429, **{"Retry-After": "7"})
    with pytest.raises(Unavailable) as caught:
        await client.get(POD, "a", "default")
    assert caught.value.retry_after == 7


async def test_answers_are_counted_by_what_was_asked(server: Server, client: Client) -> None:
    registry = Registry()
    client.count_in(registry)
    await client.get(POD, "a", "default")
    await client.patch(DEPLOYMENT, "a", "default", {}, subresource="scale")
    server.answers({"reason": "Forbidden"}, 403)
    with pytest.raises(Forbidden):
        await client.list(POD)

    text = registry.render().decode()
    assert 'upwell_api_requests_total{verb="get",resource="pods",code="200"} 1.0\n' in text
    assert 'upwell_api_requests_total{verb="patch",resource="deployments/scale",code="200"} 1.0\n' in text
    assert 'upwell_api_requests_total{verb="get",resource="pods",code="403"} 1.0\n' in text


async def test_no_server_is_unavailable_and_says_which(tmp_path: Path) -> None:
    client = await Client.connect(write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1"):
        await client.get(POD, "a", "default")
    await client.close()


async def test_writes_go_where_the_object_is(server: Server, client: Client) -> None:
    pod = new_object(POD, "default", "a")
    await client.create(POD, pod)
    await client.try_create(POD, pod)
    await client.update(POD, pod)
    await client.update_status(POD, pod)
    await client.patch(POD, "a", "default", {"spec": {}})
    await client.patch(POD, "a", "default", [{"op": "remove", "path": "/spec"}], PatchType.JSON, "status")
    await client.delete(POD, "a", "default", uid="u1")

    assert [(method, path) for method, path, _, _ in server.requests] == [
        ("POST", "/api/v1/namespaces/default/pods"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("PUT", "/api/v1/namespaces/default/pods/a"),
        ("PUT", "/api/v1/namespaces/default/pods/a/status"),
        ("PATCH", "/api/v1/namespaces/default/pods/a"),
        ("PATCH", "/api/v1/namespaces/default/pods/a/status"),
        ("DELETE", "/api/v1/namespaces/default/pods/a"),
    ]
    assert [headers["Content-Type"] for headers in server.headers[4:6]] == [PatchType.MERGE, PatchType.JSON]
    assert [query for *_, query, _ in server.requests[:3]] == [{}, {"dryRun": "All"}, {}]
    assert json.loads(server.requests[-1][3])["preconditions"] == {"uid": "u1"}


async def test_a_token_that_ended_is_asked_for_again_once(server: Server, tmp_path: Path) -> None:
    helper = tmp_path / "helper.sh"
    helper.write_text(
        "#!/bin/sh\n"
        f"echo x >> {tmp_path}/calls; n=$(wc -l < {tmp_path}/calls)\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"token-%d"}}\' "$n"\n'
    )
    helper.chmod(0o755)
    provider = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(helper)}}
    client = await Client.connect(write_kubeconfig(tmp_path / "kubeconfig", server.url, provider))

    async def respond(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=200 if request.headers["authorization"] == "Bearer token-2" else 401)

    server.respond = respond
    await client.get(POD, "a", "default")
    assert len(server.requests) == 2

    server.answers({"reason": "Unauthorized"}, 401)
    with pytest.raises(Forbidden):
        await client.get(POD, "a", "default")
    await client.close()


async def test_a_kubeconfig_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("clusters: [")
    for path, said in ((tmp_path / "missing", "no such file"), (broken, "cannot be used as a kubeconfig")):
        monkeypatch.setenv("KUBECONFIG", str(path))
        with pytest.raises(ConfigError, match=said) as caught:
            await Client.connect()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="set KUBECONFIG"):
        await Client.connect()


async def test_a_proxy_in_the_environment_is_not_used_for_this_machine(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = await Client.connect(write_kubeconfig(tmp_path / "kubeconfig", server.url))
    await client.get(POD, "a", "default")
    await client.close()
    assert len(server.requests) == 1
