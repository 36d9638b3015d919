"""When to ask a container how it is, and what the answers mean: the kubelet's rules, at a laptop's pace.

Until the first success there is somebody waiting, so a probe is repeated after a tenth of the time waited so far,
at least 20 ms and at most 250 ms (or the probe's own period, where that is shorter): what probing adds to a start
stays below a tenth of it. After that the probe's own period and thresholds apply. Pure: `now` is an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from upwell.api.objects import Object

__all__ = ["Probe", "ProbeTracker", "Role", "parse_probe"]

FASTEST: Final = 0.02
SLOWEST: Final = 0.25
SHARE: Final = 0.1
"""Waiting between attempts, as a share of the time waited so far."""


class Role(StrEnum):
    """What a probe's outcome is for."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container; times are in seconds."""

    kind: str
    """httpGet, tcpSocket, exec or grpc."""
    host: str = "127.0.0.1"
    port: int = 0
    """The port to dial: the one that stands for the declared number on this machine."""
    path: str = "/"
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


def parse_probe(raw: Object | None, actual: Callable[[int | str], int]) -> Probe | None:
    """Read a core/v1 Probe; `actual` turns a port's number or name into the port to dial. None when there is none."""
    kind = next((kind for kind in ("httpGet", "tcpSocket", "exec", "grpc") if (raw or {}).get(kind) is not None), "")
    if not raw or not kind:
        return None
    handler: Mapping[str, Any] = raw[kind]
    path = str(handler.get("path") or "/")
    return Probe(
        kind=kind,
        host=str(handler.get("host") or "127.0.0.1"),
        port=actual(handler["port"]) if kind != "exec" else 0,
        path=path if path.startswith("/") else "/" + path,
        scheme=str(handler.get("scheme") or "HTTP").upper(),
        headers=tuple((str(item["name"]), str(item["value"])) for item in handler.get("httpHeaders") or ()),
        command=tuple(handler.get("command") or ()),
        initial_delay=float(raw.get("initialDelaySeconds") or 0),
        period=float(raw.get("periodSeconds") or 10),
        timeout=float(raw.get("timeoutSeconds") or 1),
        success_threshold=int(raw.get("successThreshold") or 1),
        failure_threshold=int(raw.get("failureThreshold") or 3),
    )


class ProbeTracker:
    """The outcome of one probe over the attempts of one run of a container."""

    def __init__(self, probe: Probe, role: Role, now: float) -> None:
        """`now` is when the container (or, after a startup probe, this probe's turn) began."""
        self.passing = role is Role.LIVENESS
        """Whether the container counts as started, ready or alive."""
        self.failed = False
        """Whether the container has to be restarted."""
        self._probe = probe
        self._role = role
        self._waiting_since = now
        self._deadline = now + probe.initial_delay + probe.failure_threshold * probe.period
        self._successes = 0
        self._failures = 0

    def record(self, passed: bool, now: float) -> bool:
        """Count an attempt; True when `passing` or `failed` changed by it."""
        before = (self.passing, self.failed)
        self._successes = self._successes + 1 if passed else 0
        self._failures = 0 if passed else self._failures + 1
        if passed and self._successes >= self._probe.success_threshold:
            self.passing = True
        elif not passed and self._gives_up(now):
            self.failed = self._role is not Role.READINESS
            if self.passing:
                self.passing = False
                self._waiting_since = now
        return (self.passing, self.failed) != before

    def delay(self, now: float) -> float:
        """Seconds until the next attempt."""
        if self.passing:
            return self._probe.period
        return min(max(FASTEST, SHARE * (now - self._waiting_since)), SLOWEST, self._probe.period)

    def _gives_up(self, now: float) -> bool:
        if self._role is Role.STARTUP:
            # Attempts are more frequent than a kubelet's, so the time they may take together counts, not their number.
            return now >= self._deadline
        return self._failures >= self._probe.failure_threshold
