"""The platform's own processes: started, found again, never left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.runtime_world import World, app, get, port_of, world
from tests.waiting import eventually
from upwell.api.objects import name_of
from upwell.api.resources import CONFIG_MAP, POD
from upwell.cluster.client import Client
from upwell.cluster.errors import ApiError
from upwell.local import manifests
from upwell.local.platform import Platform, PlatformError
from upwell.local.processes import identity_of

ALONE = """
import asyncio, sys
from pathlib import Path
from upwell.local import manifests
from upwell.local.platform import Platform

async def main():
    manifests.COMPONENTS = ()
    platform = Platform(Path(sys.argv[1]), gateway_port=0)
    await platform.start()
    print("started", flush=True)
    await platform.run()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def without_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "COMPONENTS", ())


def server_of(platform: Platform) -> str:
    return str(yaml.safe_load(platform.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


async def all_gone(processes: dict[str, int]) -> None:
    async def look() -> bool:
        return not any(identity_of(pid) for pid in processes.values())

    await eventually(look, seconds=5)


async def test_stopping_leaves_no_process_and_keeps_what_was_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as here:
        await here.deploy("web", app())
        await here.ready_pods("web", 1)
        processes, server = here.ledger(), server_of(here.platform)
        assert len(processes) == 3
    await all_gone(processes)

    async with world(tmp_path, monkeypatch) as here:
        await here.ready_pods("web", 1)
        assert server_of(here.platform) == server


async def test_pods_and_slices_of_the_run_before_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch) as here:
        await here.serve("web")
        await here.deploy("web", app())
        old = (await here.ready_pods("web", 1))[0]["metadata"]["name"]

    async with world(tmp_path, monkeypatch) as here:

        async def replaced() -> bool:
            targets = [item["endpoints"][0]["targetRef"]["name"] for item in await here.slices("web")]
            pods = [pod["metadata"]["name"] for pod in await here.ready_pods("web", 1)]
            return targets == pods and old not in pods

        await eventually(replaced)


async def test_a_folder_has_one_platform_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch):
        second = Platform(tmp_path, gateway_port=0)

        with pytest.raises(PlatformError, match=rf"is running in {tmp_path} already \(process {os.getpid()}\)"):
            await second.start()
        await second.stop()


async def test_a_gateway_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        platform = Platform(tmp_path, gateway_port=port)

        with pytest.raises(PlatformError, match=f"port {port} on 127.0.0.1 is in use; .* with --port"):
            await platform.start()
        await platform.stop()


async def test_the_api_server_comes_back_with_everything_while_pods_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as here:
        await here.serve("web")
        await here.deploy("web", app())
        pod = (await here.ready_pods("web", 1))[0]
        process, port = here.process_of(pod), port_of((await here.slices("web"))[0])

        os.kill(here.ledger()["apiserver"], signal.SIGKILL)
        assert await get(port) == "hello"
        await eventually(lambda: _answers(here))

        assert (await here.pods("web"))[0]["metadata"]["uid"] == pod["metadata"]["uid"]
        assert here.process_of(pod) == process
        await here.change("web", replicas=2)
        await here.ready_pods("web", 2)


async def _answers(here: World) -> bool:
    try:
        await here.client.list(POD, "default")
    except ApiError:
        return False
    return True


async def test_the_runtime_comes_back_and_starts_every_pod_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as here:
        await here.deploy("web", app())
        pod = (await here.ready_pods("web", 1))[0]
        processes = here.ledger()

        os.kill(processes["runtime"], signal.SIGKILL)

        async def replaced() -> bool:
            (now,) = await here.ready_pods("web", 1)
            return name_of(now) != name_of(pod)

        await eventually(replaced)
        assert not identity_of(here.process_of(pod))
        assert here.ledger()["apiserver"] == processes["apiserver"]


async def test_a_platform_that_was_killed_takes_everything_with_it_and_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    command = [sys.executable, "-c", ALONE, str(root)]
    owner = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert await asyncio.to_thread(owner.stdout.readline) == "started\n"
    here = World(Platform(root), root)
    here.platform.client = await Client.connect(str(root / "kubeconfig"))
    await here.deploy("web", app())
    await eventually(lambda: _has_process(here))
    await here.client.close()
    processes = here.ledger()

    owner.kill()
    owner.wait()
    owner.stdout.close()

    await all_gone(processes)
    async with world(root, monkeypatch) as here:
        assert (await here.deployment("web"))["spec"]["replicas"] == 1


async def _has_process(here: World) -> bool:
    return any(name.startswith("default/web") for name in here.ledger())


async def test_settings_that_a_user_changed_survive_a_restart_except_the_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, monkeypatch) as here:
        data = {"scale-to-zero-grace-period": "99s"}
        await here.client.patch(CONFIG_MAP, "config-autoscaler", "knative-serving", {"data": data})

    async with world(tmp_path, monkeypatch) as here:
        autoscaler = await here.client.get(CONFIG_MAP, "config-autoscaler", "knative-serving")
        network = await here.client.get(CONFIG_MAP, "config-network", "knative-serving")
        assert autoscaler["data"]["scale-to-zero-grace-period"] == "99s"
        assert network["data"]["external-port"] == str(here.platform.gateway_port)


async def test_a_component_that_does_not_come_up_ends_the_start_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = manifests.Component(name="controller", ports={"metrics": 9090}, probe_port=9090, env={"KUBECONFIG": "/x"})
    monkeypatch.setattr(manifests, "COMPONENTS", (broken,))
    platform = Platform(tmp_path, gateway_port=0)
    try:
        with pytest.raises(PlatformError, match=r"the controller does not come up: .* \(log: .*/controller.log\)"):
            await platform.start()
    finally:
        await platform.stop()


async def test_the_kubeconfig_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, monkeypatch) as here:
        assert here.platform.kubeconfig.stat().st_mode & 0o777 == 0o600
