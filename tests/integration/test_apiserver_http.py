"""The embedded API server as a plain HTTP client sees it."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.integration.apiserver_world import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    ApiServer,
    config_map,
    deployment,
    pod,
)
from tests.waiting import eventually_here

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module", name="server")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver")).start()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _nothing_left(server: ApiServer) -> Iterator[None]:
    yield
    for path in (PODS, CONFIG_MAPS, DEPLOYMENTS, SERVICES):
        server.client.request("DELETE", path, params={"gracePeriodSeconds": "0"})


def test_a_request_is_passed_on_to_the_port_of_a_pod_and_its_answer_back(server: ApiServer) -> None:
    with backend() as port:
        made = pod("asked")
        made["metadata"]["annotations"] = {"local.upwell.dev/ports": f"9090={port}"}
        server.create(PODS, made)
        proxied = f"{PODS}/asked:9090/proxy"
        early = server.client.get(f"{proxied}/x")
        server.client.patch(
            f"{PODS}/asked/status",
            json={"status": {"podIP": "127.0.0.1"}},
            headers={"Content-Type": "application/merge-patch+json"},
        )

        told = server.client.post(f"{proxied}/a%2Fb//c?x=1&y=%20", content=b"body", headers={"X-Own": "kept"})
        missing = server.client.get(f"{proxied}/missing")
        head = server.client.head(proxied)
    gone = server.client.get(f"{proxied}/x")

    assert (early.status_code, early.json()["message"]) == (503, 'pod "asked" has no address yet')
    assert told.json() == {"method": "POST", "path": "/a%2Fb//c?x=1&y=%20", "own": "kept", "body": "body"}
    assert (missing.status_code, missing.json()["path"]) == (404, "/missing")
    assert (head.status_code, head.content) == (200, b"")
    assert (gone.status_code, gone.json()["reason"]) == (503, "ServiceUnavailable")
    for name, code in (("nobody:9090", 404), ("asked:http", 400), ("a:b:c:d", 400), ("ftp:asked:1", 400)):
        assert server.client.get(f"{PODS}/{name}/proxy/").status_code == code
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert server.client.get(f"{proxied}/", headers=upgrade).status_code == 400
    assert server.client.get(f"{CONFIG_MAPS}/asked/proxy/").status_code == 404


@contextlib.contextmanager
def backend() -> Iterator[int]:
    """The port of a server that says what it was asked; 404 for /missing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    sent += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            told = {"method": self.command, "path": self.path, "own": self.headers.get("X-Own"), "body": sent.decode()}
            body = json.dumps(told).encode()
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_POST = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *words: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield listening.server_port
        finally:
            listening.shutdown()
            thread.join()


def test_an_object_is_made_read_changed_and_deleted(server: ApiServer) -> None:
    made = server.create(CONFIG_MAPS, config_map("c", a="1"))
    path = f"{CONFIG_MAPS}/c"

    read = server.client.get(path).json()
    put = server.client.put(path, json={**read, "data": {"a": "2"}})
    stale = server.client.put(path, json={**read, "data": {"a": "3"}})
    patched = server.client.patch(
        path, content=json.dumps({"data": {"b": "4"}}), headers={"Content-Type": "application/merge-patch+json"}
    )
    deleted = server.client.delete(path)
    missing = server.client.get(path)

    assert read == made
    assert put.json()["data"] == {"a": "2"}
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert patched.json()["data"] == {"a": "2", "b": "4"}
    assert deleted.json()["status"] == "Success"
    assert deleted.json()["details"]["uid"] == made["metadata"]["uid"]
    assert (missing.status_code, missing.json()["message"]) == (404, 'configmaps "c" not found')


def test_a_list_is_selected_and_carries_the_version_to_watch_from(server: ApiServer) -> None:
    for name in ("a", "b"):
        server.create(CONFIG_MAPS, {**config_map(name), "metadata": {"name": name, "labels": {"n": name}}})

    everything = server.client.get("/api/v1/configmaps").json()
    selected = server.client.get(CONFIG_MAPS, params={"labelSelector": "n in (b)"}).json()

    assert everything["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in everything["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in selected["items"]] == ["b"]
    assert int(selected["metadata"]["resourceVersion"]) >= int(selected["items"][0]["metadata"]["resourceVersion"])


def test_a_list_comes_in_pages(server: ApiServer) -> None:
    for name in "abc":
        server.create(CONFIG_MAPS, config_map(name))

    first = server.client.get(CONFIG_MAPS, params={"limit": 2}).json()
    second = server.client.get(CONFIG_MAPS, params={"limit": 2, "continue": first["metadata"]["continue"]}).json()
    unknown = server.client.get(CONFIG_MAPS, params={"limit": 2, "continue": "x"})

    assert [item["metadata"]["name"] for item in (*first["items"], *second["items"])] == ["a", "b", "c"]
    assert first["metadata"]["remainingItemCount"] == 1
    assert "continue" not in second["metadata"]
    assert unknown.status_code == 410


