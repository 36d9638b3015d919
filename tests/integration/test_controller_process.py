"""The controller as a process: what it makes of Services, and what happens when it or others go away."""

import contextlib
import signal
import socket

import pytest

from tests.integration.autoscaler_world import server_fixture  # noqa: F401  # the API server
from tests.integration.controller_world import NAMESPACE, World, world_fixture  # noqa: F401
from tests.waiting import eventually
from upwell.api.conditions import find
from upwell.api.objects import labels_of
from upwell.api.resources import CONFIG_MAP, CONFIGURATION, EVENT, INGRESS, POD_AUTOSCALER, REVISION, ROUTE, SERVICE
from upwell.cluster.client import PatchType
from upwell.cluster.errors import Invalid, Unavailable

CRASHED = {
    "containerStatuses": [
        {
            "name": "user-container",
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"exitCode": 3, "message": "cannot start: bad setting"}},
        }
    ]
}


async def test_a_service_becomes_ready_with_all_its_children(world: World) -> None:
    world.start_controller()
    await world.apply()

    service = await world.ready()

    assert service["status"]["url"] == "http://app.default.localhost:8080"
    assert sorted(await world.everything()) == [
        ("/Service", "app"),
        ("apps/Deployment", "app-00001-deployment"),
        ("autoscaling.internal.knative.dev/PodAutoscaler", "app-00001"),
        ("networking.internal.knative.dev/Ingress", "app"),
        ("serving.knative.dev/Configuration", "app"),
        ("serving.knative.dev/Revision", "app-00001"),
        ("serving.knative.dev/Route", "app"),
        ("serving.knative.dev/Service", "app"),
    ]


