"""Pods as processes: real API server, real runtime, real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.runtime_world import SERVER, World, app, get, is_ready, port_of, python, world
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIG_MAP, DEPLOYMENT, ENDPOINT_SLICE, NODE, POD
from upwell.local.processes import identity_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        async with world(tmp_path_factory.mktemp("upwell"), patch) as found:
            yield found


def condition(obj: Object, name: str) -> tuple[str, str, str]:
    found = find(obj.get("status"), name)
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


async def test_a_deployment_becomes_a_process_that_its_service_leads_to(here: World) -> None:
    await here.serve("web")
    await here.deploy("web", app())

    pod = (await here.ready_pods("web", 1))[0]
    found = await here.slices("web")

    assert [item["endpoints"][0]["targetRef"]["name"] for item in found] == [pod["metadata"]["name"]]
    assert port_of(found[0]) == pod["spec"]["containers"][0]["ports"][0]["containerPort"] != 8080
    assert await get(port_of(found[0])) == "hello"
    status = pod["status"]
    assert (status["phase"], status["podIP"]) == ("Running", "127.0.0.1")
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Deployment"

    async def complete() -> bool:
        return condition(await here.deployment("web"), "Progressing")[1] == "NewReplicaSetAvailable"

    await eventually(complete)
    await here.remove("web")
    assert await here.slices("web") == []


async def test_scaling_starts_and_ends_processes(here: World) -> None:
    await here.deploy("scaled", app(), replicas=0)
    await here.change("scaled", replicas=3)
    pods = await here.ready_pods("scaled", 3)
    assert len({here.process_of(pod) for pod in pods} - {0}) == 3

    await here.change("scaled", replicas=1)
    left = await here.ready_pods("scaled", 1)

    assert left[0]["metadata"]["name"] in {pod["metadata"]["name"] for pod in pods}
    status = (await here.deployment("scaled"))["status"]
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    await here.remove("scaled")


async def test_a_killed_process_is_back_on_the_same_port(here: World) -> None:
    await here.serve("killed")
    await here.deploy("killed", app())
    pod = (await here.ready_pods("killed", 1))[0]
    before, port = here.process_of(pod), port_of((await here.slices("killed"))[0])

    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        now = await here.client.get(POD, pod["metadata"]["name"], "default")
        return is_ready(now) and now["status"]["containerStatuses"][0]["restartCount"] == 1

    await eventually(back)
    now = await here.client.get(POD, pod["metadata"]["name"], "default")
    last = now["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["signal"]) == (137, 9)
    assert here.process_of(pod) not in (0, before)
    assert port_of((await here.slices("killed"))[0]) == port
    assert await get(port) == "hello"
    await here.remove("killed")


async def test_a_container_without_a_command_says_what_to_add_and_holds_up_nobody_else(here: World) -> None:
    await here.deploy("bare", {"name": "user-container", "image": "ghcr.io/me/app"})
    await here.deploy("fine", app())

    reason, message = await here.waiting_reason("bare")

    assert reason == "CommandMissing"
    assert "container user-container has no command" in message
    assert "add command: [...]" in message
    await here.ready_pods("fine", 1)

    async def failed() -> bool:
        return condition(await here.deployment("bare"), "ReplicaFailure")[:2] == ("True", "CommandMissing")

    await eventually(failed)
    await here.remove("bare")
    await here.remove("fine")


@pytest.mark.parametrize(
    ("fields", "reason", "text"),
    [
        ({"command": ["pyhton3"]}, "CommandNotFound", 'command "pyhton3" is not on PATH'),
        ({"command": ["./start"]}, "CommandNotFound", 'command "./start" does not exist'),
        ({"command": [__file__]}, "CommandNotExecutable", f"chmod +x {__file__}"),
        ({"command": ["true"], "workingDir": "/absent"}, "WorkingDirMissing", "/absent is not a folder"),
        (
            {
                "command": ["true"],
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "a"}}}],
            },
            "CreateContainerConfigError",
            'ConfigMap "absent" does not exist',
        ),
    ],
)
async def test_what_cannot_be_started_is_named(here: World, fields: dict[str, object], reason: str, text: str) -> None:
    await here.deploy("wrong", {"name": "app", **fields})

    found, message = await here.waiting_reason("wrong")

    assert found == reason
    assert text in message
    await here.remove("wrong")


async def test_an_app_that_exits_shows_its_last_words_and_is_tried_again(here: World) -> None:
    script = "import sys; print('no database', file=sys.stderr); sys.exit(7)"
    await here.deploy("crashing", app(script, terminationMessagePolicy="FallbackToLogsOnError"))

    assert (await here.waiting_reason("crashing"))[0] == "CrashLoopBackOff"
    pod = await here.only_pod("crashing")

    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["message"]) == (7, "no database")
    log = await here.client.raw("GET", POD.path("default", pod["metadata"]["name"], "log"))
    assert log.startswith("no database\n")
    await here.remove("crashing")


async def test_the_sidecar_says_which_port_an_app_does_not_listen_on(here: World) -> None:
    values = {
        "CONTAINER_CONCURRENCY": "0",
        "QUEUE_SERVING_PORT": "8012",
        "QUEUE_SERVING_TLS_PORT": "8112",
        "USER_PORT": "8080",
        "REVISION_TIMEOUT_SECONDS": "300",
        "SERVING_LOGGING_CONFIG": "",
        "SERVING_LOGGING_LEVEL": "",
        "SERVING_NAMESPACE": "default",
        "SERVING_CONFIGURATION": "deaf",
        "SERVING_REVISION": "deaf-00001",
        "SERVING_POD": "deaf",
        "SERVING_POD_IP": "127.0.0.1",
        "SERVING_READINESS_PROBE": '{"tcpSocket": {"port": 8080, "host": "127.0.0.1"}, "successThreshold": 1}',
    }
    sidecar = {
        "name": "queue-proxy",
        "image": "upwell.local/queueproxy",
        "env": [{"name": name, "value": value} for name, value in values.items()],
        "ports": [{"name": "queue-port", "containerPort": 8012}],
        "readinessProbe": {
            "httpGet": {"port": 8012, "httpHeaders": [{"name": "K-Network-Probe", "value": "queue"}]},
        },
    }
    user = app("import time; time.sleep(60)", name="user-container")
    del user["readinessProbe"]
    await here.deploy("deaf", user, sidecar)

    async def explained() -> str:
        message = condition(await here.only_pod("deaf"), "Ready")[2]
        return message if "does not listen" in message else ""

    message = await eventually(explained)

    port = (await here.only_pod("deaf"))["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert f"user-container does not listen on 127.0.0.1:{port}" in message
    assert f"PORT={port}" in message
    await here.remove("deaf")


async def test_a_new_template_takes_over_without_a_moment_without_a_ready_endpoint(here: World) -> None:
    await here.serve("rolled")
    await here.deploy("rolled", app(), replicas=2)
    await here.ready_pods("rolled", 2)
    _, version = await here.client.list(ENDPOINT_SLICE, "default")
    ready = {item["metadata"]["name"] for item in await here.slices("rolled")}
    least = len(ready)

    async def watch() -> None:
        nonlocal least
        async for kind, item in here.client.watch(ENDPOINT_SLICE, "default", resource_version=version):
            name = item["metadata"]["name"]
            serves = kind != "DELETED" and kind != "BOOKMARK" and item["endpoints"][0]["conditions"]["ready"]
            (ready.add if serves else ready.discard)(name)
            least = min(least, len(ready))

    watching = asyncio.create_task(watch())
    container = app(env=[{"name": "ANSWER", "value": "second"}])
    await here.change("rolled", template={"spec": {"containers": [container]}})

    async def rolled() -> bool:
        found = await here.slices("rolled")
        return len(found) == 2 and [await get(port_of(item)) for item in found] == ["second", "second"]

    await eventually(rolled)
    watching.cancel()
    assert least == 2
    await here.remove("rolled")


async def test_a_deleted_pod_may_finish_and_is_replaced_meanwhile(here: World, tmp_path: Path) -> None:
    script = f"""
