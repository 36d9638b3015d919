"""Rows for the gateway's path of a request: beside HAProxy with the same routes, and ten routes beside ten thousand.

Both proxies choose by Host, among as many hosts; both mark the request with the revision and its namespace, set
X-Forwarded-Proto and -Host and append to X-Forwarded-For. All routes lead to one app, so that HAProxy may use its
connections to it for every host, as our engine does.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.cluster import NAMESPACE, api_server, metadata, slice_of
from bench.contest import Turn, contest
from bench.proxies import Target, backend, free_port, gateway, haproxy_with
from bench.rows import Bench, Figure, Measure, Row, Series, at_least, at_most, beside
from bench.wrk import HEADERS, TOOLS, wrk
from gateway.status import LoadBalancers, served_status
from upwell.api import names
from upwell.api.objects import Object, new_object
from upwell.api.resources import CORE_SERVICE, ENDPOINT_SLICE, INGRESS, Resource

__all__ = ["FEW", "MANY", "ROWS", "host_of", "objects_of"]

CONNECTIONS = 32
LOAD_BALANCERS = LoadBalancers(*[f"gateway.{names.SYSTEM_NAMESPACE}.svc.{names.CLUSTER_DOMAIN}"] * 2)
FEW, MANY = 10, 10_000
RATE = "requests/s"
WARM_SECONDS = 3
"""For ten thousand hosts to be asked for once."""
TURNS = 3
"""Of a second, for each round: many short turns, of which the quickest counts, since noise only ever adds."""
KIB_MOST = 12
"""So that a gateway with ten thousand routes stays under 200 MiB."""
UNNOTICED = 1.05
"""Of the CPU time of a request: two runs of the same differ by as much."""

_HAPROXY = """
frontend requests
    bind 127.0.0.1:{port}
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header Knative-Serving-Namespace default
    http-request set-header Knative-Serving-Revision %[req.hdr(host),lower,map({revisions})]
    use_backend %[req.hdr(host),lower,map({backends})]
backend app
    http-reuse always
    server app 127.0.0.1:{app} pool-max-conn 1000
"""


def host_of(number: int) -> str:
    return f"app-{number}.default.example"


def objects_of(number: int, app_port: int) -> list[tuple[Resource, Object]]:
    """One route as the controller writes it, and its revision's public Service with one endpoint."""
    revision = f"app-{number}-00001"
    hosts = [f"app-{number}.default", f"app-{number}.default.svc", f"app-{number}.default.svc.cluster.local"]
    marks = {names.HEADER_REVISION: revision, names.HEADER_NAMESPACE: NAMESPACE}
    split = {"serviceName": revision, "serviceNamespace": NAMESPACE, "servicePort": 80, "percent": 100}
    http = {"paths": [{"splits": [{**split, "appendHeaders": marks}]}]}
    rules = [
        {"hosts": hosts, "http": http, "visibility": "ClusterLocal"},
        {"hosts": [host_of(number)], "http": http, "visibility": "ExternalIP"},
    ]
    about = metadata(revision)
    about["annotations"] = {**about["annotations"], names.ANNOTATION_INGRESS_CLASS: names.INGRESS_CLASS}
    ingress = new_object(INGRESS, NAMESPACE, f"app-{number}", metadata=about, spec={"rules": rules})
    # As a gateway before this one left it; else ours would be writing statuses while it is measured.
    ingress["status"] = served_status(ingress, LOAD_BALANCERS, time.time())
    ports = [{"name": "http", "port": 80, "targetPort": 8012, "protocol": "TCP"}]
    service = new_object(CORE_SERVICE, NAMESPACE, revision, metadata=metadata(revision), spec={"ports": ports})
    return [
        (INGRESS, ingress),
        (CORE_SERVICE, service),
        (ENDPOINT_SLICE, slice_of(revision, "a", ["127.0.0.1"], {"http": app_port})),
    ]


