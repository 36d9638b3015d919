"""Traces, generators, distributions: what they read, and how they refuse what cannot be true."""

import gzip
from pathlib import Path
from statistics import fmean

import pytest

from tests.unit.simulate.lab_world import pods, policy
from upwell.simulate.distributions import parse_distribution
from upwell.simulate.errors import InputError
from upwell.simulate.generators import generate
from upwell.simulate.lab import spread
from upwell.simulate.sweep import parse_sweep
from upwell.simulate.traces import MinuteCounts, Requests, read_trace

AZURE = "HashOwner,HashApp,HashFunction,Trigger,1,2,3"


def trace(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_columns_may_be_in_any_order_and_among_others(tmp_path: Path) -> None:
    read = read_trace(trace(tmp_path, "who,duration_s,arrival_s\nme,0.5,1\n\nyou,0.25,3\n"))

    assert isinstance(read, Requests)
    assert (list(read.arrivals), list(read.durations)) == ([1, 3], [0.5, 0.25])


def test_lines_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    read = read_trace(trace(tmp_path, "arrival_s,duration_s\n5,0.5\n1,0.1\n3,0.3\n"))

    assert isinstance(read, Requests)
    assert (list(read.arrivals), list(read.durations), read.out_of_order) == ([1, 3, 5], [0.1, 0.3, 0.5], 1)


def test_counts_per_minute_are_read_in_the_layout_of_the_public_traces(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv.gz"
    path.write_bytes(gzip.compress(f"{AZURE}\no,a,f1,http,0,2,1\no,a,f2,timer,1,0,0\n".encode()))

    read = read_trace(path)

    assert [(function.name, list(function.counts)) for function in read] == [("f1", [0, 2, 1]), ("f2", [1, 0, 0])]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: the file is empty"),
        ("a,b\n1,2\n", ":1: the header is `a,b`"),
        ("arrival_s,duration_s\n", ": no requests in it"),
        ("arrival_s,duration_s\n1,0.1\n2,-0.5\n", ':3: duration_s is "-0.5"'),
        ("arrival_s,duration_s\n1,0.1\nnan,1\n", ':3: arrival_s is "nan"'),
        ("arrival_s,duration_s\ninf,1\n", ':2: arrival_s is "inf"'),
        ("arrival_s,duration_s\n1\n", ":2: duration_s is missing"),
        ("arrival_s,duration_s\n1,x\n", ':2: duration_s is "x"'),
        ("arrival_s,duration_s\n0,1\n9e6,1\n99999999,1\n", ": it spans 1157 days"),
        (f"{AZURE}\no,a,f,http,1,2\n", ":2: 6 columns, where the header has 7"),
        (f"{AZURE}\no,a,f,http,1,-2,3\n", ':2: minute 2 is "-2"'),
        (f"{AZURE}\no,a,f,http,1,2,1.5\n", ':2: minute 3 is "1.5"'),
        (f"{AZURE}\no,a,f,http,0,0,0\n", ": no requests in it"),
        ("HashOwner,HashApp,HashFunction,Trigger,1,3\n", ":1: the columns after Trigger are not 1, 2, 3"),
    ],
)
def test_what_cannot_be_true_is_refused_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    path = trace(tmp_path, text)

    with pytest.raises(InputError) as refused:
        read_trace(path)

    assert str(refused.value).startswith(f"{path}{said}")
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_a_trace_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "trace.csv"
    binary.write_bytes(b"arrival_s,duration_s\n\xff\xfe,1\n")
    packed = tmp_path / "trace.gz"
    packed.write_bytes(b"not packed")

    for path in (binary, packed, tmp_path / "missing.csv", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_trace(path)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("steady:rate=10,for=1m", 600),
        ("poisson:rate=10,for=10m", 6000),
        ("ramp:from=0,to=20,for=10m", 6000),
        ("spike:rate=1,peak=100,at=1m,length=1m,for=3m", 6120),
        ("diurnal:low=0,high=20,period=5m,for=10m", 6000),
        ("on-off:rate=20,on=30s,off=30s,for=10m", 6000),
    ],
)
def test_a_generator_sends_what_its_rate_adds_up_to(text: str, count: int) -> None:
    made = generate(text, parse_distribution("50ms", "x"), seed=3)

    assert len(made.arrivals) == pytest.approx(count, rel=0.05)
    assert list(made.arrivals) == sorted(made.arrivals)
    assert list(made.arrivals) == list(generate(text, parse_distribution("50ms", "x"), seed=3).arrivals)


