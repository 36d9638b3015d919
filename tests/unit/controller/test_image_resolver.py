"""The work of asking registries: once for each image, in the background, again after failures."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from controller.images.credentials import Credentials
from controller.images.questions import Questions
from controller.images.registry import RegistryError
from controller.images.resolver import DigestResolver, Unresolved
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.controller.objects import revision
from tests.unit.controller.test_image_credentials import login, secret
from upwell.api.image_reference import ImageReference
from upwell.api.objects import Key, Object, new_object
from upwell.api.resources import SECRET, SERVICE_ACCOUNT
from upwell.clock import FakeClock
from upwell.cluster.runtime import running

DIGEST = "sha256:" + "a" * 64
SKIPPED = frozenset({"kind.local"})


class Asked:
    """A registry that knows every image, or fails as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.failures: list[RegistryError] = []
        self.hold: asyncio.Event | None = None
        """Nothing is answered until it is set."""

    async def __aenter__(self) -> "Asked":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def digest(self, image: ImageReference, credentials: Credentials, agent: str, timeout: float) -> str:
        self.asked.append((f"{image.name}:{image.tag}", credentials.user, agent))
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            raise self.failures.pop(0)
        return DIGEST


class Case:
    """A resolver over them."""

    def __init__(self) -> None:
        self.api, self.clock, self.registry = FakeApi(), FakeClock(), Asked()
        self.woken: list[Key] = []
        self.resolver = DigestResolver(self.registry, self.api.get, self.woken.append, self.clock)

    def ask(self, obj: Object) -> Mapping[str, str] | Unresolved:
        return self.resolver.ask(obj, SKIPPED, 10.0)


def with_images(*images: str, **spec: Any) -> Object:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return revision(**{**spec, "containers": containers})


async def test_what_needs_no_registry_is_known_when_asked_again() -> None:
    case = Case()
    named = f"r.io/app@{DIGEST}"
    obj = with_images(named, "kind.local/app")
    async with running({"resolver": case.resolver.run()}):
        assert case.ask(obj) == Unresolved()
        await case.clock.advance(0.1)

    assert case.woken == [Key("shop", "app-00001")]
    assert case.ask(obj) == {named: named, "kind.local/app": ""}
    assert case.registry.asked == []


async def test_an_image_is_asked_for_once_and_the_revision_woken() -> None:
    case = Case()
    obj = with_images("hello", "r.io/side:2", "hello")
    async with running({"resolver": case.resolver.run()}):
        assert case.ask(obj) == Unresolved()
        await case.clock.advance(0.1)

    assert sorted(case.registry.asked) == [
        ("index.docker.io/library/hello:latest", "", "knative/app-00001 (serving)"),
        ("r.io/side:2", "", "knative/app-00001 (serving)"),
    ]
    assert case.woken == [Key("shop", "app-00001")]
    assert case.ask(obj) == {"hello": f"index.docker.io/library/hello@{DIGEST}", "r.io/side:2": f"r.io/side@{DIGEST}"}


async def test_failures_are_told_and_tried_again_after_growing_pauses() -> None:
    case = Case()
    case.registry.failures = [RegistryError("no"), RegistryError("still no")]
    obj = with_images("r.io/app")
    async with running({"resolver": case.resolver.run()}):
        case.ask(obj)
        await case.clock.advance(0.1)
        assert case.ask(obj) == Unresolved("r.io/app", "no")
        await case.clock.advance(0.8)
        assert len(case.registry.asked) == 1
        await case.clock.advance(0.3)
        assert case.ask(obj) == Unresolved("r.io/app", "still no")
        await case.clock.advance(1.7)
        assert len(case.registry.asked) == 2
        await case.clock.advance(0.7)

    assert case.ask(obj) == {"r.io/app": f"r.io/app@{DIGEST}"}


async def test_a_registry_that_asks_for_patience_gets_it() -> None:
    case = Case()
    case.registry.failures = [RegistryError("too many", retry_after=60.0)]
    async with running({"resolver": case.resolver.run()}):
        case.ask(with_images("r.io/app"))
        await case.clock.advance(59)
        assert len(case.registry.asked) == 1
        await case.clock.advance(2)

    assert len(case.registry.asked) == 2


