"""Logs are JSON lines with constant messages and keys."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from upwell.telemetry import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    log.configure("demo", "info", stream, pod="p-1")
    yield stream
    log.configure("demo")
    root.handlers, root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_severity_time_logger_message_fixed_keys_and_its_own(output: io.StringIO) -> None:
    log.get("part").info("it happened", attempts=3)

    (line,) = lines(output)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"severity": "INFO", "logger": "demo.part", "message": "it happened", "pod": "p-1", "attempts": 3}


def test_lines_below_the_level_are_not_written(output: io.StringIO) -> None:
    log.get().debug("too fine")
    log.configure("demo", "error", output)
    log.get().warning("still too fine")
    log.get().error("but this")

    assert [line["message"] for line in lines(output)] == ["but this"]


def test_an_unknown_level_means_info(output: io.StringIO) -> None:
    log.configure("demo", "loud", output)
    log.get().info("heard")

    assert len(lines(output)) == 1


def test_a_key_cannot_take_the_place_of_the_severity(output: io.StringIO) -> None:
    log.get().info("x", severity="ERROR", value="y")

    (line,) = lines(output)
    assert line["severity"] == "INFO"


def test_exceptions_and_bytes_are_written_as_text(output: io.StringIO) -> None:
    log.get().error("failed", error=ValueError("bad"), empty=KeyError(), raw=b"\xff")

    (line,) = lines(output)
    assert (line["error"], line["empty"], line["raw"]) == ("bad", "KeyError", "ÿ")


def test_exception_adds_the_traceback(output: io.StringIO) -> None:
    try:
        raise ValueError("deep")
    except ValueError:
        log.get().exception("failed")

    assert "ValueError: deep" in str(lines(output)[0]["traceback"])


def test_libraries_that_use_logging_come_out_in_the_same_form(output: io.StringIO) -> None:
    logging.getLogger("some.library").warning("watch out: %s", "x")
    logging.getLogger("some.library").info("not this")

    (line,) = lines(output)
    assert (line["severity"], line["logger"], line["message"]) == ("WARNING", "demo.some.library", "watch out: x")


def test_a_terminal_gets_readable_text(output: io.StringIO) -> None:
    terminal = Terminal()
    log.configure("demo", "info", terminal)
    log.get("part").info("it happened", attempts=3)

    assert terminal.getvalue().endswith("INFO    demo.part  it happened  attempts=3\n")


def test_a_closed_stream_stops_nobody(output: io.StringIO) -> None:
    output.close()
    log.get().error("nobody hears this")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(ValueError, st.text()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.tuples(st.integers()), inner, max_size=3)
    ),
    max_leaves=5,
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(), values=st.dictionaries(st.text(), VALUES, max_size=3))
def test_a_line_is_json_whatever_the_values_hold(output: io.StringIO, message: str, values: dict[str, object]) -> None:
    values.pop("self", None)
    values.pop("message", None)
    output.seek(0)
    output.truncate()
    log.get("part").info(message, **values)

    text = output.getvalue()
    assert text.count("\n") == 1
    line = json.loads(text, parse_constant=refuse)
    assert (line["message"], line["logger"]) == (message, "demo.part")
    assert line.keys() >= values.keys()
