"""The limits and the page that lists them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from upwell.http import Limits

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "proxy-engine.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not installed with the program")
def test_the_page_lists_every_limit_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| ([\d.]+) \|", PAGE.read_text(), re.MULTILINE))

    limits = Limits()
    defaults = {field.name: getattr(limits, field.name) for field in fields(Limits)}
    numbers = {name: float(value) for name, value in defaults.items() if isinstance(value, (int, float))}
    assert {name: float(value) for name, value in listed.items()} == numbers
