"""How many workers there are to be."""

import pytest

from activator.workers import wanted


@pytest.mark.parametrize(
    ("arguments", "env", "count"),
    [
        ([], {}, 1),
        (["--workers", "4"], {}, 4),
        (["--workers=3", "--help"], {}, 3),
        ([], {"ACTIVATOR_WORKERS": "2"}, 2),
        (["--workers=5"], {"ACTIVATOR_WORKERS": "2"}, 5),
        ([], {"ACTIVATOR_WORKERS": "2", "ACTIVATOR_WORKER": "0/2"}, 1),
    ],
)
def test_a_flag_wins_over_the_variable_and_a_worker_has_none(
    arguments: list[str], env: dict[str, str], count: int
) -> None:
    given = ["activator", *arguments]

    assert wanted(given, env) == count
    assert [one for one in given if "workers" in one] == []


@pytest.mark.parametrize("arguments", [["--workers"], ["--workers", "0"], ["--workers=many"], ["--workers=1000"]])
def test_a_number_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="it has to be a number from 1 to 256"):
        wanted(["activator", *arguments], {})
