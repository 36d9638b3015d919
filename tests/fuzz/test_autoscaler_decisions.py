"""What must hold of decisions whatever the load, the settings and the moment of a restart are."""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from upwell.api import stat as stat_module
from upwell.api.stat import Stat, StatError, WireStatMessage, decode_messages, decode_stat, encode_messages, encode_stat
from upwell.policy.collector import Collection, CollectionSpec, implausible
from upwell.policy.decider import DeciderSpec, DeciderState, Decision, Observation, decide
from upwell.policy.memory import recall, remember, resume
from upwell.policy.resolution import Settings
from upwell.policy.scale_to_zero import ACTIVE, Activity, Situation, plan

EXAMPLES = settings(max_examples=300, derandomize=True, deadline=None)
START = 1_000_000

loads = st.one_of(st.just(0.0), st.floats(1e-9, 500), st.integers(0, 300).map(float))
specs = st.builds(
    DeciderSpec,
    target_value=st.floats(0.01, 200),
    total_value=st.floats(0.01, 300),
    target_burst_capacity=st.sampled_from([-1.0, 0.0, 10.0, 211.0]),
    panic_threshold=st.floats(1.1, 10),
    max_scale_up_rate=st.floats(1.01, 1000),
    max_scale_down_rate=st.floats(1.01, 10),
    stable_window=st.integers(6, 40).map(float),
    scale_down_delay=st.integers(0, 20).map(float),
    activation_scale=st.integers(0, 5),
)


