"""What is told of requests besides the revision's own counters: cold starts, traces, the request log.

Each of the three may be off, and then costs a look at a slot when a request ends. A request that found no pod is
followed to its first byte: the phases of its wait go to histograms, to the trace if there is one, to a header of the
answer where the operator wants that, and, once for each start of a revision, to the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from activator.cold_start import ColdStart
from activator.metrics import Metrics
from activator.revisions import Revision
from upwell.api.config_observability import parse_observability
from upwell.clock import Clock
from upwell.http import Exchange, ResponseHead
from upwell.ports import ConfigError
from upwell.telemetry import log
from upwell.telemetry.log_template import Template, TemplateError
from upwell.telemetry.request_log import RequestLog

if TYPE_CHECKING:
    from activator.request_tracing import RequestTracing
    from activator.traffic import Passage
    from upwell.telemetry.request_trace import Trace

__all__ = ["Observers"]

LOG: Final = log.get("requests")


@dataclass(frozen=True, slots=True)
class _Logged:
    """What a line of the request log says of a revision; which pod served, the contract leaves empty here."""

    namespace: str
    service: str
    configuration: str
    name: str
    pod: str = ""
    pod_ip: str = ""


class Observers:
    """See the module."""

    def __init__(
        self, metrics: Metrics, clock: Clock, *, tracing: "RequestTracing | None" = None, server_timing: bool = False
    ) -> None:
        """`server_timing` adds the phases of a cold start to the answer, as a `Server-Timing` field."""
        self.tracing = tracing
        self.request_log: RequestLog | None = None
        self._metrics = metrics
        self._clock = clock
        self._server_timing = server_timing

    def configure(self, data: Mapping[str, str]) -> None:
        """The settings about observability are these now; those that cannot be used change nothing."""
        try:
            settings = parse_observability(data).sidecar
            template = str(settings.get("requestLogTemplate", ""))
            enabled = bool(settings.get("enableRequestLog")) and bool(template)
            self.request_log = RequestLog(Template(template)) if enabled else None
        except (ConfigError, TemplateError) as error:
            LOG.error("settings refused, the request log stays as it is", error=str(error))

    # The life of a request.

    def began(self, exchange: Exchange) -> "Trace | None":
        """A request came; the trace that it is part of."""
        return None if self.tracing is None else self.tracing.begin(exchange.request.fields)

    def waits_for_pod(self, exchange: Exchange) -> None:
        """There was no pod when it came: its wait is a cold start."""
        exchange.on_head = self._answer_begins

    def ended(self, exchange: Exchange, passage: "Passage", now: float) -> None:
        """It is over."""
        revision = passage.traffic.revision
        phases = self._phases(exchange, passage) if passage.cold and passage.first_byte else {}
        for phase, seconds in phases.items():
            self._metrics.cold_start_phases[phase].observe(seconds)
        if phases:
            self._tell(revision, passage.traffic.cold_start, phases)
        if passage.trace is not None and self.tracing is not None:
            total = now - exchange.started
            waited = _waited(exchange, passage, total)
            self.tracing.ended(exchange, passage.trace, revision, total=total, waited=waited, phases=phases)
        if self.request_log is not None:
            self._log(exchange, revision, now)

    def unknown(self, exchange: Exchange, trace: "Trace | None") -> None:
        """It was for no revision that there is, and has been answered."""
        seconds = self._clock.monotonic() - exchange.started
        self._metrics.unknown(exchange, seconds)
        if trace is not None and self.tracing is not None:
            self.tracing.ended(exchange, trace, None, total=seconds, waited=0.0, phases={})

    def _answer_begins(self, exchange: Exchange, head: ResponseHead) -> None:
        passage: Passage = exchange.context
        passage.first_byte = self._clock.monotonic()
        if self._server_timing:
            phases = self._phases(exchange, passage).items()
            timing = ", ".join(f"{phase};dur={seconds * 1000:.2f}" for phase, seconds in phases)
            head.set_fields([*head.headers, (b"Server-Timing", timing.encode())])

    def _phases(self, exchange: Exchange, passage: "Passage") -> dict[str, float]:
        return passage.traffic.cold_start.phases(exchange.started, passage.queued, passage.first_byte)

    def _tell(self, revision: Revision, cold_start: ColdStart, phases: Mapping[str, float]) -> None:
        if not cold_start.told:
            cold_start.told = True
            lasted = {f"{phase}_ms": round(seconds * 1000, 1) for phase, seconds in phases.items()}
            LOG.info("cold start", revision=f"{revision.key.namespace}/{revision.key.name}", **lasted)

    def _log(self, exchange: Exchange, revision: Revision, now: float) -> None:
        assert self.request_log is not None
        logged = _Logged(revision.key.namespace, revision.service, revision.configuration, revision.key.name)
        self.request_log.write(exchange, now - exchange.started, logged)


def _waited(exchange: Exchange, passage: "Passage", total: float) -> float:
    """Seconds until the first pod got it; all of them when none did."""
    if passage.forwarded:
        return passage.forwarded - exchange.started
    return 0.0 if exchange.attempts else total