@contextmanager
def gateway_with(bench: Bench, routes: int, app: Target) -> Iterator[Target]:
    folder = bench.folder / f"cluster-{routes}"
    folder.mkdir()
    objects = (one for number in range(routes) for one in objects_of(number, app.port))
    with (
        api_server(folder, objects) as kubeconfig,
        gateway(folder, kubeconfig, f"gateway, {routes:,} routes") as target,
    ):
        yield target


@contextmanager
def haproxy_of(bench: Bench, routes: int, app: Target) -> Iterator[Target]:
    revisions = _map(bench.folder / "revisions.map", {host_of(n): f"app-{n}-00001" for n in range(routes)})
    backends = _map(bench.folder / "backends.map", {host_of(n): "app" for n in range(routes)})
    port = free_port()
    sections = _HAPROXY.format(port=port, app=app.port, revisions=revisions, backends=backends)
    with haproxy_with(bench.folder, port, sections) as target:
        yield target


def _map(path: Path, values: dict[str, str]) -> Path:
    path.write_text("".join(f"{host} {value}\n" for host, value in values.items()))
    return path


def alike(target: Target, seconds: int) -> Turn:
    """Every connection asks for the same again and again."""
    return wrk(target, seconds, CONNECTIONS, headers=(f"Host: {host_of(7)}", *HEADERS))


def varied(target: Target, seconds: int, hosts: int) -> Turn:
    """No connection sends a head twice in a row."""
    return wrk(target, seconds, CONNECTIONS, "hosts.lua", settings={"HOSTS": str(hosts)})


def beside_haproxy(bench: Bench, routes: int) -> Row:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        ours = stack.enter_context(gateway_with(bench, routes, app)).named("gateway")
        theirs = stack.enter_context(haproxy_of(bench, routes, app))
        for target in (ours, theirs):
            alike(target, 1)
            varied(target, WARM_SECONDS, routes)
        same = contest([ours, theirs], lambda target: alike(target, bench.seconds), bench.rounds)
        mixed = contest(
            [ours.named("gateway, hosts in turn"), theirs.named("HAProxy, hosts in turn")],
            lambda target: varied(target, bench.seconds, routes),
            bench.rounds,
        )
    series = [*same.values(), *mixed.values()]
    figures = beside(series[0], series[1], RATE, 0.55, "requests/s, each like the one before")
    figures += beside(series[2], series[3], RATE, None, "requests/s, hosts in turn")
    return Row([*figures, _failed(series)], series)


def ten(bench: Bench) -> Row:
    return beside_haproxy(bench, FEW)


def thousands(bench: Bench) -> Row:
    return beside_haproxy(bench, MANY)


def routes(bench: Bench) -> Row:
    with ExitStack() as stack:
        app = stack.enter_context(backend(bench.folder))
        targets = [stack.enter_context(gateway_with(bench, count, app)) for count in (FEW, MANY)]
        for target in targets:
            varied(target, 1, FEW)
        found = contest(targets, lambda target: varied(target, 1, FEW), bench.rounds * TURNS)
    few, many = found.values()
    column = "CPU µs/request"
    each = many.above(few, "RSS MiB") * 1024 / (MANY - FEW)
    what = f"CPU time of a request among {MANY:,} routes, of that among {FEW}"
    figures = [
        at_most(what, min(many.columns[column]) / min(few.columns[column]), UNNOTICED),
        at_least("the same by requests/s", many.share_of(few, RATE), None),
        at_most("KiB of memory for each route more", each, KIB_MOST, "{:.1f}", by_the_clock=False),
    ]
    return Row(
        [*figures, _failed([few, many])],
        [few, many],
        "The same ten hosts in turn are asked for in both; the quickest turn counts.",
    )


def _failed(series: list[Series]) -> Figure:
    failed = sum(sum(one.columns["failed"]) for one in series)
    return at_most("failed requests, all together", failed, 0, "{:.0f}", by_the_clock=False)


ROWS: Sequence[Measure] = (
    Measure("ten", f"{FEW} routes by host, 13 headers, 32 connections", TOOLS, ten),
    Measure("thousands", f"the same with {MANY:,} routes", TOOLS, thousands),
    Measure("routes", f"{FEW} and {MANY:,} routes taking turns", TOOLS, routes),
)
