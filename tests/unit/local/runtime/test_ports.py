"""Ports: allocation, and what a pod's specification says about them."""

import socket

import pytest

from upwell.local.runtime.ports import (
    ANNOTATION_PORTS,
    HIGHEST,
    LOWEST,
    PortAllocator,
    PortsExhausted,
    declared_ports,
    format_ports,
    is_free,
    ports_of,
)


def test_ports_go_round_and_skip_those_in_use() -> None:
    allocator = PortAllocator(lambda port: port != LOWEST + 1, start=LOWEST)

    assert [allocator.take() for _ in range(3)] == [LOWEST, LOWEST + 2, LOWEST + 3]


def test_a_released_port_rests_until_all_others_had_their_turn() -> None:
    allocator = PortAllocator(lambda _: True, start=HIGHEST - 2)
    first = allocator.take()
    allocator.release([first])

    assert [allocator.take() for _ in range(2)] == [HIGHEST - 1, LOWEST]


def test_no_port_is_given_twice() -> None:
    allocator = PortAllocator(lambda port: port < LOWEST + 2, start=LOWEST)
    allocator.take()
    allocator.take()

    with pytest.raises(PortsExhausted, match=f"between {LOWEST} and {HIGHEST}"):
        allocator.take()


def test_a_port_that_something_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_queue_proxy_gets_the_ports_that_it_listens_on_without_declaring_them() -> None:
    spec = {
        "containers": [
            {"name": "user-container", "ports": [{"containerPort": 8080}]},
            {"name": "queue-proxy", "ports": [{"containerPort": 9090}, {"containerPort": 8012}]},
        ]
    }

    assert declared_ports(spec) == [8080, 9090, 8012, 8112, 8022, 9091]


def test_the_annotation_reads_back_what_was_written() -> None:
    pod = {"metadata": {"name": "p", "annotations": {ANNOTATION_PORTS: format_ports({8080: 20001, 8012: 20002})}}}

    assert ports_of(pod) == {8080: 20001, 8012: 20002}
    assert ports_of({"metadata": {"name": "p"}}) == {}
