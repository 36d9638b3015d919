"""Stickiness: the same client, the same part; when percentages change, no more clients move than must."""

from collections import Counter

import pytest

from gateway.sticky import Stickiness, choose_part

CLIENTS = [f"client-{number}".encode() for number in range(10_000)]


class Asking:
    def __init__(self, peer: str = "10.0.0.1", **fields: str) -> None:
        self.peer = peer
        self._fields = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}

    def get(self, name: bytes) -> bytes | None:
        return self._fields.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        return [self._fields[name]] if name in self._fields else []


def parts_of(clients: list[bytes], parts: list[tuple[str, int]]) -> list[str]:
    return [parts[choose_part(client, parts)][0] for client in clients]


@pytest.mark.parametrize("weights", [(50, 50), (90, 10), (1, 99), (33, 33, 34), (70, 20, 5, 5)])
def test_many_clients_are_split_by_percent(weights: tuple[int, ...]) -> None:
    parts = [(f"app-{number:05}", weight) for number, weight in enumerate(weights)]
    counts = Counter(parts_of(CLIENTS, parts))

    for name, weight in parts:
        share = weight / 100
        deviation = (share * (1 - share) * len(CLIENTS)) ** 0.5
        assert abs(counts[name] - share * len(CLIENTS)) < 4 * deviation


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ({"old": 90, "new": 10}, {"old": 80, "new": 20}, {("old", "new"): 0.1}),
        ({"old": 80, "new": 20}, {"old": 100}, {("new", "old"): 0.2}),
        ({"a": 50, "b": 50}, {"a": 40, "b": 40, "c": 20}, {("a", "c"): 0.1, ("b", "c"): 0.1}),
    ],
)
def test_only_those_move_who_must(
    before: dict[str, int], after: dict[str, int], moved: dict[tuple[str, str], float]
) -> None:
    then, now = (parts_of(CLIENTS, list(parts.items())) for parts in (before, after))
    moves = Counter(move for move in zip(then, now, strict=True) if move[0] != move[1])

    assert set(moves) == set(moved)
    for move, share in moved.items():
        assert moves[move] / len(CLIENTS) == pytest.approx(share, abs=0.015)


def test_the_order_of_the_parts_does_not_matter_and_parts_of_one_name_are_one() -> None:
    whole = [("a", 60), ("b", 40)]
    assert parts_of(CLIENTS, whole) == parts_of(CLIENTS, whole[::-1])
    assert parts_of(CLIENTS, whole) == parts_of(CLIENTS, [("a", 30), ("b", 40), ("a", 30)])


@pytest.mark.parametrize(
    ("text", "client", "key"),
    [
        ("header=X-User", Asking(x_user="ada"), b"ada"),
        ("header=X-User", Asking(), None),
        ("header=X-User", Asking(x_user=""), None),
        ("cookie=session", Asking(cookie="theme=dark; session=abc; x=y"), b"abc"),
        ("cookie=session", Asking(cookie="theme=dark; Session=abc"), None),
        ("cookie=session", Asking(), None),
        ("client-address", Asking(peer="10.1.2.3"), b"10.1.2.3"),
        ("client-address", Asking(peer="10.1.2.3", x_forwarded_for="192.0.2.1, 10.9.9.9"), b"192.0.2.1"),
    ],
)
def test_a_client_is_told_by_what_the_annotation_names(text: str, client: Asking, key: bytes | None) -> None:
    assert Stickiness.parse(text).key(client) == key


@pytest.mark.parametrize("text", ["", "yes", "header", "header=", "cookie=a b", "client-address=x", "cookie=a;b"])
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="must be client-address, header=NAME or cookie=NAME"):
        Stickiness.parse(text)
