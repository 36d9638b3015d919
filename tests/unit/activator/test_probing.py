"""One pod's probe: what is asked, how the answer is read, and how often it is asked again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from activator.probing import Answered, Pace, Prober
from upwell.clock import FakeClock
from upwell.cluster.endpoints import Address
from upwell.http import FetchError, FetchResult

POD = Address("10.0.0.1", 8012)
OURS = [(b"Upwell-Sidecar", b"1")]
YES = FetchResult(200, [], b"queue")
NOT_YET = FetchResult(503, [], b"")


@dataclass
class ScriptedPod:
    """Answers attempts in turn; an answer may take its time."""

    clock: FakeClock
    answers: list[FetchResult | None]
    """None refuses the connection; the last one is repeated."""
    hold: bool = False
    """Whether the pod is one of ours and holds answers that say no for as long as it is asked to."""
    asked: list[float] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)

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
        assert (method, host, port, target) == (b"GET", "10.0.0.1", 8012, b"/healthz")
        self.asked.append(self.clock.monotonic())
        self.headers = dict(headers)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise FetchError("refused")
        if self.hold:
            if answer.status != 200:
                await self.clock.sleep(int(self.headers[b"Upwell-Wait"]) / 1000)
            return FetchResult(answer.status, OURS, answer.body)
        return answer


async def probe(pod: ScriptedPod, seconds: float = 60.0) -> bool:
    """Whether the pod was found ready in that time."""
    prober = Prober(pod, pod.clock, timeout=0.3, frequency=0.2)
    task = asyncio.create_task(prober.until_ready(POD))
    await pod.clock.advance(seconds)
    ready = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return ready


async def test_the_question_is_the_contracts() -> None:
    pod = ScriptedPod(FakeClock(), [YES])

    assert await probe(pod)

    assert pod.headers[b"K-Network-Probe"] == b"queue"
    assert pod.headers[b"User-Agent"] == b"Knative-Activator-Probe"
    assert pod.headers[b"Host"] == b"10.0.0.1:8012"


@pytest.mark.parametrize(
    "answer",
    [NOT_YET, FetchResult(200, [], b"ok"), FetchResult(200, [], b"queue\n"), FetchResult(404, [], b"queue")],
    ids=["503", "another body", "a body with a newline", "404"],
)
async def test_nothing_but_200_and_queue_is_ready(answer: FetchResult) -> None:
    pod = ScriptedPod(FakeClock(), [answer])

    assert not await probe(pod, 1.0)


async def test_another_makes_sidecar_is_asked_every_probe_period() -> None:
    pod = ScriptedPod(FakeClock(), [NOT_YET, NOT_YET, NOT_YET, YES])

    await probe(pod)

    assert pod.asked == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=0.003)


async def test_a_sidecar_of_ours_is_asked_again_as_soon_as_it_let_go() -> None:
    pod = ScriptedPod(FakeClock(), [NOT_YET, NOT_YET, YES], hold=True)

    await probe(pod)

    # The first answer tells that it is ours; from then on it may hold for ten seconds.
    assert pod.asked == pytest.approx([0.0, 0.15, 10.15], abs=0.01)


async def test_a_sidecar_of_ours_that_says_no_at_once_is_not_asked_in_a_busy_loop() -> None:
    pod = ScriptedPod(FakeClock(), [FetchResult(503, OURS, b"shutting down")])

    await probe(pod, 1.0)

    assert len(pod.asked) <= 6


async def test_refused_connections_are_tried_often_at_first_and_then_less() -> None:
    pod = ScriptedPod(FakeClock(), [None])

    await probe(pod, 20.0)

    early = [at for at in pod.asked if at < 0.2]
    late = [at for at in pod.asked if at > 15]
    assert len(early) >= 30
    assert len(late) <= 30


async def test_the_wait_that_polling_adds_stays_a_small_part_of_the_start() -> None:
    pod = ScriptedPod(FakeClock(), [None])
    await probe(pod, 5.0)

    pauses = [(after - before, after) for before, after in zip(pod.asked, pod.asked[1:], strict=False)]

    assert all(pause <= max(0.007, 0.03 * at) for pause, at in pauses)


def test_many_pods_at_once_share_the_rate_of_attempts() -> None:
    pace = Pace(0.2)

    alone = pace.pause(Answered.NOTHING, 0.0, 0.0, probing=1)
    crowded = pace.pause(Answered.NOTHING, 0.0, 0.0, probing=20)

    assert alone == 0.005
    assert crowded == 0.05
    assert pace.pause(Answered.NOTHING, 0.0, 0.0, probing=100_000) == 0.2


def test_what_the_attempt_took_counts_towards_the_period() -> None:
    pace = Pace(0.2)

    assert pace.pause(Answered.NOT_READY, 1.0, 0.15, probing=1) == pytest.approx(0.05)
    assert pace.pause(Answered.NOT_READY, 1.0, 0.3, probing=1) == 0.005
    assert pace.pause(Answered.HELD, 1.0, 10.0, probing=1) == 0.0


@pytest.mark.parametrize(
    ("answer", "ours", "meaning"),
    [
        (None, False, Answered.NOTHING),
        (NOT_YET, False, Answered.MESH),
        (FetchResult(502, [], b""), False, Answered.MESH),
        (FetchResult(503, OURS, b""), True, Answered.NOT_READY),
        (FetchResult(404, [], b""), False, Answered.NOT_READY),
        (YES, False, Answered.READY),
    ],
)
async def test_an_answer_tells_whether_a_mesh_may_be_in_between(
    answer: FetchResult | None, ours: bool, meaning: Answered
) -> None:
    pod = ScriptedPod(FakeClock(), [answer])

    assert await Prober(pod, pod.clock, timeout=0.3, frequency=0.2).ask(POD) is meaning


async def test_a_mesh_that_lets_through_what_has_the_right_name_is_told_it() -> None:
    pod = ScriptedPod(FakeClock(), [YES])

    await Prober(pod, pod.clock, timeout=0.3, frequency=0.2).until_ready(POD, b"hello-private.default")

    assert pod.headers[b"Host"] == b"hello-private.default"
    assert pod.headers[b"K-Passthrough-Lb"] == b"true"
