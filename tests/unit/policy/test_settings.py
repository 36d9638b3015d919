"""Settings: how they are read, refused, and how a revision's own ones win over the cluster's."""

import pytest

from upwell.policy.annotations import validate_annotations
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config
from upwell.policy.durations import format_duration, parse_duration
from upwell.policy.quantities import format_float, parse_bool, parse_float, parse_int32
from upwell.policy.resolution import initial_scale, resolve
from upwell.ports import ConfigError

PREFIX = "autoscaling.knative.dev/"


def test_an_empty_config_map_means_the_defaults() -> None:
    assert parse_autoscaler_config({}) == AutoscalerConfig()


def test_a_refusal_names_the_key_the_value_and_the_bounds() -> None:
    with pytest.raises(ConfigError, match=r"stable-window = 5s, must be in \[6s; 1h0m0s\] range"):
        parse_autoscaler_config({"stable-window": "5s"})


def test_a_percentage_of_at_most_one_is_a_fraction_already() -> None:
    for text, fraction in (("70", 0.7), ("0.7", 0.7), ("1", 1.0), ("100", 1.0)):
        config = parse_autoscaler_config({"container-concurrency-target-percentage": text})
        assert config.container_concurrency_target_fraction == fraction


def test_every_problem_of_the_annotations_is_reported_with_the_key_that_was_written() -> None:
    problems = validate_annotations({PREFIX + "minScale": "-1", PREFIX + "window": "1s"}, AutoscalerConfig())

    assert [tuple(problem) for problem in problems] == [
        ("expected 0 <= -1 <= 2147483647", (PREFIX + "minScale",)),
        ("expected 6s <= 1s <= 1h0m0s", (PREFIX + "window",)),
    ]


def test_the_hyphenated_spelling_wins() -> None:
    assert resolve(AutoscalerConfig(), {PREFIX + "min-scale": "2", PREFIX + "minScale": "3"}).min_scale == 2


def test_an_annotation_that_cannot_be_read_counts_as_not_set() -> None:
    assert resolve(AutoscalerConfig(), {PREFIX + "window": "soon"}).decider.stable_window == 60


def test_a_pod_with_a_concurrency_limit_bears_no_more_than_that() -> None:
    annotations = {PREFIX + "target": "50", PREFIX + "metric": "concurrency"}
    decider = resolve(AutoscalerConfig(), annotations, container_concurrency=10).decider

    assert (decider.total_value, decider.target_value) == (10, 7)


def test_an_unreachable_revision_has_no_minimum() -> None:
    assert resolve(AutoscalerConfig(min_scale=3), {}, reachability="Unreachable").min_scale == 0


def test_an_initial_scale_of_zero_needs_the_cluster_to_allow_it() -> None:
    annotations = {PREFIX + "initial-scale": "0"}
    assert initial_scale(AutoscalerConfig(), annotations) == 1
    assert initial_scale(AutoscalerConfig(allow_zero_initial_scale=True), annotations) == 0


@pytest.mark.parametrize(
    ("text", "nanoseconds", "canonical"),
    [
        ("90s", 90_000_000_000, "1m30s"),
        ("1h", 3_600_000_000_000, "1h0m0s"),
        (".5m", 30_000_000_000, "30s"),
        ("1h1m1.5s", 3_661_500_000_000, "1h1m1.5s"),
        ("-100ms", -100_000_000, "-100ms"),
        ("0", 0, "0s"),
        ("1us", 1_000, "1µs"),
        ("7ns", 7, "7ns"),
    ],
)
def test_durations_are_exact_and_print_canonically(text: str, nanoseconds: int, canonical: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == canonical
    assert parse_duration(canonical) == nanoseconds


@pytest.mark.parametrize("text", ["", "-", "5", "5 s", "s", "1e3s", "5S", ".", "9999999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time: "):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", " 1", "nan", "inf", "1_000", "0x10", "1e400", "１"])
def test_numbers_are_plain_decimals(text: str) -> None:
    with pytest.raises(ValueError, match="parsing"):
        parse_float(text)


def test_whole_numbers_have_32_bits_and_booleans_their_few_spellings() -> None:
    assert (parse_int32("-5"), parse_bool("T"), parse_bool("0")) == (-5, True, False)
    with pytest.raises(OverflowError):
        parse_int32("2147483648")
    with pytest.raises(ValueError, match="ParseBool"):
        parse_bool("yes")
    assert [format_float(value) for value in (1.0, 0.7, -3.5, 1e21)] == ["1", "0.7", "-3.5", "1e+21"]
