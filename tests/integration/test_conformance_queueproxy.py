"""The recorded behaviour of the reference, seen from outside: every case must pass.

The suite is a folder beside the repository, or wherever UPWELL_CONFORMANCE says. Which cases may differ, and why,
stands in docs/reference/queue-proxy.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(
    os.environ.get("UPWELL_CONFORMANCE") or Path(__file__).parents[2].parent / "shared" / "conformance" / "queueproxy"
)
ALLOWED_TO_DIFFER: frozenset[str] = frozenset()
JOBS = 6
"""Proxies at a time; with many more the measured times would tell of the machine rather than of us."""


@pytest.mark.timeout(600)
def test_the_sidecar_behaves_as_the_reference_was_recorded() -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"no conformance suite in {FOLDER}; set UPWELL_CONFORMANCE to its folder")
    cases = json.loads((FOLDER / "cases.json").read_text())["cases"]
    judged = {case["name"] for case in cases} - ALLOWED_TO_DIFFER

    outcomes = play()

    failed = [line for name, line in outcomes.items() if name in judged and not line.startswith("PASS")]
    assert not failed, "\n".join(failed)
    assert judged <= outcomes.keys()


def play() -> dict[str, str]:
    """Run the whole suite; the line of each case."""
    command = [sys.executable, str(FOLDER / "run.py"), "--cases", str(FOLDER / "cases.json"), "--jobs", str(JOBS)]
    command += ["--cmd", f"{sys.executable} -m queueproxy"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=590, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith(("PASS ", "FAIL ", "SKIP "))]
    return {line.split(" ")[1].rstrip(":"): line for line in lines}
