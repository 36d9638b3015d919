"""Whether the engine under test is one that mypyc has compiled (`make test-compiled`).

Then its classes take no stand-ins for each other and no subclasses from here, and its functions call each other without
looking a name up; tests that need one of these say so.
"""

from typing import Final

import pytest

from upwell.http import exchange

__all__ = ["COMPILED", "needs_plain_python"]

COMPILED: Final = not str(exchange.__file__).endswith(".py")

needs_plain_python: Final = pytest.mark.skipif(COMPILED, reason="stand-ins do not fit into the compiled engine")
