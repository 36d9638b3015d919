"""`pods/log`: what a container wrote, from the file in which the process runtime keeps it.

`<logs-dir>/<namespace>/<pod>/<container>.log`. Follows a file as it grows until the pod is gone; a file that was
rotated away or cut short is followed from its new beginning.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from upwell.api.objects import Object, annotations_of
from upwell.local.apiserver import errors

__all__ = ["LogOptions", "container_of", "stream_log"]

_CHUNK: Final = 64 * 1024
_POLL_SECONDS: Final = 0.2
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How much of a log is wanted; None means all of it."""

    follow: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None

    @classmethod
    def parse(cls, query: dict[str, str]) -> "LogOptions":
        """Raise StatusError (400) for a number that is none.

        Logs carry no times of their own, so `sinceTime`, `sinceSeconds` and `timestamps` have no effect.
        """
        numbers: dict[str, int | None] = {}
        for name in ("tailLines", "limitBytes"):
            text = query.get(name)
            if text is not None and not (text.isascii() and text.isdigit()):
                raise errors.bad_request(f'{name}: Invalid value: "{text}": must be a whole number')
            numbers[name] = None if text is None else int(text)
        return cls(query.get("follow") in ("true", "1"), numbers["tailLines"], numbers["limitBytes"])


def container_of(pod: Object, wanted: str) -> str:
    """The name of the container whose log is meant; raise StatusError (400) when the pod has no such one."""
    spec = pod["spec"]
    names = [one["name"] for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))]
    chosen = wanted or annotations_of(pod).get(_DEFAULT_CONTAINER, "")
    if not chosen or (not wanted and chosen not in names):
        return str(names[0])
    if chosen not in names:
        raise errors.bad_request(f"container {chosen} is not valid for pod {pod['metadata']['name']}")
    return chosen


async def stream_log(
    request: web.BaseRequest, path: Path, options: LogOptions, pod_exists: Callable[[], bool]
) -> web.StreamResponse:
    """Answer with the log at `path`; with `follow`, until the pod is gone."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    file = _open(path)
    if file is not None:
        file.seek(_tail_offset(file, options.tail_lines))
    left = options.limit_bytes
    try:
        while True:
            data = file.read(_CHUNK if left is None else min(_CHUNK, left)) if file is not None else b""
            if data:
                await response.write(data)
                left = None if left is None else left - len(data)
                continue
            if not options.follow or left == 0 or not pod_exists():
                break
            await asyncio.sleep(_POLL_SECONDS)
            file = _current(path, file)
    finally:
        if file is not None:
            file.close()
    await response.write_eof()
    return response


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _current(path: Path, file: BinaryIO | None) -> BinaryIO | None:
    """The file to read on from: the same, or a fresh one where it was replaced or cut short."""
    if file is None:
        return _open(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        return file
    mine = os.fstat(file.fileno())
    if (found.st_ino, found.st_dev) != (mine.st_ino, mine.st_dev):
        file.close()
        return _open(path)
    if found.st_size < file.tell():
        file.seek(0)
    return file


def _tail_offset(file: BinaryIO, lines: int | None) -> int:
    """Where the last `lines` lines begin."""
    if lines is None:
        return 0
    end = file.seek(0, os.SEEK_END)
    if lines == 0 or end == 0:
        return end
    position, wanted = end, lines
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        block = file.read(position - start)
        # The newline that ends the last line does not begin another one.
        stop = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
        while (found := block.rfind(b"\n", 0, stop)) >= 0:
            wanted -= 1
            if wanted == 0:
                return start + found + 1
            stop = found
        position = start
    return 0
