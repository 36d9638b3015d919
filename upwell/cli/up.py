"""`upwell up`: the whole platform on this machine, until Ctrl-C."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from upwell.api.names import SYSTEM_NAMESPACE, TRUST_BUNDLE
from upwell.api.objects import name_of, namespace_of
from upwell.api.resources import CONFIG_MAP, SERVICE
from upwell.cli.apply import apply_documents
from upwell.cli.documents import Document, load_files
from upwell.cli.errors import CommandError
from upwell.cli.observe import ServiceState, observing
from upwell.cli.session import FOLDER, platform_root
from upwell.cluster.errors import NotFound
from upwell.local.platform import Platform, PlatformError

__all__ = ["up"]

_READY_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_AUTHORITY_LOOKS = 200
_CERTIFICATE_SECONDS = 5.0
"""A Service is Ready by http until its certificate is signed; one without, as inside the cluster, stays so."""


async def up(files: list[str], namespace: str, port: int, https_port: int | None) -> None:
    """Start the platform, apply the files, and stay until SIGINT or SIGTERM; leaves no process behind."""
    paths = [Path(file) for file in files] or [Path("service.yaml")]
    documents = load_files(paths, namespace) if files or paths[0].exists() else []
    platform = Platform(platform_root(), gateway_port=port, https_port=https_port)
    stopping = _stop_signal()
    try:
        await _until(stopping, _start(platform, documents))
        if not stopping.is_set():
            await _until(stopping, platform.run())
    except PlatformError as error:
        raise CommandError(str(error)) from error
    finally:
        await _stop(platform)


async def _stop(platform: Platform) -> None:
    """End it, and say so unless it was refused before it began: the one that runs already goes on."""
    began = platform.started
    if began:
        print("stopping …", flush=True)
    await platform.stop()
    if began:
        print("stopped; what was applied is kept in .upwell and comes back with the next `upwell up`", flush=True)


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _until(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or the user wants to stop, whichever is first."""
    task = asyncio.create_task(work, name="platform")
    stop = asyncio.create_task(stopping.wait(), name="stop signal")
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
        return
    task.result()


async def _start(platform: Platform, documents: list[Document]) -> None:
    print("starting the platform …", flush=True)
    await platform.start()
    print(f"gateway  http://127.0.0.1:{platform.gateway_port}")
    print(f"kubectl  kubectl --kubeconfig {FOLDER}/kubeconfig get ksvc,revisions,pods -A", flush=True)
    for line in await apply_documents(platform.client, documents):
        print(line, flush=True)
    if not documents:
        print("nothing applied: there is no service.yaml here; in another terminal: upwell apply FILE", flush=True)
    for document in documents:
        if document.resource is SERVICE:
            await announce(platform, document)
    if platform.https_port is not None:
        await _tell_https(platform, wait=bool(documents))
    print("Ctrl-C stops everything.", flush=True)


async def _tell_https(platform: Platform, *, wait: bool) -> None:
    """Write down whom clients have to trust, and say so; `wait` for the first certificate to be signed."""
    for _ in range(_AUTHORITY_LOOKS if wait else 1):
        try:
            bundle = await platform.client.get(CONFIG_MAP, TRUST_BUNDLE, SYSTEM_NAMESPACE)
        except NotFound:
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        file = platform_root() / "ca.crt"
        file.write_text(bundle["data"]["ca.crt"], encoding="ascii")
        print(f"https    on port {platform.https_port}; clients have to trust {FOLDER}/ca.crt", flush=True)
        return
    get = f"kubectl --kubeconfig {FOLDER}/kubeconfig get configmap {TRUST_BUNDLE} -n {SYSTEM_NAMESPACE}"
    print(f"https    on port {platform.https_port}; clients have to trust what is in: {get}", flush=True)


def _is_ready_by_https(state: ServiceState) -> bool:
    return state.ready and state.url.startswith("https:")


async def announce(platform: Platform, document: Document) -> None:
    """Wait until a Service is Ready and print how to call it, or why it is not."""
    name, namespace = name_of(document.obj), namespace_of(document.obj)
    async with observing(platform.client, namespace, name) as observer:
        ready = await observer.wait_for(lambda state: state.ready or state.failed, _READY_SECONDS)
        state = observer.state
        secured = platform.https_port is not None and state.ready
        if secured and await observer.wait_for(_is_ready_by_https, _CERTIFICATE_SECONDS):
            state = observer.state
    if ready and state.ready:
        trust = f"--cacert {FOLDER}/ca.crt " if state.url.startswith("https:") else ""
        print(f"{name} is ready  {state.url}\n  curl {trust}{state.url}", flush=True)
        return
    reason = state.reason if state.failed else state.pod_trouble or state.reason
    reason = reason if ready else f"still waiting after {_READY_SECONDS:.0f} s: {reason or 'no reason given'}"
    print(f"{document.where}: {name} is not ready: {reason}\n  upwell logs {name}", flush=True)
