"""The recorded outcomes of the reference implementation, read from the folder that UPWELL_GOLDEN names."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DEFAULT_FOLDER = Path(__file__).parents[2].parent / "shared" / "golden"


def golden_folder() -> Path:
    """Where the records are, whether or not that folder exists."""
    return Path(os.environ.get("UPWELL_GOLDEN") or DEFAULT_FOLDER)


@cache
def load(name: str) -> dict[str, Any]:
    """One file of records, `scaling.json` say; skips the calling test or module when the folder is not there."""
    folder = golden_folder()
    if not folder.is_dir():
        pytest.skip(f"no golden records in {folder}; set UPWELL_GOLDEN to their folder", allow_module_level=True)
    return dict(json.loads((folder / name).read_text()))


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """`load`, for tests that prefer a fixture."""
    return load
