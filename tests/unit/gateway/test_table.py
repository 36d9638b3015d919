"""The table: one look-up, changed in one piece, fair about hosts that several objects want."""

import pytest

from gateway.ingress import compile_ingress
from gateway.table import Table, normal_host
from tests.unit.gateway.builders import simple
from upwell.api.objects import Key, Object, key_of


def table_of(*objects: Object) -> Table:
    table = Table()
    table.change({key_of(obj): compile_ingress(obj) for obj in objects})
    return table


def backend(table: Table, host: bytes) -> str | None:
    entry = table.find(host)
    return entry.routes[0].choose().backend.service if entry else None


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        (b"hello.example", b"hello.example"),
        (b"Hello.Example:8080", b"hello.example"),
        (b"hello.example.", b"hello.example"),
        (b"hello.example.:80", b"hello.example"),
        (b"[::1]", b"[::1]"),
        (b"[::1]:8080", b"[::1]"),
        (b"", b""),
    ],
)
def test_a_host_is_found_however_it_is_written(sent: bytes, normal: bytes) -> None:
    assert normal_host(sent) == normal


def test_a_change_touches_its_own_hosts_and_what_was_found_before_stays_as_it_was() -> None:
    table = table_of(simple("a", "a.example", "a"), simple("b", "b.example", "b"), simple("c", "c.example", "c"))
    found, other, version = table.find(b"a.example"), table.find(b"c.example"), table.version
    changed = simple("a", "a2.example", "a2")
    table.change({key_of(changed): compile_ingress(changed), Key("default", "b"): None})

    assert (backend(table, b"a.example"), backend(table, b"b.example")) == (None, None)
    assert backend(table, b"a2.example") == "a2"
    assert found is not None
    assert found.routes[0].choose().backend.service == "a"
    assert table.find(b"c.example") is other
    assert sorted(table.ingresses) == [key_of(changed), Key("default", "c")]
    assert table.version > version


def test_the_older_object_keeps_a_host_and_the_younger_gets_it_after() -> None:
    older = simple("z", "a.example", "older", creationTimestamp="2024-01-01T00:00:00Z")
    younger = simple("a", "a.example", "younger", creationTimestamp="2024-01-02T00:00:00Z")
    for objects in ((older, younger), (younger, older)):
        for gone, left in ((younger, "older"), (older, "younger")):
            table = table_of(*objects)
            assert backend(table, b"a.example") == "older"
            table.change({key_of(gone): None})
            assert backend(table, b"a.example") == left


def test_a_host_that_two_want_follows_changes_of_either() -> None:
    older = simple("a", "a.example", "older", creationTimestamp="2024-01-01T00:00:00Z")
    younger = simple("b", "a.example", "younger", creationTimestamp="2024-01-02T00:00:00Z")
    table = table_of(older, younger)
    newer = simple("a", "a.example", "older-2", creationTimestamp="2024-01-01T00:00:00Z")
    table.change({key_of(newer): compile_ingress(newer)})
    assert backend(table, b"a.example") == "older-2"

    table.change({key_of(older): None, key_of(younger): None})
    assert table.hosts == {}
    assert table._claims == {}
