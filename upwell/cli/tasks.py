"""Work beside a block of code that ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["background"]


@asynccontextmanager
async def background(name: str, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` while the block runs, then cancel and await it.

    Unlike a TaskGroup it leaves the block's own exception as it is. A piece of work that failed is raised when the
    block has ended well, so that it is never overlooked.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for coroutine in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
