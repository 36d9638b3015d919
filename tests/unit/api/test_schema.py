"""How an object is read by its schema."""

from typing import Any

import pytest

from upwell.api.schema import BOOLEAN, INTEGER, QUANTITY, STRING, Reading, defaulted, kept, list_of, map_of, struct

SHAPE = struct(
    name=defaulted(STRING, ""),
    count=INTEGER,
    limit=kept(INTEGER),
    on=BOOLEAN,
    labels=map_of(STRING),
    parts=list_of(struct(name=STRING, size=QUANTITY)),
)


def read(value: Any) -> tuple[Any, Reading]:
    reading = Reading()
    return SHAPE.read(value, "spec", reading), reading


def test_empty_values_go_and_what_was_said_explicitly_stays() -> None:
    result, _ = read({"count": 0, "limit": 0, "on": False, "labels": {}, "parts": None})

    assert result == {"name": "", "limit": 0}


def test_unknown_fields_are_dropped_and_named() -> None:
    result, reading = read({"name": "a", "parts": [{"name": "b", "colour": "red"}], "frob": 1})

    assert result == {"name": "a", "parts": [{"name": "b"}]}
    assert reading.unknown == ["spec.frob", "spec.parts[0].colour"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"count": "5"}, 'spec.count: "5" (a text) must be a whole number (without quotes)'),
        ({"count": 1.5}, "spec.count: 1.5 must be a whole number (without quotes)"),
        ({"count": True}, "spec.count: true must be a whole number (without quotes)"),
        ({"on": "yes"}, 'spec.on: "yes" (a text) must be true or false (without quotes)'),
        ({"labels": {"a": 1}}, "spec.labels.a: 1 must be a text (put it in quotes)"),
        ({"parts": {}}, "spec.parts: a map must be a list"),
        ({"parts": ["x"]}, 'spec.parts[0]: "x" (a text) must be a map'),
        ({"parts": [{"size": "big"}]}, 'spec.parts[0].size: "big" (a text) must be a quantity, for example "500m"'),
    ],
)
def test_a_wrong_type_names_the_field_the_value_and_the_fix(value: Any, problem: str) -> None:
    _, reading = read(value)

    assert str(reading.mismatches[0]).startswith(problem)


def test_quantities_are_stored_in_canonical_form() -> None:
    result, _ = read({"parts": [{"size": "1000m"}, {"size": 2}]})

    assert [part["size"] for part in result["parts"]] == ["1", "2"]
