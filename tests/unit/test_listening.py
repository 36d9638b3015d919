"""Where a process listens."""

import socket

import pytest

from upwell.listening import bind
from upwell.ports import ConfigError, PortMap


def test_by_default_every_address_of_both_families_is_listened_on() -> None:
    sockets = bind(PortMap({8012: 0}), 8012)

    families = [listener.family for listener in sockets]
    assert families[0] == socket.AF_INET
    assert sockets[0].getsockname()[0] == "0.0.0.0"
    assert len({listener.getsockname()[1] for listener in sockets}) == 1
    assert families in ([socket.AF_INET], [socket.AF_INET, socket.AF_INET6])
    for listener in sockets:
        listener.close()


def test_a_named_address_is_the_only_one() -> None:
    (listener,) = bind(PortMap({8012: 0}, bind_host="127.0.0.1"), 8012)

    assert listener.getsockname()[0] == "127.0.0.1"
    listener.close()


def test_an_address_of_the_servers_own_wins() -> None:
    (listener,) = bind(PortMap({9091: 0}), 9091, "127.0.0.1")

    assert listener.getsockname()[0] == "127.0.0.1"
    listener.close()


def test_a_socket_that_was_handed_over_is_taken_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        (listener,) = bind(PortMap(listen_fds={8012: given.fileno()}), 8012)

        assert listener.getsockname() == given.getsockname()
        listener.detach()


def test_a_port_in_use_names_address_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            bind(PortMap({8012: port}, bind_host="127.0.0.1"), 8012)


def test_a_port_can_be_shared_by_those_who_say_so() -> None:
    (first,) = bind(PortMap({8012: 0}), 8012, "127.0.0.1", shared=True)
    port = first.getsockname()[1]

    (second,) = bind(PortMap({8012: port}), 8012, "127.0.0.1", shared=True)

    assert second.getsockname() == first.getsockname()
    first.listen()
    second.listen()
    for listener in (first, second):
        listener.close()
