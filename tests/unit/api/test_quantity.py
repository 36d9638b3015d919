"""Quantities in the form in which they are stored."""

from fractions import Fraction

import pytest

from upwell.api.quantity import QuantityError, canonical_quantity, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("128Mi", "128Mi"),
        ("1000k", "1M"),
        ("2e3", "2e3"),
        ("0", "0"),
        ("-1Mi", "-1Mi"),
        ("0.1n", "1n"),
    ],
)
def test_a_quantity_is_stored_with_its_largest_whole_suffix(text: str, stored: str) -> None:
    assert canonical_quantity(text) == stored


@pytest.mark.parametrize("text", ["", "lots", "1 Mi", "1MI", "1.2.3", "--1", "1K"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity"):
        parse_quantity(text)


def test_numbers_are_exact() -> None:
    assert parse_quantity("0.1") * 10 == 1
    assert format_quantity(Fraction(1, 3)) == "333333334n"