def test_a_watch_goes_on_from_a_list(server: ApiServer) -> None:
    version = server.client.get(CONFIG_MAPS).json()["metadata"]["resourceVersion"]
    server.create(CONFIG_MAPS, config_map("before"))

    with server.watch(CONFIG_MAPS, resourceVersion=version) as events:
        missed = next(events)
        server.create(CONFIG_MAPS, config_map("after"))
        live = next(events)

    assert [(one["type"], one["object"]["metadata"]["name"]) for one in (missed, live)] == [
        ("ADDED", "before"),
        ("ADDED", "after"),
    ]


def test_a_watch_without_a_version_starts_with_what_is_there(server: ApiServer) -> None:
    server.create(CONFIG_MAPS, config_map("there"))

    with server.watch(CONFIG_MAPS, fieldSelector="metadata.name=there") as events:
        first = next(events)
        server.client.delete(f"{CONFIG_MAPS}/there")
        second = next(events)

    assert [first["type"], second["type"]] == ["ADDED", "DELETED"]


def test_a_streaming_list_ends_with_a_marked_bookmark(server: ApiServer) -> None:
    server.create(CONFIG_MAPS, config_map("there"))

    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
    with server.watch(CONFIG_MAPS, **query) as events:
        first, second = next(events), next(events)

    assert first["type"] == "ADDED"
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_ends_when_its_time_is_up(server: ApiServer) -> None:
    with server.watch(CONFIG_MAPS, timeoutSeconds=1, resourceVersion=_version(server)) as events:
        assert list(events) == []


@pytest.mark.parametrize("version", ["1", "999999999"])
def test_a_watch_from_an_unknown_past_or_future_is_told_to_list_again(server: ApiServer, version: str) -> None:
    for index in range(3):
        server.create(CONFIG_MAPS, config_map(f"c{index}"))
    server.stop()
    server.start()

    with server.watch(CONFIG_MAPS, resourceVersion=version) as events:
        (event,) = events

    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_a_watch_can_be_a_table(server: ApiServer) -> None:
    server.create(PODS, pod("p"))

    with server.client.stream("GET", PODS, params={"watch": "true"}, headers=TABLE) as answer:
        event = json.loads(next(answer.iter_lines()))

    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:3] == ["p", "0/2", "Pending"]


def test_status_and_scale_are_subresources(server: ApiServer) -> None:
    made = server.create(DEPLOYMENTS, deployment("web"))
    path = f"{DEPLOYMENTS}/web"

    status = server.client.put(f"{path}/status", json={**made, "status": {"replicas": 1}}).json()
    scale = server.client.get(f"{path}/scale").json()
    patch = json.dumps([{"op": "add", "path": "/spec/replicas", "value": 3}])
    json_patch = {"Content-Type": "application/json-patch+json"}
    scaled = server.client.patch(f"{path}/scale", content=patch, headers=json_patch).json()

    assert status["status"] == {"replicas": 1}
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=web")
    assert scaled["spec"] == {"replicas": 3}
    assert server.client.get(path).json()["metadata"]["generation"] == 2


def test_dependents_go_after_their_owner(server: ApiServer) -> None:
    owner = server.create(DEPLOYMENTS, deployment("web"))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"]}
    server.create(PODS, {**pod("p"), "metadata": {"name": "p", "ownerReferences": [reference]}})

    server.client.delete(f"{DEPLOYMENTS}/web")

    eventually_here(lambda: server.client.get(f"{PODS}/p").status_code == 404)


def test_yaml_is_read_like_json(server: ApiServer) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}"

    answer = server.client.post(CONFIG_MAPS, content=text, headers={"Content-Type": "application/yaml"})

    assert (answer.status_code, answer.json()["data"]) == (201, {"a": "b"})