@dataclass
class Revision:
    """One revision whose pods are ready the moment they are asked for."""

    spec: DeciderSpec
    pods: int = 1
    now: int = START
    collection: Collection = field(init=False)
    state: DeciderState = field(init=False)
    seen: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collection = self.new_collection()
        self.state = DeciderState.start(self.spec, self.pods, self.now)

    def new_collection(self) -> Collection:
        return Collection(CollectionSpec(self.spec.stable_window, max(1.0, self.spec.stable_window // 10)))

    def second(self, load: float) -> Decision | None:
        """One second with that load; every other one ends with a decision."""
        self.collection.record(self.now, Stat("pod", load))
        self.seen.append((self.now, load))
        decision = None
        if self.now % 2 == 0:
            averages = self.collection.averages("concurrency", self.now)
            assert averages is not None
            decision = decide(self.spec, self.state, Observation(*averages, self.pods), self.now)
            self.pods = decision.desired
        self.now += 1
        return decision


@given(spec=specs, trace=st.lists(loads, min_size=1, max_size=120))
@EXAMPLES
def test_zero_comes_only_after_a_whole_stable_window_without_traffic(spec: DeciderSpec, trace: list[float]) -> None:
    revision = Revision(spec)
    for load in trace:
        decision = revision.second(load)
        if decision is not None and decision.desired == 0:
            begin = decision.at - spec.stable_window
            assert not any(seen for at, seen in revision.seen if at > begin)


@given(spec=specs, trace=st.lists(loads, min_size=1, max_size=120))
@EXAMPLES
def test_the_scale_never_falls_in_panic(spec: DeciderSpec, trace: list[float]) -> None:
    revision, before = Revision(spec), None
    for load in trace:
        decision = revision.second(load)
        if decision is None:
            continue
        if before is not None and before.in_panic and decision.in_panic:
            assert decision.desired >= before.desired
        before = decision


@given(
    spec=specs,
    pods=st.integers(0, 100),
    stable=loads,
    panic=loads,
    more=st.tuples(st.floats(0, 100), st.floats(0, 100)),
    panicking=st.booleans(),
)
@EXAMPLES
def test_more_load_never_means_fewer_pods(
    spec: DeciderSpec, pods: int, stable: float, panic: float, more: tuple[float, float], panicking: bool
) -> None:
    def desired(observation: Observation) -> int:
        state = DeciderState.start(spec, 0, START)
        if panicking:
            state.panic_since, state.max_panic_pods = START - 1.0, pods
        return decide(spec, state, observation, START).desired

    less = desired(Observation(stable, panic, pods))
    assert less >= 0
    assert desired(Observation(stable + more[0], panic + more[1], pods)) >= less


@given(
    desired=st.integers(-1, 1000),
    bounds=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    initial=st.integers(0, 20),
    replicas=st.integers(0, 1000),
    activity=st.sampled_from(Activity),
    initialized=st.booleans(),
    since=st.floats(0, 2000),
)
@EXAMPLES
def test_what_is_written_stays_within_the_bounds(
    desired: int,
    bounds: tuple[int, int],
    initial: int,
    replicas: int,
    activity: Activity,
    initialized: bool,
    since: float,
) -> None:
    lowest, highest = bounds if bounds[1] == 0 else (min(bounds), max(bounds))
    situation = Situation(
        activity=activity,
        in_activity_for=since,
        initialized=initialized,
        wants_proxy=True,
        proxying_for=since,
        replicas=replicas,
    )
    step = plan(_settings(lowest, highest, initial), situation, desired, activator_in_path=True)

    if step.replicas is not None:
        assert step.replicas >= lowest
        assert not highest or step.replicas <= max(highest, 0 if initialized else initial, lowest)
        assert step.replicas > 0 or activity is not ACTIVE
        assert step.replicas != replicas


@given(
    spec=specs,
    trace=st.lists(st.floats(0.1, 500), min_size=1, max_size=60),
    after=st.lists(loads, min_size=1, max_size=60),
    gap=st.integers(0, 100),
    age=st.integers(0, 15),
    kept=st.booleans(),
)
@EXAMPLES
def test_a_crash_at_any_moment_takes_no_pod_away_for_a_stable_window(
    spec: DeciderSpec, trace: list[float], after: list[float], gap: int, age: int, kept: bool
) -> None:
    before = Revision(spec)
    entry = None
    for number, load in enumerate(trace):
        before.second(load)
        if kept and number == max(0, len(trace) - 1 - age):
            entry = stored(before, coarse=True)

    restarted = _restarted(before, entry, gap, complete=False)

    held = restarted.pods
    end = restarted.now + spec.stable_window
    for load in after:
        decision = restarted.second(load)
        if decision is not None and decision.at < end:
            assert decision.desired >= held


@given(
    spec=specs,
    trace=st.lists(loads, min_size=1, max_size=120),
    after=st.lists(loads, min_size=1, max_size=80),
    gap=st.integers(0, 50).map(lambda half: 2 * half),
)
@EXAMPLES
def test_an_orderly_restart_is_a_pause_and_never_asks_for_fewer_pods(
    spec: DeciderSpec, trace: list[float], after: list[float], gap: int
) -> None:
    uninterrupted = Revision(spec)
    for load in trace:
        uninterrupted.second(load)
    entry = stored(uninterrupted)

    restarted = _restarted(uninterrupted, entry, gap, complete=entry is not None)
    for load in after:
        there, here = uninterrupted.second(load), restarted.second(load)
        if there is not None and here is not None:
            assert here.desired >= there.desired


@given(
    values=st.lists(st.floats(0, 1e6), max_size=3700),
    metric=st.sampled_from(["concurrency", "rps"]),
    window=st.integers(6, 3600).map(float),
    coarse=st.booleans(),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_memory_never_asks_for_less_than_what_it_was_made_of(
    values: list[float], metric: str, window: float, coarse: bool
) -> None:
    collection = Collection(CollectionSpec(window, max(1.0, window // 10)))
    for second, value in enumerate(values):
        collection.record(START + second, Stat("pod", value, 0, value))
    now = START + len(values)
    entry = remember(collection, metric, DeciderState(), now, coarse=coarse)
    if entry is None:
        return
    memory = recall(json.loads(json.dumps(entry)))
    assert memory is not None
    fresh = Collection(CollectionSpec(window, max(1.0, window // 10)))
    memory.replay(fresh, now + 1000)

    there, here = collection.averages(metric, now), fresh.averages(metric, now + 1000)
    assert there is not None
    assert here is not None
    assert there.stable <= here.stable + 1e-5 <= there.stable * 1.001 + 1e-4


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KEYS = ("metric", "newest", "seconds", "part", "sums", "panic", "most", "delay")


@given(entry=json_values | st.dictionaries(st.sampled_from(KEYS), json_values))
@EXAMPLES
def test_memory_that_is_none_is_told_from_memory(entry: object) -> None:
    memory = recall(entry)
    if memory is not None:
        state = resume(DeciderSpec(target_value=1, total_value=1, scale_down_delay=10), 1, 1, memory, True, START)
        decision = decide(DeciderSpec(target_value=1, total_value=1), state, Observation(0, 0, 1), START)
        assert decision.desired >= 1


numbers = st.floats(allow_nan=True, allow_infinity=True).map(lambda value: value + 0.0)  # no -0.0: it is left out


@given(values=st.tuples(numbers, numbers, numbers, numbers))
@EXAMPLES
def test_what_cannot_be_true_is_refused_and_what_is_accepted_can_be_counted(
    values: tuple[float, float, float, float],
) -> None:
    stat = decode_stat(encode_stat(Stat("pod", *values)))
    absurd = any(not math.isfinite(value) or value < -1 or value > 1e7 for value in values)
    reason = implausible(stat)
    assert (reason is not None) >= absurd
    if reason is None:
        collection = Collection(CollectionSpec(6, 1))
        collection.record(START, stat)
        averages = collection.averages("concurrency", START)
        assert averages is not None
        assert all(map(math.isfinite, averages))


@given(data=st.binary(max_size=200))
@EXAMPLES
def test_any_bytes_are_statistics_or_refused(data: bytes) -> None:
    with suppress(StatError):
        assert isinstance(decode_stat(data), Stat)
    with suppress(StatError):
        encoded = encode_messages(decode_messages(data))
        assert encode_messages(decode_messages(encoded)) == encoded, "what was understood is handed on whole"


texts = st.text(max_size=20)


@given(
    messages=st.lists(
        st.builds(
            WireStatMessage,
            texts,
            texts,
            st.none()
            | st.builds(Stat, texts, numbers, numbers, numbers, numbers, numbers, st.integers(-(2**63), 2**63 - 1)),
        ),
        max_size=5,
    )
)
@EXAMPLES
def test_what_was_encoded_is_decoded_alike(messages: list[WireStatMessage]) -> None:
    assert repr(decode_messages(encode_messages(messages))) == repr(messages)


@given(
    names=st.tuples(st.text(max_size=140), st.text(max_size=5)),
    stat=st.builds(Stat, texts, numbers, numbers, numbers, numbers, numbers, st.integers(-5, 2**62)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 20),
)
@EXAMPLES
def test_the_quick_way_to_decode_says_what_the_thorough_one_says(
    names: tuple[str, str], stat: Stat, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(encode_messages([WireStatMessage(*names, stat), WireStatMessage("b", "c", None)]))
    for at, byte in changes:
        data[at % len(data)] = byte
    frame = bytes(data[: len(data) - cut])

    assert told(stat_module.decode_messages, frame) == told(stat_module._decode_messages, frame)
    body = encode_stat(stat)[: max(0, 60 - cut)]
    assert told(decode_stat, body) == told(stat_module._decode_stat, body)


def told(decode: Callable[[bytes], object], data: bytes) -> str:
    try:
        return repr(decode(data))
    except StatError:
        return "refused"


def stored(revision: Revision, *, coarse: bool = False) -> object:
    entry = remember(revision.collection, "concurrency", revision.state, revision.now - 1, coarse=coarse)
    return json.loads(json.dumps(entry))


def _restarted(before: Revision, entry: object, gap: int, *, complete: bool) -> Revision:
    """The same revision in a process that takes over `gap` seconds later."""
    memory = None if entry is None else recall(entry)
    assert (memory is None) == (entry is None)
    revision = replace(before, now=before.now + gap, seen=[])
    revision.pods = before.pods
    if memory is not None:
        memory.replay(revision.collection, revision.now)
    revision.state = resume(before.spec, before.pods, before.pods, memory, complete, revision.now - 1)
    return revision


def _settings(lowest: int, highest: int, initial: int) -> Settings:
    return Settings(
        decider=DeciderSpec(target_value=70, total_value=100),
        collection=CollectionSpec(60, 6),
        initial_scale=initial,
        min_scale=lowest,
        max_scale=highest,
        activator_capacity=100,
        last_pod_retention=0,
        enable_scale_to_zero=True,
        scale_to_zero_grace_period=30,
        progress_deadline=600,
    )