async def test_a_changed_template_makes_a_revision_that_takes_over(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()
    await world.apply(command="two")

    service = await world.ready(generation=2)

    assert service["status"]["traffic"] == [{"latestRevision": True, "percent": 100, "revisionName": "app-00002"}]

    async def retired() -> bool:
        old = await world.get(POD_AUTOSCALER, "app-00001")
        return bool(old["spec"].get("reachability") == "Unreachable")

    assert await eventually(retired)
    assert labels_of(await world.get(REVISION, "app-00001"))["serving.knative.dev/routingState"] == "reserve"


async def test_traffic_is_split_among_named_revisions_and_tags(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()
    traffic = [
        {"revisionName": "app-00001", "percent": 90},
        {"latestRevision": True, "percent": 10, "tag": "next"},
    ]
    await world.apply(command="two", traffic=traffic)
    await world.ready(generation=2)

    rules = (await world.get(INGRESS, "app"))["spec"]["rules"]
    shares = {
        rule["hosts"][0]: {split["serviceName"]: split["percent"] for split in rule["http"]["paths"][0]["splits"]}
        for rule in rules
        if rule["visibility"] == "ExternalIP"
    }
    assert shares == {
        "app.default.localhost": {"app-00001": 90, "app-00002": 10},
        "next-app.default.localhost": {"app-00002": 100},
    }


async def test_a_rollout_over_time_shows_both_revisions_on_its_way(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()
    annotation = {"serving.knative.dev/rollout-duration": "3s"}
    await world.client.patch(SERVICE, "app", NAMESPACE, {"metadata": {"annotations": annotation}})
    await world.apply(command="two")

    route = await world.condition(ROUTE, "app", "IngressReady", "RolloutInProgress")
    shares = [(target["revisionName"], target["percent"]) for target in route["status"]["traffic"]]
    assert shares == [("app-00001", 99), ("app-00002", 1)]

    service = await world.ready(generation=2)
    assert service["status"]["traffic"] == [{"latestRevision": True, "percent": 100, "revisionName": "app-00002"}]


async def test_a_deleted_service_leaves_nothing_behind(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()

    await world.client.delete(SERVICE, "app", NAMESPACE)

    async def nothing_left() -> bool:
        return not await world.everything()

    assert await eventually(nothing_left)


async def test_a_child_that_is_deleted_or_changed_comes_back(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()
    first = await world.get(INGRESS, "app")

    await world.client.delete(INGRESS, "app", NAMESPACE)
    await world.client.patch(ROUTE, "app", NAMESPACE, {"metadata": {"labels": {"not": "ours"}}}, PatchType.MERGE)

    async def restored() -> bool:
        ingress = (await world.everything()).get(("networking.internal.knative.dev/Ingress", "app"))
        route = await world.get(ROUTE, "app")
        return (
            ingress is not None
            and ingress["metadata"]["uid"] != first["metadata"]["uid"]
            and ingress["spec"] == first["spec"]
            and "not" not in labels_of(route)
        )

    assert await eventually(restored)


async def test_a_crashing_app_is_told_at_once_and_a_fixed_one_takes_over(world: World) -> None:
    world.failing["app-00001"] = CRASHED
    world.start_controller()
    await world.apply()

    revision = await world.condition(REVISION, "app-00001", "Ready", "ExitCode3")
    assert find(revision["status"], "Ready")["message"] == "Container failed with: cannot start: bad setting"
    configuration = await world.condition(CONFIGURATION, "app", "Ready", "RevisionFailed")
    assert "bad setting" in find(configuration["status"], "Ready")["message"]
    await world.condition(SERVICE, "app", "RoutesReady", "RevisionMissing")

    await world.apply(command="fixed")
    service = await world.ready(generation=2)
    assert service["status"]["latestReadyRevisionName"] == "app-00002"


async def test_an_app_that_recovers_becomes_ready(world: World) -> None:
    missing = {"waiting": {"reason": "CommandNotFound", "message": 'command "one" is not on PATH'}}
    world.failing["app-00001"] = {"containerStatuses": [{"name": "user-container", "state": missing}]}
    world.start_controller()
    await world.apply()
    await world.condition(REVISION, "app-00001", "ResourcesAvailable", "CommandNotFound")

    del world.failing["app-00001"]

    await world.ready()


async def test_bad_input_is_refused_with_the_field_and_nothing_is_made_of_it(world: World) -> None:
    world.start_controller()

    with pytest.raises(Invalid, match=r"Traffic targets sum to 50, want 100: spec.traffic"):
        await world.apply(traffic=[{"latestRevision": True, "percent": 50}])
    with pytest.raises(Invalid, match=r'spec.traffic\[0\].percent: "all"'):
        await world.apply(traffic=[{"latestRevision": True, "percent": "all"}])

    await world.apply("good")
    await world.ready("good")
    assert "app" not in {name for _, name in await world.everything()}


async def test_traffic_for_a_revision_that_is_not_there_is_told(world: World) -> None:
    world.start_controller()
    await world.apply(traffic=[{"revisionName": "app-00009", "percent": 100}])

    route = await world.condition(ROUTE, "app", "AllTrafficAssigned", "RevisionMissing")

    assert find(route["status"], "Ready")["message"] == 'Revision "app-00009" referenced in traffic not found.'


async def test_a_setting_that_cannot_be_read_does_not_stop_anything(world: World) -> None:
    controller = world.start_controller()
    await world.apply()
    await world.ready()
    await world.client.patch(CONFIG_MAP, "config-network", "knative-serving", {"data": {"external-port": "none"}})
    await world.apply("other")

    other = await world.ready("other")

    assert other["status"]["url"] == "http://other.default.localhost:8080"
    _, said = await controller.stop()
    assert "config map cannot be used" in said


async def test_without_an_image_for_the_sidecar_the_revision_says_what_to_set(world: World) -> None:
    await world.client.delete(CONFIG_MAP, "config-deployment", "knative-serving")
    world.start_controller()
    await world.apply()

    revision = await world.condition(REVISION, "app-00001", "Ready", "ErrorConfig")
    assert "config-deployment: queue-sidecar-image" in find(revision["status"], "Ready")["message"]

    await world.configure(
        "config-deployment", queue_sidecar_image="upwell.local/queueproxy", registries_skipping_tag_resolving="*"
    )
    await world.ready()


async def test_a_changed_setting_reaches_what_exists(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()

    await world.client.patch(CONFIG_MAP, "config-domain", "knative-serving", {"data": {"example.test": ""}})
    await world.client.patch(CONFIG_MAP, "config-domain", "knative-serving", {"data": {"localhost": None}})

    async def moved() -> bool:
        return bool((await world.get(SERVICE, "app"))["status"]["url"] == "http://app.default.example.test:8080")

    assert await eventually(moved)


async def test_a_controller_that_starts_again_changes_nothing(world: World) -> None:
    first = world.start_controller()
    await world.apply()
    await world.ready()
    await first.stop()
    before = await world.everything()

    world.start_controller()
    # Work is done in order, so when this is ready all that was there before has been looked at.
    await world.apply("later")
    await world.ready("later")

    after = await world.everything()
    assert {key: obj["metadata"]["resourceVersion"] for key, obj in after.items() if key in before} == {
        key: obj["metadata"]["resourceVersion"] for key, obj in before.items()
    }


async def test_a_killed_controller_carries_on_where_it_was(world: World) -> None:
    first = world.start_controller("controller-1")
    await world.apply()
    await world.ready()
    await first.stop(signal.SIGKILL)
    await world.apply(command="two")

    # A new pod, and none of the old one's name: its lease is not waited for.
    world.start_controller("controller-2")

    service = await world.ready(generation=2)
    assert service["status"]["latestReadyRevisionName"] == "app-00002"


async def test_one_of_two_controllers_acts_and_the_other_takes_over(world: World) -> None:
    await world.make_pod("one")
    first = world.start_controller("one")
    await world.apply()
    await world.ready()
    second = world.start_controller("two")

    async def following() -> bool:
        return await second.answers("/readiness") == 200

    assert await eventually(following)
    code, _ = await first.stop()
    await world.apply("later")

    await world.ready("later")
    assert code == 0


async def test_an_api_server_that_goes_away_and_comes_back_is_waited_for(world: World) -> None:
    controller = world.start_controller()
    await world.apply()
    await world.ready()

    world.server.stop()
    assert await controller.answers("/health") == 200
    world.server.start()

    async def applied() -> bool:
        with contextlib.suppress(Unavailable):
            await world.apply("later")
            return True
        return False

    assert await eventually(applied)
    await world.ready("later")


async def test_events_tell_what_was_made(world: World) -> None:
    world.start_controller()
    await world.apply()
    await world.ready()

    async def told() -> bool:
        events = (await world.client.list(EVENT, NAMESPACE))[0]
        return {"Created", "ConfigurationReady", "RevisionReady", "LatestReadyUpdate", "FinalizerUpdate"} <= {
            event["reason"] for event in events
        }

    assert await eventually(told)


async def test_health_and_metrics_are_served(world: World) -> None:
    controller = world.start_controller()

    async def up() -> bool:
        return await controller.answers("/readiness") == 200

    assert await eventually(up)
    assert await controller.answers("/health") == 200
    assert await controller.answers("/metrics") == 200


async def test_a_port_in_use_is_one_clear_line(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        controller = world.start_controller()
        await controller.stop(signal.SIGKILL)
        controller.environment["UPWELL_PORT_MAP"] = f"9090={taken.getsockname()[1]}"
        controller.start()
        code, said = await controller.said_at_its_end()

    assert code == 1
    assert len(said.splitlines()) == 1
    assert "address already in use" in said