@pytest.mark.parametrize(
    ("content_type", "body", "code", "told"),
    [
        ("application/json", "{", 400, "not valid JSON"),
        ("application/json", '{"a": NaN}', 400, "NaN is not JSON"),
        ("application/json", "\xff".encode("latin-1"), 400, "not valid JSON"),
        ("application/json", "[" * 100_000, 400, "not valid JSON"),
        ("application/json", "null", 400, "must be an object"),
        ("application/yaml", "a: b: c", 400, "not valid YAML"),
        ("application/yaml", "{metadata: {name: x, labels: {day: 2020-01-01}}}", 400, "not valid YAML"),
        ("text/plain", "{}", 415, "unknown format"),
        ("application/vnd.kubernetes.protobuf", "junk", 415, "send a manifest"),
        ("application/json", '{"data": {"a": "' + "x" * 4_000_000 + '"}}', 413, "too large"),
    ],
)
def test_a_body_that_cannot_be_used_is_one_clear_status(
    server: ApiServer, content_type: str, body: Any, code: int, told: str
) -> None:
    answer = server.client.post(CONFIG_MAPS, content=body, headers={"Content-Type": content_type})

    assert answer.status_code == code
    assert answer.json()["kind"] == "Status"
    assert told in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/example.com/v1/things", 404),
        ("GET", "/nothing", 404),
        ("POST", f"{PODS}/p", 405),
        ("POST", "/api/v1/pods", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("PUT", PODS, 405),
        ("POST", "/version", 405),
        ("GET", f"{PODS}?labelSelector=a=b=c", 400),
        ("GET", f"{PODS}?limit=many", 400),
        ("GET", f"{PODS}?watch=true&timeoutSeconds=soon", 400),
        ("GET", f"{PODS}?watch=true&resourceVersion=abc", 400),
    ],
)
def test_a_request_that_makes_no_sense_gets_a_status(server: ApiServer, method: str, path: str, code: int) -> None:
    answer = server.client.request(method, path)

    assert answer.status_code == code
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example.com"}, {"Host": "10.0.0.1:80"}, {"Origin": "http://localhost:3000"}]
)
def test_requests_of_web_pages_are_refused(server: ApiServer, headers: dict[str, str]) -> None:
    answer = server.client.get("/api/v1/secrets", headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")


def test_discovery_lists_what_is_served(server: ApiServer) -> None:
    groups = [one["name"] for one in server.client.get("/apis").json()["groups"]]
    serving = server.client.get("/apis/serving.knative.dev/v1").json()["resources"]
    apps = server.client.get("/apis/apps/v1").json()["resources"]
    aggregated = server.client.get(
        "/apis", headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    ).json()

    (service,) = [one for one in serving if one["name"] == "services"]
    (scale,) = [one for one in apps if one["name"] == "deployments/scale"]
    assert {"apps", "serving.knative.dev", "networking.internal.knative.dev"} <= set(groups)
    assert service["shortNames"] == ["kservice", "ksvc"]
    assert service["categories"] == ["all", "knative", "serving"]
    assert (scale["group"], scale["kind"]) == ("autoscaling", "Scale")
    assert [one["metadata"]["name"] for one in aggregated["items"]] == groups


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping"])
def test_health_is_told(server: ApiServer, path: str) -> None:
    assert server.client.get(path).text == "ok"


def test_every_openapi_document_can_be_read(server: ApiServer) -> None:
    paths = server.client.get("/openapi/v3").json()["paths"]

    for one in paths.values():
        document = server.client.get(one["serverRelativeURL"]).json()
        text = json.dumps(document)
        schemas = document["components"]["schemas"]
        for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
            assert reference in schemas


def test_logs_are_read_from_the_end_and_followed(server: ApiServer) -> None:
    server.create(PODS, pod("p"))
    folder = server.logs / "default" / "p"
    folder.mkdir(parents=True)
    log = folder / "app.log"
    log.write_text("".join(f"line {index}\n" for index in range(50_000)))
    query = {"tailLines": "2", "follow": "true"}

    tail = server.client.get(f"{PODS}/p/log", params={"tailLines": "2"}).text
    with server.client.stream("GET", f"{PODS}/p/log", params=query) as answer:
        lines = answer.iter_lines()
        followed = [next(lines), next(lines)]
        with log.open("a") as file:
            file.write("more\n")
        followed.append(next(lines))
        log.write_text("cut\n")
        followed.append(next(lines))
        server.client.delete(f"{PODS}/p")
        rest = list(lines)

    assert tail == "line 49998\nline 49999\n"
    assert followed == ["line 49998", "line 49999", "more", "cut"]
    assert rest == []


def test_the_log_of_another_container_is_asked_for_by_name(server: ApiServer) -> None:
    server.create(PODS, pod("q"))
    (server.logs / "default" / "q").mkdir(parents=True)
    (server.logs / "default" / "q" / "sidecar.log").write_text("hello\n")

    assert server.client.get(f"{PODS}/q/log", params={"container": "sidecar"}).text == "hello\n"
    assert server.client.get(f"{PODS}/q/log").text == ""
    assert server.client.get(f"{PODS}/q/log", params={"container": "../../x"}).status_code == 400


def test_many_writers_of_one_object_lose_nothing(server: ApiServer) -> None:
    server.create(CONFIG_MAPS, config_map("counter", n="0"))

    def count_up() -> None:
        with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
            done = 0
            while done < 25:
                obj = client.get(f"{CONFIG_MAPS}/counter").json()
                obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
                done += client.put(f"{CONFIG_MAPS}/counter", json=obj).status_code == 200

    writers = [threading.Thread(target=count_up) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert server.client.get(f"{CONFIG_MAPS}/counter").json()["data"]["n"] == "100"


def _version(server: ApiServer) -> str:
    version: str = server.client.get(CONFIG_MAPS).json()["metadata"]["resourceVersion"]
    return version
