"""Which revisions of a Configuration nobody needs any more, and when there will be more of them.

A revision that is in nobody's traffic stays for a while, so that going back to it costs nothing. `doomed` picks those
to delete, in two passes: what is old and long out of use, down to a number that is kept whatever its age; then the
oldest of the rest, down to a number that is never exceeded. `next_look` says when the answer may change by itself.
Source: contract, control-plane.md 7.
"""

from collections.abc import Collection, Sequence
from typing import Final

from controller.configuration import generation_of
from upwell.api.config_gc import GcConfig
from upwell.api.names import ANNOTATION_NO_GC, ANNOTATION_ROUTING_STATE_MODIFIED, LABEL_ROUTING_STATE
from upwell.api.objects import Object, annotations_of, is_deleting, labels_of, name_of, timestamp_seconds

__all__ = ["doomed", "next_look"]

_RESERVE: Final = "reserve"
"""The routing state of a revision that once had routes, or could have had, and has none."""


def doomed(
    revisions: Sequence[Object], latest_ready: str, config: GcConfig, now: float, in_use: Collection[str] = ()
) -> list[Object]:
    """The revisions to delete, oldest first; `now` in Unix seconds, `in_use` names of revisions to be left alone."""
    idle = _idle(revisions, latest_ready, config, in_use)
    spare = len(idle) - config.non_active_min
    if spare <= 0:
        return []
    stale = [revision for revision in idle if _stale_since(revision, config, now) <= now][:spare]
    if config.non_active_max is None:
        return stale
    rest = [revision for revision in idle if revision not in stale]
    return stale + rest[: max(0, len(rest) - config.non_active_max)]


def next_look(
    revisions: Sequence[Object], latest_ready: str, config: GcConfig, now: float, in_use: Collection[str] = ()
) -> float | None:
    """Seconds until the next revision of those that are left grows stale; None when none will by itself."""
    idle = _idle(revisions, latest_ready, config, in_use)
    if len(idle) <= config.non_active_min:
        return None
    times = [since for revision in idle if now < (since := _stale_since(revision, config, now)) < _NEVER]
    return min(times) - now if times else None


_NEVER: Final = float("inf")


def _idle(revisions: Sequence[Object], latest_ready: str, config: GcConfig, in_use: Collection[str]) -> list[Object]:
    """Those that may go, longest out of use first; none when nothing may be deleted at all."""
    disabled = (config.retain_since_create, config.retain_since_last_active, config.non_active_max) == (None,) * 3
    if disabled or len(revisions) <= config.non_active_min:
        return []
    found = [
        revision
        for revision in revisions
        if labels_of(revision).get(LABEL_ROUTING_STATE) == _RESERVE
        and annotations_of(revision).get(ANNOTATION_NO_GC, "").lower() != "true"
        and name_of(revision) != latest_ready
        and name_of(revision) not in in_use
        and not is_deleting(revision)
    ]
    return sorted(found, key=lambda revision: (_last_active(revision), generation_of(revision), name_of(revision)))


def _stale_since(revision: Object, config: GcConfig, now: float) -> float:
    """When it became, or becomes, older than both limits that are set; never when none is."""
    created, active = config.retain_since_create, config.retain_since_last_active
    if created is None and active is None:
        return _NEVER
    by_creation = -_NEVER if created is None else _created(revision, now) + created
    by_activity = -_NEVER if active is None else _last_active(revision, now) + active
    return max(by_creation, by_activity)


def _created(revision: Object, unknown: float = 0.0) -> float:
    return _seconds(str(revision["metadata"].get("creationTimestamp") or ""), unknown)


def _last_active(revision: Object, unknown: float = 0.0) -> float:
    """When its routing state changed last, else when it was made."""
    text = annotations_of(revision).get(ANNOTATION_ROUTING_STATE_MODIFIED, "")
    return _seconds(text, _created(revision, unknown))


def _seconds(text: str, unknown: float) -> float:
    try:
        return timestamp_seconds(text)
    except ValueError:
        return unknown
