"""The table: one look-up, immutable, fair about hosts that several objects want."""

import pytest

from gateway.ingress import compile_ingress
from gateway.table import Table, normal_host
from tests.unit.gateway.builders import simple
from upwell.api.objects import Key, Object, key_of


def table_of(*objects: Object) -> Table:
    return Table().updated({key_of(obj): compile_ingress(obj) for obj in objects})


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


def test_a_new_table_leaves_the_old_one_as_it_was() -> None:
    old = table_of(simple("a", "a.example", "a"), simple("b", "b.example", "b"))
    changed = simple("a", "a2.example", "a2")
    new = old.updated({key_of(changed): compile_ingress(changed), Key("default", "b"): None})

    assert (backend(old, b"a.example"), backend(old, b"b.example")) == ("a", "b")
    assert (backend(new, b"a.example"), backend(new, b"b.example"), backend(new, b"a2.example")) == (None, None, "a2")
    assert list(new.ingresses) == [key_of(changed)]


def test_the_older_object_keeps_a_host_and_the_younger_gets_it_after() -> None:
    older = simple("z", "a.example", "older", creationTimestamp="2024-01-01T00:00:00Z")
    younger = simple("a", "a.example", "younger", creationTimestamp="2024-01-02T00:00:00Z")
    for objects in ((older, younger), (younger, older)):
        table = table_of(*objects)
        assert backend(table, b"a.example") == "older"
        assert backend(table.updated({key_of(younger): None}), b"a.example") == "older"
        assert backend(table.updated({key_of(older): None}), b"a.example") == "younger"


def test_a_host_that_two_want_follows_changes_of_either() -> None:
    older = simple("a", "a.example", "older", creationTimestamp="2024-01-01T00:00:00Z")
    younger = simple("b", "a.example", "younger", creationTimestamp="2024-01-02T00:00:00Z")
    table = table_of(older, younger)
    newer = simple("a", "a.example", "older-2", creationTimestamp="2024-01-01T00:00:00Z")
    table = table.updated({key_of(newer): compile_ingress(newer)})
    assert backend(table, b"a.example") == "older-2"

    table = table.updated({key_of(older): None, key_of(younger): None})
    assert table.hosts == {}
    assert table._claims == {}
