"""Lists in pages."""

import pytest

from tests.unit.local.apiserver.world import POD, World, pod
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.paging import Pages
from upwell.local.apiserver.selectors import Selector


def test_pages_show_one_moment_whatever_happens_between_them(world: World) -> None:
    for name in "abc":
        world.create(POD, pod(name))
    pages = Pages()

    first = pages.first(world.registry.select(POD, "", Selector()), world.store.revision, 2)
    world.delete(POD, "c")
    world.create(POD, pod("d"))
    second = pages.next(first.token, 2)

    assert ([one.name for one in first.records], first.remaining) == (["a", "b"], 1)
    assert ([one.name for one in second.records], second.token) == (["c"], "")
    assert second.revision == first.revision


def test_a_list_that_fits_is_one_page(world: World) -> None:
    world.create(POD, pod("a"))

    page = Pages().first(world.store.records(POD), 7, 1)

    assert (len(page.records), page.revision, page.token) == (1, 7, "")


def test_an_unknown_token_means_to_start_again() -> None:
    with pytest.raises(StatusError) as gone:
        Pages().next("unknown", 10)

    assert gone.value.code == 410
    assert "start a new list without the continue parameter" in gone.value.message


def test_only_the_latest_rests_are_kept(world: World) -> None:
    world.create(POD, pod("a"))
    world.create(POD, pod("b"))
    pages = Pages()
    tokens = [pages.first(world.store.records(POD), 1, 1).token for _ in range(65)]

    pages.next(tokens[1], 1)
    with pytest.raises(StatusError):
        pages.next(tokens[0], 1)