def test_an_off_time_is_silent() -> None:
    made = generate("on-off:rate=50,on=10s,off=20s,for=2m", parse_distribution("50ms", "x"), seed=0)

    assert all(arrival % 30 <= 10.25 for arrival in made.arrivals)


@pytest.mark.parametrize(
    "text",
    [
        "walk:rate=1",
        "steady",
        "steady:rate=0",
        "steady:rate=nan",
        "steady:rate=1,for=0",
        "steady:rate=1,speed=2",
        "steady:rate",
        "steady:rate=1,rate=2",
        "steady:rate=1e6,for=1d",
        "poisson:rate=1,for=500d",
        "ramp:from=-1,to=2",
    ],
)
def test_a_generator_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=text.split(":")[0]):
        generate(text, parse_distribution("50ms", "x"), seed=0)


@pytest.mark.parametrize(
    ("text", "mean", "low", "high"),
    [
        ("2s", 2, 2, 2),
        ("0.5", 0.5, 0.5, 0.5),
        ("uniform:low=1s,high=3s", 2, 1, 3),
        ("normal:mean=2s,sd=500ms", 2, 0.84, 3.16),
        ("lognormal:p50=1s,p99=10s", 1.63, 0.1, 10),
        ("exponential:mean=100ms", 0.1, 0.001, 0.46),
    ],
)
def test_a_distribution_has_the_mean_and_the_percentiles_it_is_made_of(
    text: str, mean: float, low: float, high: float
) -> None:
    distribution = parse_distribution(text, "--cold-start")

    assert distribution.mean == pytest.approx(mean, rel=0.03)
    assert distribution.at(0.01) == pytest.approx(low, rel=0.03)
    assert distribution.at(0.99) == pytest.approx(high, rel=0.03)


def test_an_empirical_distribution_draws_the_lines_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    path.write_text("1.5\n\n0.5\n800ms\n")

    assert parse_distribution(f"empirical:{path}", "x").quantiles(3) == [0.5, 0.8, 1.5]


@pytest.mark.parametrize(
    "text", ["-1s", "nan", "x", "normal:mean=1s", "lognormal:p50=2s,p99=1s", "gamma:k=1", "empirical:no"]
)
def test_a_distribution_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_distribution(text, "--cold-start")


def test_counts_of_one_function_become_single_requests_within_their_minutes() -> None:
    made = spread(MinuteCounts("f", [3, 0, 500]), parse_distribution("exponential:mean=1s", "x"), seed=0)

    assert [sum(60 * m <= arrival < 60 * m + 60 for arrival in made.arrivals) for m in range(3)] == [3, 0, 500]
    assert fmean(made.durations) == pytest.approx(1, rel=0.2)


def test_a_sweep_names_its_values() -> None:
    axes = parse_sweep("target=10..160,window=6s..96s/3,metric=rps|concurrency,min-scale=0..2/3")

    assert [(axis.name, axis.values) for axis in axes] == [
        ("target", ("10", "20", "40", "80", "160")),
        ("window", ("6s", "24s", "1m36s")),
        ("metric", ("rps", "concurrency")),
        ("min-scale", ("0", "1", "2")),
    ]


@pytest.mark.parametrize(
    "text", ["target", "speed=1..2", "target=x..2", "target=1..2/1", "metric=a..b", "target=1,target=2"]
)
def test_a_sweep_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--sweep"):
        parse_sweep(text)


def test_a_swept_value_that_no_cluster_would_take_is_refused() -> None:
    with pytest.raises(InputError, match=r"window=1s: expected 6s <= 1s <= 1h0m0s: autoscaling.knative.dev/window"):
        policy().with_setting("window", "1s")
    assert pods().cold_start.mean == 1
