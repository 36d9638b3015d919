"""What pyproject.toml cannot say: with UPWELL_COMPILE=1 a wheel has the path of a request compiled by mypyc.

The modules are the same plain Python either way, and stay in the wheel for tracebacks. Nothing is compiled for an
editable install, whose sources are meant to change. What it gives, and why it is no default, is in docs/decisions.
"""

import os
import sys
from glob import glob
from typing import Any, Final

from setuptools import setup

COMPILED: Final = [
    *sorted(glob("upwell/http/**/*.py", recursive=True)),
    "upwell/policy/breaker.py",
    "upwell/policy/request_stats.py",
    "queueproxy/forwarded.py",
    "queueproxy/handler.py",
]
NEEDED: Final = ["mypy[mypyc]>=1.18", "hpack>=4.1", "httptools>=0.9"]
"""For the build only: the compiler, and what the compiled modules get their types from."""

wanted = os.environ.get("UPWELL_COMPILE", "0") not in ("", "0")


def extensions() -> list[Any]:
    """Only where a wheel is being built: what to install for it is asked before."""
    if not wanted or "bdist_wheel" not in sys.argv:
        return []
    from mypyc.build import mypycify

    return mypycify(COMPILED, opt_level="3")


setup(ext_modules=extensions(), setup_requires=NEEDED if wanted else [])