@pytest.mark.parametrize("through", ["revision", "service account"])
async def test_pull_secrets_of_revision_and_service_account_are_used(through: str) -> None:
    case = Case()
    case.api.put(SECRET, secret({"r.io": login("me")}))
    reference = [{"name": "gone"}, {"name": "pull"}]
    spec: dict[str, Any] = {"serviceAccountName": "robot"}
    if through == "revision":
        spec["imagePullSecrets"] = reference
    else:
        case.api.put(SERVICE_ACCOUNT, new_object(SERVICE_ACCOUNT, "shop", "robot", imagePullSecrets=reference))
    async with running({"resolver": case.resolver.run()}):
        case.ask(with_images("r.io/app", **spec))
        await case.clock.advance(0.1)

    assert case.registry.asked[0][1] == "me"


async def test_a_revision_made_anew_under_its_name_is_asked_for_anew() -> None:
    case = Case()
    first, second = with_images("r.io/app:1"), with_images("r.io/app:2")
    second["metadata"]["uid"] = "another"
    async with running({"resolver": case.resolver.run()}):
        case.ask(first)
        await case.clock.advance(0.1)
        assert case.ask(second) == Unresolved()
        await case.clock.advance(0.1)

    assert case.ask(second) == {"r.io/app:2": f"r.io/app@{DIGEST}"}


def of_one_image(number: int) -> Object:
    obj = with_images("r.io/app")
    obj["metadata"] |= {"name": f"app-{number:05d}", "uid": f"uid-{number}"}
    return obj


async def test_a_thousand_revisions_of_one_image_are_one_question() -> None:
    case = Case()
    revisions = [of_one_image(number) for number in range(1000)]
    async with running({"resolver": case.resolver.run()}):
        for obj in revisions:
            case.ask(obj)
        for _ in range(50):
            await case.clock.advance(0.001)

    assert len(case.registry.asked) == 1
    assert all(case.ask(obj) == {"r.io/app": f"r.io/app@{DIGEST}"} for obj in revisions)


async def test_who_stops_waiting_leaves_the_question_to_the_others() -> None:
    registry, clock = Asked(), FakeClock()
    registry.hold = asyncio.Event()
    image = ImageReference("r.io", "app", "1")
    async with Questions(registry, clock) as questions:
        impatient, patient = (
            asyncio.create_task(questions.digest(image, Credentials(), "agent", 10.0, 0.0), name=name)
            for name in ("impatient", "patient")
        )
        await clock.advance(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        registry.hold.set()

        assert await patient == DIGEST
    assert len(registry.asked) == 1


async def test_other_credentials_are_another_question() -> None:
    registry = Asked()
    image = ImageReference("r.io", "app", "1")
    async with Questions(registry, FakeClock()) as questions:
        for user in ("me", "you", "me"):
            await questions.digest(image, Credentials(user), "agent", 10.0, 0.0)

    assert [user for _, user, _ in registry.asked] == ["me", "you"]


async def test_who_comes_after_an_answer_asks_again_as_the_tag_may_have_been_moved() -> None:
    case = Case()
    async with running({"resolver": case.resolver.run()}):
        case.ask(of_one_image(1))
        await case.clock.advance(0.1)
        case.ask(of_one_image(2))
        await case.clock.advance(0.1)

    assert len(case.registry.asked) == 2


async def test_registries_are_asked_a_hundred_times_at_once_and_ten_times_a_second_then() -> None:
    case = Case()
    async with running({"resolver": case.resolver.run()}):
        for number in range(150):
            obj = with_images(f"r.io/app-{number}")
            obj["metadata"] |= {"name": f"app-{number:05d}", "uid": f"uid-{number}"}
            case.ask(obj)
        for _ in range(20):
            await case.clock.advance(0.0)
        assert len(case.registry.asked) == 100
        for _ in range(20):
            await case.clock.advance(0.1)

    assert len(case.registry.asked) == pytest.approx(120, abs=2)
