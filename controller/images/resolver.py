"""Digests of the images of revisions, resolved behind the reconciler's back (contract: control-plane.md 5.7).

    reconciler: ask(revision) ──> not yet ──> queue: pull secrets, registry ──> woken: ask(revision) ──> digests
                                                        └─ failed: an error to show, and again after 1, 2, 4 … 1000 s

Each image of a revision is asked for once, by one of those who want it (`questions`). What is known goes into the
revision's status, and is forgotten here when the revision has taken it or is gone. Many revisions wait side by side: a
registry that hangs holds up nobody else.
Where nothing is to be asked, the first answer is "not yet" all the same: whoever watches sees every revision pass
through the same states.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from controller.images.credentials import find_credentials
from controller.images.questions import Asked, Questions
from controller.images.registry import RegistryError
from upwell.api.image_reference import DEFAULT_REGISTRY, is_digest, parse_image_reference
from upwell.api.objects import Key, Object, key_of, name_of, namespace_of, uid_of
from upwell.api.resources import SECRET, SERVICE_ACCOUNT, Resource
from upwell.clock import Clock
from upwell.cluster.errors import ApiError
from upwell.cluster.reconciler import Reconciler

__all__ = ["ALL_REGISTRIES", "DigestResolver", "Unresolved", "images_of"]

WORKERS: Final = 100
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 1000.0
NOTHING_TO_ASK_SECONDS: Final = 0.02
"""Time for the revision to come again by itself, woken by the change of its status to "not yet"."""
ALL_REGISTRIES: Final = "*"
"""Ours, among the registries to skip: where images are no more than names, as on a laptop."""

_NOT_OURS: Final = frozenset({403, 404})

Get = Callable[[Resource, str, str], Awaitable[Object]]
"""Reads an object by resource, name and namespace; raises ApiError."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """No digests yet; with an error when they were asked for in vain."""

    image: str = ""
    error: str = ""


@dataclass(slots=True)
class _Job:
    revision: Object
    uid: str
    missing: list[str]
    timeout: float
    began: float
    digests: dict[str, str] = field(default_factory=dict)
    failure: Unresolved | None = None
    failures: int = 0


class DigestResolver:
    """See the module; `run` has to be running."""

    def __init__(
        self,
        registry: AbstractAsyncContextManager[Asked],
        get: Get,
        wake: Callable[[Key], None],
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        """`wake` is told of a revision about which there is something new."""
        self._questions = Questions(registry, clock)
        self._get = get
        self._wake = wake
        self._clock = clock
        self._rng = rng or random.Random()
        self._jobs: dict[Key, _Job] = {}
        self._queue = Reconciler("image-resolver", self._work, workers=WORKERS, clock=clock)

    async def run(self) -> None:
        """Ask registries until cancelled."""
        async with self._questions:
            await self._queue.run()

    def ask(self, revision: Object, skipped: Iterable[str], timeout: float) -> Mapping[str, str] | Unresolved:
        """By image, its name with a digest, or an empty text where the tag stands for itself."""
        key, skipped = key_of(revision), frozenset(skipped)
        images = images_of(revision)
        known = {image: image if is_digest(image) else "" for image in images}
        missing = sorted({image for image in images if not is_digest(image) and not _is_skipped(image, skipped)})
        job = self._jobs.get(key)
        if job is None or job.uid != uid_of(revision):
            self._jobs[key] = _Job(revision, uid_of(revision), missing, timeout, self._clock.monotonic())
            self._queue.enqueue(key)
            return Unresolved()
        if job.digests.keys() >= set(missing):
            return {**known, **{image: job.digests[image] for image in missing}}
        return job.failure or Unresolved()

    def forget(self, key: Key) -> None:
        """The revision has its digests, or is gone."""
        self._jobs.pop(key, None)

    async def _work(self, key: Key) -> float | None:
        job = self._jobs.get(key)
        if job is None:
            return None
        if not job.missing:
            await self._clock.sleep(NOTHING_TO_ASK_SECONDS)
            if self._jobs.get(key) is job:
                self._wake(key)
            return None
        secrets = await self._pull_secrets(job.revision)
        open_images = [image for image in job.missing if image not in job.digests]
        outcomes = await asyncio.gather(*(self._resolve(job, image, secrets) for image in open_images))
        failures = [outcome for outcome in outcomes if outcome is not None]
        if self._jobs.get(key) is not job:
            return None
        job.failure = failures[0][0] if failures else None
        self._wake(key)
        if not failures:
            return None
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(job.failures, 10)) * self._rng.uniform(1.0, 1.1)
        job.failures += 1
        return max(pause, *(after for _, after in failures))

    async def _resolve(self, job: _Job, image: str, secrets: list[Object]) -> tuple[Unresolved, float] | None:
        """Note the image's digest, or say why not and how long the registry wants to be left alone."""
        agent = f"knative/{name_of(job.revision)} (serving)"
        try:
            reference = parse_image_reference(image)
            credentials = find_credentials(reference, secrets)
            digest = await self._questions.digest(reference, credentials, agent, job.timeout, job.began)
        except RegistryError as error:
            return Unresolved(image, str(error)), error.retry_after
        except ValueError as error:
            return Unresolved(image, str(error)), 0.0
        job.digests[image] = f"{reference.name}@{digest}"
        return None

    async def _pull_secrets(self, revision: Object) -> list[Object]:
        """Those of the revision, then those of the service account that its pods run as."""
        namespace, spec = namespace_of(revision), revision["spec"]
        references = list(spec.get("imagePullSecrets") or ())
        account = await self._read(SERVICE_ACCOUNT, spec.get("serviceAccountName") or "default", namespace)
        if account is not None:
            references += account.get("imagePullSecrets") or ()
        names = dict.fromkeys(str(reference.get("name") or "") for reference in references)
        found = [await self._read(SECRET, name, namespace) for name in names if name]
        return [secret for secret in found if secret is not None]

    async def _read(self, resource: Resource, name: str, namespace: str) -> Object | None:
        """None when it is not there, or not ours to read: public images need neither."""
        try:
            return await self._get(resource, name, namespace)
        except ApiError as error:
            if error.status not in _NOT_OURS:
                raise
            return None


def images_of(revision: Object) -> list[str]:
    """Of all its containers, in order."""
    containers: list[dict[str, Any]] = [
        *(revision["spec"].get("containers") or ()),
        *(revision["spec"].get("initContainers") or ()),
    ]
    return [str(container.get("image") or "") for container in containers]


def _is_skipped(image: str, skipped: frozenset[str]) -> bool:
    if ALL_REGISTRIES in skipped:
        return True
    try:
        registry = parse_image_reference(image).registry
    except ValueError:
        return False
    return registry in skipped or (registry == DEFAULT_REGISTRY and "docker.io" in skipped)
