"""Whatever changes in whatever order: the table is what a table made afresh would be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ingress import IngressRoutes, compile_ingress
from gateway.table import Table
from tests.unit.gateway.builders import ingress, path, rule, split
from upwell.api.objects import Key

HOSTS = ["a.example", "b.example", "c.example"]
CHANGE = st.tuples(
    st.sampled_from(["one", "two", "three"]),
    st.one_of(st.none(), st.sets(st.sampled_from(HOSTS), min_size=1)),
    st.sampled_from(["2024", "2025"]),
)
BATCHES = st.lists(st.lists(CHANGE, min_size=1, max_size=3), max_size=15)


@given(BATCHES)
@settings(max_examples=200, deadline=None)
def test_changes_in_any_order_end_in_the_same_table(batches: list[list[tuple[str, set[str] | None, str]]]) -> None:
    table = Table()
    there: dict[Key, IngressRoutes] = {}
    for batch in batches:
        changes: dict[Key, IngressRoutes | None] = {}
        for name, hosts, created in batch:
            routes = None
            if hosts is not None:
                rules = rule(*sorted(hosts), paths=[path(split(name))])
                routes = compile_ingress(ingress(name, rules, creationTimestamp=created))
            changes[Key("default", name)] = routes
        before = {backend for routes in there.values() for backend in routes.backends}
        unused = table.change(changes)
        for key, routes in changes.items():
            there.pop(key, None)
            if routes is not None:
                there[key] = routes
        assert unused == before - {backend for routes in there.values() for backend in routes.backends}

    assert table.ingresses == there
    for host in (name.encode() for name in HOSTS):
        claimants = sorted((routes.created, key) for key, routes in there.items() if host in routes.hosts)
        entry = table.find(host)
        assert (entry.ingress if entry else None) == (claimants[0][1] if claimants else None)
