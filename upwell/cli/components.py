"""Asking the platform's own processes over HTTP, wherever they run.

On a cluster the API server passes the question on to the pod (`pods/proxy`). On the local platform pods are processes
of this machine: their Pod objects say which port stands for which, and they are asked directly.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

import aiohttp

from upwell.api.names import PORT_METRICS
from upwell.api.objects import Object, annotations_of, is_deleting, name_of, namespace_of
from upwell.api.resources import POD
from upwell.cli.errors import CommandError
from upwell.cli.session import Session
from upwell.cluster.errors import ApiError, NotFound
from upwell.ports import parse_pairs

__all__ = ["Ask", "asking"]

LOCAL_PORTS: Final = "local.upwell.dev/ports"
SECONDS: Final = 5.0

Ask = Callable[[str, str], Coroutine[Any, Any, list[Any]]]
"""`ask(component, path)`: the answers of its pods to a GET of `path`, parsed where they are JSON; without those that
answer 404 or not at all. Raise CommandError when the component has no running pod, or none answers."""


@contextlib.asynccontextmanager
async def asking(session: Session, namespace: str) -> AsyncIterator[Ask]:
    """A way to ask the components that run in `namespace`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as http:

        async def ask(component: str, path: str) -> list[Any]:
            pods, _ = await session.client.list(POD, namespace, labels=f"app={component}")
            running = [pod for pod in pods if _runs(pod)]
            if not running:
                raise CommandError(f"no {component} runs in namespace {namespace}", "see `upwell get pods -A`")
            asked = (_ask_one(session, http, pod, path) for pod in running)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(
                    answer, ApiError | aiohttp.ClientError | TimeoutError
                ):
                    raise answer
            failures = [answer for answer in answers if isinstance(answer, BaseException)]
            if len(failures) == len(answers):
                raise CommandError(
                    f"the {component} does not answer: {failures[0]}", f"see its log: {name_of(running[0])}"
                )
            return [found for answer in answers if not isinstance(answer, BaseException) for found in answer]

        yield ask


def _runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running" and not is_deleting(pod)


async def _ask_one(session: Session, http: aiohttp.ClientSession, pod: Object, path: str) -> list[Any]:
    """The answer as a list of one; empty for 404."""
    ports = annotations_of(pod).get(LOCAL_PORTS)
    if ports is None:
        try:
            proxied = POD.path(namespace_of(pod), f"{name_of(pod)}:{PORT_METRICS}", "proxy")
            return [await session.client.raw("GET", proxied + path)]
        except NotFound:
            return []
    port = parse_pairs(LOCAL_PORTS, ports, 65535).get(PORT_METRICS, PORT_METRICS)
    async with http.get(f"http://{pod['status']['podIP']}:{port}{path}") as response:
        if response.status == 404:
            return []
        response.raise_for_status()
        return [await response.json() if response.content_type == "application/json" else await response.text()]
