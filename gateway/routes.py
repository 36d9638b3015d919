"""Keeps the routing table in step with the Ingress objects of our class.

Changes are gathered for one turn of the loop and put into the table together, so that what was kept of it (see
`gateway.planning`) is made anew once for all of them. An object that cannot be served keeps the routes of its last
good generation, and the reason is kept for its status.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, cast

from gateway.ingress import Backend, IngressRoutes, compile_ingress
from gateway.kept import whole_ingress
from gateway.table import Table
from upwell.api.names import ANNOTATION_INGRESS_CLASS, ANNOTATION_STICKINESS
from upwell.api.objects import Key, Object, ObjectError, annotations_of, is_deleting, key_of, uid_of
from upwell.clock import Clock, SystemClock
from upwell.cluster.informer import Informer
from upwell.telemetry import log

__all__ = ["Routes"]

LOG: Final = log.get("routes")


class Routes:
    """The table, and which generation of which object it serves."""

    def __init__(self, ingresses: Informer, ingress_class: str, clock: Clock | None = None) -> None:
        """`ingresses` is an informer on Ingress objects, run by the caller."""
        self.table = Table()
        self.rejected: dict[Key, tuple[int, ObjectError]] = {}
        """Generations that cannot be served, and why."""
        self.changed = 0.0
        """When the table last changed, in Unix time; 0 before it was filled."""
        self._class = ingress_class
        self._clock = clock or SystemClock()
        self._changed: dict[Key, Object | None] = {}
        self._loop = asyncio.get_running_loop()
        self._served_callbacks: list[Callable[[Key], None]] = []
        self._unused_callbacks: list[Callable[[Backend], None]] = []
        self._change_callbacks: list[Callable[[Collection[Key]], None]] = []
        ingresses.add_handler(self._ingress_changed)

    def on_served(self, callback: Callable[[Key], None]) -> None:
        """Call `callback` when an object's present generation is in the table, or was rejected."""
        self._served_callbacks.append(callback)

    def on_unused(self, callback: Callable[[Backend], None]) -> None:
        """Call `callback` when no object leads to a backend any more."""
        self._unused_callbacks.append(callback)

    def on_change(self, callback: Callable[[Collection[Key]], None]) -> None:
        """Call `callback` with the objects that came, changed or went, when the table has them as they are now."""
        self._change_callbacks.append(callback)

    def is_ours(self, obj: Object) -> bool:
        """Whether this gateway serves the object."""
        return annotations_of(obj).get(ANNOTATION_INGRESS_CLASS) == self._class and not is_deleting(obj)

    def flush(self) -> None:
        """Put what has changed into the table now."""
        changed, self._changed = self._changed, {}
        if not changed:
            return
        updates: dict[Key, IngressRoutes | None] = {}
        for key, obj in changed.items():
            self.rejected.pop(key, None)
            if obj is None:
                updates[key] = None
                continue
            try:
                updates[key] = _compiled(obj)
            except ObjectError as error:
                self.rejected[key] = (int(obj["metadata"].get("generation") or 0), error)
                LOG.warning("an ingress cannot be served", ingress=str(key), error=str(error))
        for backend in self.table.change(updates):
            for callback in self._unused_callbacks:
                callback(backend)
        self.changed = self._clock.now()
        for changed_callback in self._change_callbacks:
            changed_callback(changed.keys())
        for key, obj in changed.items():
            if obj is not None:
                self._tell_served(key)
        LOG.info("routes changed", ingresses=len(self.table.ingresses), hosts=len(self.table.hosts))

    def _ingress_changed(self, old: Object | None, new: Object | None) -> None:
        before = old if old is not None and self.is_ours(old) else None
        after = new if new is not None and self.is_ours(new) else None
        if before is None and after is None:
            return
        key = key_of(new if new is not None else cast("Object", old))
        if before is not None and after is not None and _same_routes(before, after):
            # Its status was written, perhaps by somebody else: let it be looked at, and leave the routes alone.
            self._tell_served(key)
            return
        if not self._changed:
            self._loop.call_soon(self.flush)
        self._changed[key] = after

    def _tell_served(self, key: Key) -> None:
        for callback in self._served_callbacks:
            callback(key)


def _same_routes(one: Object, other: Object) -> bool:
    def version(obj: Object) -> tuple[str, int, str]:
        # An annotation counts for no generation.
        stickiness = annotations_of(obj).get(ANNOTATION_STICKINESS, "")
        return uid_of(obj), int(obj["metadata"].get("generation") or 0), stickiness

    return version(one) == version(other)


def _compiled(obj: Object) -> IngressRoutes:
    try:
        return compile_ingress(whole_ingress(obj))
    except ObjectError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A field has another type than its schema says; no server with our CRDs lets that pass.
        raise ObjectError("spec", f"cannot be read: {error}") from error
