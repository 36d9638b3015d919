"""Trace headers: what is read, what is written, and which requests are sampled."""

import pytest

from upwell.ports import ConfigError
from upwell.telemetry.sampling import Sampler, read_sampler
from upwell.telemetry.trace_context import TraceContext, read_trace_context, trace_fields

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NUMBERS = (int(TRACE, 16), int(SPAN, 16))


def read(**fields: str) -> TraceContext | None:
    return read_trace_context({name.replace("_", "-").encode(): value.encode() for name, value in fields.items()})


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-bring", True),
    ],
)
def test_a_traceparent_names_trace_span_and_decision(value: str, sampled: bool) -> None:
    assert read(traceparent=value) == (*NUMBERS, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "rubbish",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_is_no_traceparent_counts_as_absent(value: str) -> None:
    assert read(traceparent=value) is None


@pytest.mark.parametrize(("flag", "sampled"), [("1", True), ("d", True), ("0", False), ("", None)])
def test_b3_is_read_in_both_forms(flag: str, sampled: bool | None) -> None:
    assert read(b3=f"{TRACE}-{SPAN}" + (f"-{flag}" if flag else "")) == (*NUMBERS, sampled)
    assert read(x_b3_traceid=TRACE, x_b3_spanid=SPAN, x_b3_sampled=flag) == (*NUMBERS, sampled)


def test_a_short_b3_trace_id_is_padded() -> None:
    context = read(b3=f"{SPAN}-{SPAN}-1")

    assert context == (int(SPAN, 16), int(SPAN, 16), True)


def test_debug_means_sampled() -> None:
    assert read(x_b3_traceid=TRACE, x_b3_spanid=SPAN, x_b3_flags="1") == (*NUMBERS, True)


def test_w3cs_field_is_read_first() -> None:
    assert read(traceparent=f"00-{TRACE}-{SPAN}-01", b3=f"{SPAN}-{SPAN}-0") == (*NUMBERS, True)


def test_b3_fields_are_written_only_where_they_came() -> None:
    context = TraceContext(*NUMBERS, True)

    assert dict(trace_fields(context, 1, {})) == {b"traceparent": f"00-{TRACE}-{SPAN}-01".encode()}
    assert set(dict(trace_fields(context, 1, {b"b3": b""}))) == {b"traceparent", b"b3"}
    assert dict(trace_fields(context, 1, {b"x-b3-traceid": b""}))[b"X-B3-ParentSpanId"] == b"0000000000000001"


@pytest.mark.parametrize(
    ("rate", "parent", "taken"),
    [(1, False, True), (0, True, False), (0.5, True, True), (0.5, False, False), (2, None, True), (-1, None, False)],
)
def test_a_rate_between_leaves_the_decision_to_the_caller(rate: float, parent: bool | None, taken: bool) -> None:
    assert Sampler.of_rate(rate).takes(2**63, parent) is taken


def test_the_share_is_taken_by_the_lower_half_of_the_trace_id() -> None:
    half = Sampler.of_rate(0.5)

    assert half.takes(2**63 - 1, None)
    assert not half.takes(2**63, None)
    assert half.takes(2**127, None)


def test_opentelemetrys_variable_wins() -> None:
    assert read_sampler({}, 0.2) == Sampler(0.2, True)
    assert read_sampler({"OTEL_TRACES_SAMPLER": "always_on"}, 0) == Sampler(1, False)
    env = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert read_sampler(env, 0) == Sampler(0.25, True)


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"},
    ],
)
def test_a_sampler_that_is_not_known_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER"):
        read_sampler(env, 0)
