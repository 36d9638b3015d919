"""Comparison of records that mix numbers, which may differ by a rounding, with texts, which may not."""

from typing import Any

import pytest


def near(want: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """`want` with its numbers replaced by what equals anything within `tolerance`, absolute or relative."""
    return {
        name: pytest.approx(value, abs=tolerance, rel=tolerance) if isinstance(value, int | float) else value
        for name, value in want.items()
    }
