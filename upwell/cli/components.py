"""Asking the platform's own processes over HTTP, wherever they run.

The API server passes the question on to the pod (`pods/proxy`), that of a cluster as well as that of a laptop. So
whoever has a kubeconfig can ask, given leave to list pods in the system's namespace and to get their `pods/proxy`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from upwell.api.names import PORT_METRICS
from upwell.api.objects import Object, is_deleting, name_of, namespace_of
from upwell.api.resources import POD
from upwell.cli.errors import CommandError
from upwell.cli.session import Session
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError, Forbidden, NotFound

__all__ = ["Ask", "asking"]

SECONDS: Final = 5.0

Ask = Callable[[str, str], Coroutine[Any, Any, list[Any]]]
"""`ask(component, path)`: the answers of its pods to a GET of `path`, parsed where they are JSON; without those that
answer 404 or not at all. Raise CommandError when the component has no running pod, or none answers."""


def asking(session: Session, namespace: str) -> Ask:
    """A way to ask the components that run in `namespace`."""

    async def ask(component: str, path: str) -> list[Any]:
        pods, _ = await session.client.list(POD, namespace, labels=f"app={component}")
        running = [pod for pod in pods if _runs(pod)]
        if not running:
            raise CommandError(f"no {component} runs in namespace {namespace}", "see `upwell get pods -A`")
        answers = await asyncio.gather(*(_ask_one(session.client, pod, path) for pod in running))
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if len(failures) == len(answers):
            raise CommandError(f"the {component} does not answer: {failures[0]}", _advice(failures[0], running[0]))
        return [found for answer in answers if isinstance(answer, list) for found in answer]

    return ask


def _runs(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running" and not is_deleting(pod)


async def _ask_one(client: Client, pod: Object, path: str) -> list[Any] | ApiError | TimeoutError:
    """The answer as a list of one; empty for 404; or why there is none."""
    proxied = POD.path(namespace_of(pod), f"{name_of(pod)}:{PORT_METRICS}", "proxy")
    try:
        async with asyncio.timeout(SECONDS):
            return [await client.raw("GET", proxied + path)]
    except NotFound:
        return []
    except (ApiError, TimeoutError) as error:
        return error


def _advice(failure: Exception, pod: Object) -> str:
    if isinstance(failure, Forbidden):
        return f"you need leave to get pods/proxy in namespace {namespace_of(pod)}"
    return f"see its log: {name_of(pod)}"
