"""`--traffic`, `--tag`, `--untag`: kn's rules, case by case."""

from typing import Any

import pytest

from upwell.cli.errors import CommandError
from upwell.cli.traffic_split import split_traffic

LATEST: dict[str, Any] = {"latestRevision": True, "percent": 100}


def target(name: str, percent: int = 0, tag: str = "") -> dict[str, Any]:
    """`@latest` or a revision, as the API has it."""
    which = {"latestRevision": True} if name == "@latest" else {"latestRevision": False, "revisionName": name}
    return {**which, "percent": percent, **({"tag": tag} if tag else {})}


def plain(targets: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [
        (str(one.get("revisionName") or "@latest"), int(one.get("percent") or 0), str(one.get("tag") or ""))
        for one in targets
    ]


@pytest.mark.parametrize(
    ("current", "flags", "expected"),
    [
        ([LATEST], {"traffic": ["@latest=50,a=50"]}, [("@latest", 50, ""), ("a", 50, "")]),
        ([LATEST], {"traffic": ["@latest=50", "a=50"]}, [("@latest", 50, ""), ("a", 50, "")]),
        ([], {"traffic": ["a=100"]}, [("a", 100, "")]),
        ([LATEST], {"tags": ["a=old"]}, [("@latest", 100, ""), ("a", 0, "old")]),
        ([LATEST], {"tags": ["@latest=new"]}, [("@latest", 100, "new")]),
        ([LATEST], {"tags": ["a=old"], "traffic": ["old=10,@latest=90"]}, [("@latest", 90, ""), ("a", 10, "old")]),
        ([target("a", 100, "old")], {"untags": ["old"]}, [("a", 100, "")]),
        ([LATEST, target("a", 0, "old")], {"untags": ["old"]}, [("@latest", 100, "")]),
        (
            [LATEST, target("a", 0, "test")],
            {"untags": ["test"], "tags": ["@latest=test"]},
            [("@latest", 100, "test")],
        ),
        ([target("a", 50), target("b", 50)], {"traffic": ["a=80"]}, [("a", 80, ""), ("b", 20, "")]),
        ([LATEST], {"traffic": ["a=10"]}, [("@latest", 90, ""), ("a", 10, "")]),
        ([LATEST, target("a", 0, "t")], {"traffic": ["b=10"]}, [("@latest", 90, ""), ("a", 0, "t"), ("b", 10, "")]),
        ([target("a", 100, "old")], {"tags": ["a=older"]}, [("a", 100, "old"), ("a", 0, "older")]),
        ([target("a", 100, "old")], {"tags": ["a=old"]}, [("a", 100, "old")]),
        ([target("a", 0, "t"), target("a", 100)], {"traffic": ["a=100"]}, [("a", 0, "t"), ("a", 100, "")]),
    ],
)
def test_a_split_is_what_the_flags_say(
    current: list[dict[str, Any]], flags: dict[str, list[str]], expected: list[tuple[str, int, str]]
) -> None:
    made = split_traffic(current, flags.get("traffic"), flags.get("tags"), flags.get("untags"))

    assert plain(made) == expected


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"traffic": ["@latest=90,@latest=10"]}, "named more than once"),
        ({"traffic": ["a=90,b=20"]}, "sum to 110"),
        ({"traffic": ["a=10,b=20"]}, "70 % are left over, and 3 are left out"),
        ({"traffic": ["@latest=1,c=1"]}, "98 % are left over"),
        ({"traffic": ["@latest=1p"]}, "not a whole percentage"),
        ({"traffic": ["@latest"]}, "is no pair"),
        ({"tags": ["@latest=a,@latest=b"]}, "named more than once"),
        ({"tags": ["@latest=stable"]}, "the tag stable is another revision's"),
        ({"untags": ["nothing"]}, "there is no such tag"),
    ],
)
def test_words_that_contradict_are_refused(flags: dict[str, list[str]], said: str) -> None:
    current = [target("@latest", 40), target("stable-1", 30, "stable"), target("stable-0", 30, "older")]

    with pytest.raises(CommandError) as caught:
        split_traffic(current, flags.get("traffic"), flags.get("tags"), flags.get("untags"))

    assert said in str(caught.value)
    assert caught.value.hint


def test_what_a_service_has_is_not_changed_in_place() -> None:
    current = [target("a", 100)]

    split_traffic(current, ["b=100"], None, None)

    assert current == [target("a", 100)]
