"""Requests whose caller says how long it waits."""

import pytest

from activator.deadlines import deadline_passed, patience_of
from tests.unit.activator.traffic_world import REVISION_HEADERS, settle, story
from upwell.http import RequestHead
from upwell.http.message import read_request_head

GRPC = "Content-Type: application/grpc+proto\r\n"


def head(fields: str) -> RequestHead:
    return read_request_head(f"POST /s/m HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode(), "")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2H", 7200), ("3M", 180), ("10S", 10), ("250m", 0.25), ("7u", 7e-6), ("9n", 9e-9), ("99999999S", 99999999)],
)
def test_a_timeout_is_digits_and_a_unit(value: str, seconds: float) -> None:
    assert patience_of(head(f"grpc-timeout: {value}\r\n")) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "10", "S", "-1S", "1.5S", "100000000S", "10s", "10 S", "1S2"])
def test_what_is_no_timeout_is_as_if_it_were_not_there(value: str) -> None:
    assert patience_of(head(f"grpc-timeout: {value}\r\n")) is None


def test_a_grpc_caller_gets_trailers_alone_and_any_other_504() -> None:
    status, fields, body = deadline_passed(head(GRPC))
    assert (status, dict(fields)[b"Grpc-Status"], body) == (200, b"4", b"")
    assert deadline_passed(head(""))[0] == 504


async def test_a_waiting_request_leaves_the_queue_at_its_deadline() -> None:
    async with story() as told:
        hopeless = told.request(f"{REVISION_HEADERS}{GRPC}Grpc-Timeout: 1n\r\n")
        patient = told.request(f"{REVISION_HEADERS}{GRPC}Grpc-Timeout: 20S\r\n")
        assert told.room.requests == 2
        await settle()

        assert hopeless.answer is not None
        assert hopeless.answer[1][b"Grpc-Status"] == b"4"
        assert (patient.answer, told.room.requests) == (None, 1)

        await told.has_pods("10.0.0.1")
        assert (hopeless.went_to, patient.went_to) == ([], ["10.0.0.1"])
        assert patient.context.deadline is None


async def test_a_request_that_a_pod_has_is_the_pods_affair() -> None:
    async with story() as told:
        await told.has_pods("10.0.0.1")
        served = told.request(f"{REVISION_HEADERS}{GRPC}Grpc-Timeout: 1n\r\n")
        await settle()
        assert (served.answer, served.went_to) == (None, ["10.0.0.1"])


async def test_the_waiting_room_is_shown_in_the_metrics() -> None:
    async with story() as told:
        told.metrics.show_room(told.room)
        told.request()
        assert b"\nupwell_activator_waiting_requests 1.0\n" in told.metrics.registry.render()
