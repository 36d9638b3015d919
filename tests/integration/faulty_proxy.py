"""An API server as real ones are at their worst: a proxy that refuses, delays, forgets, and fills in.

Every client of it sees conflicts, errors, throttling with Retry-After, connections that drop before or after the
write was done, reads that fail, watches that end, break, fall behind or have expired, by status or by an event in
their midst, objects with fields that it never set, and resourceVersions that are no numbers.
Faults come from a seed, so that a run can be repeated.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

__all__ = ["FaultyProxy"]

_STATUS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_OPAQUE = re.compile(r"rv\.([0-9a-f]+)\.z")
_BESIDE = re.compile("/(events|leases)(/|$)")
"""What is written whether or not there is anything to do."""
_EXPIRED = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old"}


class FaultyProxy:
    """In front of one server."""

    def __init__(self, target: str, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self.port = 0
        self.active = True
        """Whether there are faults at all."""
        self.share = 0.15
        """Of requests that go wrong; of reads a third of it."""
        self.only_time_outs = False
        """Whether what goes wrong is always a time-out at the server, of reads as often as of writes."""
        self.pruned: dict[str, tuple[str, ...]] = {}
        """By kind, fields of any depth that the server does not know and drops from what is written."""
        self.faults: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        """By verb and collection, writes that reached the server and changed something."""
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FaultyProxy"]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._session:
            app = web.Application(client_max_size=1 << 26)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if "leases" in request.path:  # elections have tests of their own
            return await self._forward(request)
        if request.query.get("watch"):
            return await self._watch(request)
        share = self.share / 3 if request.method == "GET" and not self.only_time_outs else self.share
        if not (self._random.random() < share and self.active):
            return await self._forward(request)
        if self.only_time_outs:
            return await self._time_out(request)
        if request.method == "GET":
            self.faults["read failed"] += 1
            return _refusal(self._random.choice((429, 500, 503)), {"Retry-After": "1"})
        kind = self._random.choice(("conflict", "error", "throttled", "dropped before", "dropped after"))
        self.faults[kind] += 1
        if kind == "throttled":
            return _refusal(429, {"Retry-After": "1"})
        if kind == "error":
            return _refusal(self._random.choice((500, 503)))
        if kind == "conflict" and request.method == "PUT":
            return _refusal(409)
        if kind == "dropped after":
            await self._forward(request)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _time_out(self, request: web.Request) -> web.Response:
        """Too late for an answer, and for writes nobody knows whether they were done."""
        done = request.method != "GET" and self._random.random() < 0.5
        self.faults["timed out after" if done else "timed out before"] += 1
        if done:
            await self._forward(request)
        await asyncio.sleep(self._random.uniform(0.05, 0.5))
        return _refusal(504)

    async def _forward(self, request: web.Request) -> web.Response:
        body, headers = self._prune(_numbers((await request.read()).decode())), _headers(request)
        async with self._session.request(
            request.method, self._target + _numbers(request.path_qs), data=body, headers=headers
        ) as answer:
            content = await answer.read()
        if request.method != "GET" and answer.status < 300 and not _BESIDE.search(request.path):
            self.writes[f"{request.method} {request.path}"] += 1
        if answer.content_type == "application/json" and self.active:
            content = json.dumps(_opaque(_filled_in(json.loads(content)))).encode()
        return web.Response(body=content, status=answer.status, content_type=answer.content_type)

    def _prune(self, body: str) -> str:
        if not (self.pruned and body.startswith("{")):
            return body
        content = json.loads(body)
        unknown = self.pruned.get(str(content.get("kind")), ())
        return json.dumps(_without(content, unknown)) if unknown else body

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.active and self._random.random() < 0.1:
            self.faults["watch expired"] += 1
            return _refusal(410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        lasts = self._random.uniform(0.5, 3.0) if self.active else None
        try:
            async with asyncio.timeout(lasts):
                await self._stream(request, response)
        except TimeoutError:
            self.faults["watch ended"] += 1
            way = self._random.choice(("as it should", "broken", "expired"))
            if way == "expired":
                self.faults["watch expired in its midst"] += 1
                await response.write(json.dumps({"type": "ERROR", "object": _EXPIRED}).encode() + b"\n")
            elif way == "broken" and request.transport is not None:
                request.transport.abort()
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        async with self._session.get(self._target + _numbers(request.path_qs), headers=_headers(request)) as answer:
            async for line in answer.content:
                if self.active and self._random.random() < 0.3:
                    self.faults["cache behind"] += 1
                    await asyncio.sleep(self._random.uniform(0.0, 0.4))
                event = json.loads(line)
                event["object"] = _opaque(_filled_in(event["object"])) if self.active else event["object"]
                await response.write(json.dumps(event).encode() + b"\n")


def _headers(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in ("Content-Type", "Accept", "User-Agent") if name in request.headers}


def _refusal(code: int, headers: dict[str, str] | None = None) -> web.Response:
    reason = _STATUS[code]
    content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**content, "message": f"injected: {reason}"}, status=code, headers=headers)


def _opaque(content: Any) -> Any:
    """With versions that can only be compared for equality and sent back."""
    for part in (content, *(content.get("items") or ())):
        version = (part.get("metadata") or {}).get("resourceVersion") or ""
        if version.isdigit():
            part["metadata"]["resourceVersion"] = f"rv.{int(version):x}.z"
    return content


def _numbers(text: str) -> str:
    """What a client sent, with the server's own versions."""
    return _OPAQUE.sub(lambda found: str(int(found[1], 16)), text)


def _without(value: Any, fields: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _without(part, fields) for name, part in value.items() if name not in fields}
    return [_without(part, fields) for part in value] if isinstance(value, list) else value


def _filled_in(content: Any) -> Any:
    """What an API server adds to objects by itself, or a webhook of the cluster's does."""
    for obj in content.get("items") or [content]:
        kind = obj.get("kind") or str(content.get("kind", "")).removesuffix("List")
        metadata, spec = obj.get("metadata"), obj.get("spec")
        if not isinstance(metadata, dict) or not isinstance(spec, dict):
            continue
        metadata["managedFields"] = [{"manager": "someone", "operation": "Update"}]
        if kind == "Deployment":
            _fill_deployment(obj)
        elif kind == "Service" and obj.get("apiVersion", "v1") == "v1" and "template" not in spec:
            spec.update(internalTrafficPolicy="Cluster", sessionAffinity=spec.get("sessionAffinity", "None"))
            for port in spec.get("ports") or ():
                port.setdefault("targetPort", port["port"])
                port.setdefault("protocol", "TCP")
    return content


def _fill_deployment(deployment: Any) -> None:
    metadata, spec = deployment["metadata"], deployment["spec"]
    metadata.setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "1"
    spec.setdefault("progressDeadlineSeconds", 600)
    pod = (spec.get("template") or {}).get("spec") or {}
    pod.update(restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler", securityContext={})
    for container in pod.get("containers") or ():
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container["terminationMessagePath"] = "/dev/termination-log"
