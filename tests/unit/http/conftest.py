from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

import pytest

from tests.compiled import COMPILED
from tests.unit.http.world import World
from upwell.http.downstream_writer import DownstreamWriter
from upwell.http.exchange_record import ExchangeRecord
from upwell.http.states import DOWNSTREAM_TRANSITIONS, EXCHANGE_TRANSITIONS, UPSTREAM_TRANSITIONS
from upwell.http.upstream import UpstreamConnection


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
def engine_patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """For tests that replace a part of the engine; compiled, its parts know each other without looking."""
    if COMPILED:
        pytest.skip("nothing can be replaced within the compiled engine")
    return monkeypatch


class WatchedState:
    """Stands in for the slot `state` of a class, and notes each change that its table does not have."""

    def __init__(self, slot: Any, table: Mapping[Any, frozenset[Any]], broken: list[str]) -> None:
        self._slot = slot
        self._table = table
        self._broken = broken

    def __get__(self, owner: object, kind: type) -> IntEnum:
        return self._slot.__get__(owner, kind)  # type: ignore[no-any-return]

    def __set__(self, owner: object, state: IntEnum) -> None:
        try:
            before = self._slot.__get__(owner, type(owner))
        except AttributeError:
            before = state  # its first
        if state is not before and state not in self._table[before]:
            self._broken.append(f"{type(owner).__name__} from {before.name} to {state.name}")
        self._slot.__set__(owner, state)


@pytest.fixture(autouse=True)
def _states_keep_to_their_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if COMPILED:
        yield
        return
    broken: list[str] = []
    tables: tuple[tuple[type, Mapping[Any, frozenset[Any]]], ...] = (
        (DownstreamWriter, DOWNSTREAM_TRANSITIONS),
        (UpstreamConnection, UPSTREAM_TRANSITIONS),
        (ExchangeRecord, EXCHANGE_TRANSITIONS),
    )
    for owner, table in tables:
        monkeypatch.setattr(owner, "state", WatchedState(owner.__dict__["state"], table, broken))
    yield
    assert not broken
