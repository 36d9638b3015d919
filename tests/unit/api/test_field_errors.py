"""The text of a refusal."""

import pytest

from upwell.api.field_errors import Denied, FieldErrors, at, at_index


def test_errors_that_differ_in_path_only_become_one_line() -> None:
    errors = FieldErrors()
    errors.missing("spec.b")
    errors.missing("spec.a")
    errors.missing("spec.b")

    assert str(errors) == "missing field(s): spec.a, spec.b"


def test_lines_are_sorted_and_details_follow_their_line() -> None:
    errors = FieldErrors()
    errors.disallowed("spec.url", details="set by the system")
    errors.out_of_bounds(-1, 0, 1000, at("spec", "containerConcurrency"))
    errors.invalid(True, at_index("spec.list", 2))

    assert str(errors).splitlines() == [
        "expected 0 <= -1 <= 1000: spec.containerConcurrency",
        "invalid value: true: spec.list[2]",
        "must not set the field(s): spec.url",
        "set by the system",
    ]


def test_an_object_without_errors_is_not_denied() -> None:
    errors = FieldErrors()
    errors.raise_if_any()
    errors.missing("spec")

    with pytest.raises(Denied, match=r"missing field\(s\): spec"):
        errors.raise_if_any()