import signal, sys, time
def finish(*_):
    time.sleep(0.5)
    open({str(tmp_path / "finished")!r}, "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
{SERVER}
"""
    await here.serve("deleted")
    await here.deploy("deleted", app(script))
    pod = (await here.ready_pods("deleted", 1))[0]
    name = pod["metadata"]["name"]

    await here.client.delete(POD, name, "default")

    async def terminating() -> bool:
        slices = {item["endpoints"][0]["targetRef"]["name"]: item for item in await here.slices("deleted")}
        conditions = slices.get(name, {}).get("endpoints", [{}])[0].get("conditions", {})
        return len(slices) == 2 and conditions == {"ready": False, "serving": True, "terminating": True}

    await eventually(terminating)
    left = await here.ready_pods("deleted", 1)

    assert left[0]["metadata"]["name"] != name
    assert (tmp_path / "finished").exists()
    await here.remove("deleted")


async def test_pods_of_a_deployment_that_waits_for_their_end_are_not_replaced(here: World) -> None:
    await here.deploy("foreground", app())
    await here.ready_pods("foreground", 1)

    await here.client.delete(DEPLOYMENT, "foreground", "default", propagation="Foreground")

    async def gone() -> bool:
        found, _ = await here.client.list(DEPLOYMENT, "default", fields="metadata.name=foreground")
        return not found and not await here.pods("foreground")

    await eventually(gone)


async def test_a_pod_that_ignores_sigterm_is_killed_when_its_time_is_over(here: World) -> None:
    await here.deploy("stubborn", app(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVER}"))
    pod = (await here.ready_pods("stubborn", 1))[0]
    pid = here.process_of(pod)

    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1}
    await here.client.raw("DELETE", POD.path("default", pod["metadata"]["name"]), body=options)

    async def gone() -> bool:
        return not identity_of(pid)

    await eventually(gone, seconds=5)
    await here.remove("stubborn")


async def test_the_pre_stop_hook_is_over_before_the_app_hears_of_the_end(here: World, tmp_path: Path) -> None:
    story = tmp_path / "story"
    hook = python(f"import time; time.sleep(0.3); open({str(story)!r}, 'a').write('hook ')")
    script = f"""
import signal, sys
def end(*_):
    open({str(story)!r}, "a").write("sigterm")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
{SERVER}
"""
    await here.deploy("hooked", app(script, lifecycle={"preStop": {"exec": {"command": hook}}}))
    await here.ready_pods("hooked", 1)

    await here.remove("hooked")

    assert story.read_text() == "hook sigterm"


async def test_everything_that_a_pod_started_goes_with_it(here: World, tmp_path: Path) -> None:
    file = tmp_path / "child"
    script = f"""
import subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open({str(file)!r}, "w").write(str(child.pid))
{SERVER}
"""
    await here.deploy("parent", app(script))
    await here.ready_pods("parent", 1)
    child = int(file.read_text())
    assert identity_of(child)

    await here.remove("parent")

    async def gone() -> bool:
        return not identity_of(child)

    await eventually(gone)


async def test_variables_come_from_the_pod_and_from_config_maps_and_not_from_the_developer(here: World) -> None:
    await here.client.create(CONFIG_MAP, new_object(CONFIG_MAP, "default", "settings", data={"COLOUR": "blue"}))
    script = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(60)"
    fields = {"UID": "metadata.uid", "NAME": "metadata.name", "IP": "status.podIP"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    await here.deploy(
        "variables",
        {"name": "app", "command": python(script), "env": env, "envFrom": [{"configMapRef": {"name": "settings"}}]},
    )
    pod = await here.only_pod("variables")
    path = POD.path("default", pod["metadata"]["name"], "log")

    async def written() -> dict[str, str]:
        answer = await here.client.raw("GET", path)
        return answer if isinstance(answer, dict) else __import__("json").loads(answer or "{}")

    found = await eventually(written)

    assert found["UID"] == pod["metadata"]["uid"]
    assert (found["NAME"], found["IP"], found["COLOUR"]) == (pod["metadata"]["name"], "127.0.0.1", "blue")
    assert "SECRET_OF_THE_DEVELOPER" not in found
    await here.remove("variables")


async def test_init_containers_run_before_the_app(here: World, tmp_path: Path) -> None:
    file = tmp_path / "prepared"
    init = [{"name": "prepare", "command": python(f"open({str(file)!r}, 'w').write('yes')")}]
    script = f"assert open({str(file)!r}).read() == 'yes'\n{SERVER}"
    await here.deploy("prepared", app(script), initContainers=init)

    pod = (await here.ready_pods("prepared", 1))[0]

    done = pod["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert (done["exitCode"], done["reason"]) == (0, "Completed")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    await here.remove("prepared")


async def test_a_container_that_is_not_alive_any_more_is_restarted(here: World, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    file.touch()
    probe = {"exec": {"command": ["test", "-e", str(file)]}, "periodSeconds": 1, "failureThreshold": 1}
    await here.deploy("lively", app(livenessProbe=probe))
    await here.ready_pods("lively", 1)

    file.unlink()

    async def restarted() -> bool:
        return bool((await here.only_pod("lively"))["status"]["containerStatuses"][0]["restartCount"])

    await eventually(restarted)
    await here.remove("lively")


async def test_there_is_a_node_to_look_at(here: World) -> None:
    node = await here.client.get(NODE, "local")

    assert condition(node, "Ready")[0] == "True"
