"""Waiting for what another process, or another task, will bring about: looked at again and again, up to a bound.

A test states what must come to be, never how long it takes; the bound is only there so that a failure is told, with the
last thing that was seen.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

__all__ = ["eventually", "eventually_here"]

T = TypeVar("T")


@overload
async def eventually(
    look: Callable[[], Awaitable[T]], until: Callable[[T], object] = ..., *, seconds: float = 20, every: float = 0.01
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], until: Callable[[T], object] = ..., *, seconds: float = 20, every: float = 0.01
) -> T: ...
async def eventually(
    look: Callable[[], Any], until: Callable[[Any], object] = bool, *, seconds: float = 20, every: float = 0.01
) -> Any:
    """The first value that `look` gives and `until` likes (a true one); fails with the last when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if inspect.isawaitable(found):
            found = await found
        if until(found):
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(every)


def eventually_here(look: Callable[[], T], *, seconds: float = 30, every: float = 0.05) -> T:
    """The same where no event loop runs."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(every)
    return found
