"""Stand-ins for what the autoscaler talks to."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from autoscaler.metrics import AutoscalerMetrics
from upwell.api import names
from upwell.api.objects import Object, new_object, timestamp
from upwell.api.resources import POD
from upwell.clock import FakeClock
from upwell.http import FetchError, FetchResult
from upwell.telemetry.metrics import Registry

PROTOBUF = [(b"Content-Type", b"application/protobuf")]


class FakeFetcher:
    """Answers by address; whatever is not set refuses the connection."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, int], FetchResult | Callable[[], FetchResult]] = {}
        self.asked: list[tuple[str, int]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.targets: list[bytes] = []

    async def fetch(
        self,
        method: bytes,
        host: str,
        port: int,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        timeout: float,
        max_body: int,
    ) -> FetchResult:
        self.asked.append((host, port))
        self.headers.append(dict(headers))
        self.targets.append(target)
        answer = self.answers.get((host, port))
        if answer is None:
            raise FetchError("connection refused")
        return answer() if callable(answer) else answer


def pod(
    name: str,
    *,
    revision: str = "hello",
    ready: bool = True,
    phase: str = "Running",
    port: int | None = None,
    started: float = 0.0,
    **metadata: Any,
) -> Object:
    """A pod of a revision in namespace `default`."""
    ports = [] if port is None else [{"name": names.PORT_NAME_STATS, "containerPort": port}]
    status = {
        "phase": phase,
        "podIP": "10.0.0.1",
        "startTime": timestamp(started),
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    spec = {"containers": [{"name": "queue-proxy", "ports": ports}]}
    metadata = {"labels": {names.LABEL_REVISION: revision}, **metadata}
    return new_object(POD, "default", name, metadata=metadata, spec=spec, status=status)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> AutoscalerMetrics:
    return AutoscalerMetrics(Registry())


@pytest.fixture
def fetcher() -> FakeFetcher:
    return FakeFetcher()
