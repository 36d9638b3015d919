"""config-gc: how many revisions without traffic are kept, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass

from upwell.api.settings import Settings

__all__ = ["GcConfig", "parse_gc"]

_DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class GcConfig:
    """Times are in seconds; None stands for disabled."""

    retain_since_create: float | None = 48 * 3600.0
    retain_since_last_active: float | None = 15 * 3600.0
    non_active_min: int = 20
    non_active_max: int | None = 1000


def parse_gc(data: Mapping[str, str]) -> GcConfig:
    """Read config-gc; raise SettingError."""
    settings = Settings("config-gc", data)
    lowest = settings.integer("min-non-active-revisions", 20)
    highest = _count(settings, "max-non-active-revisions", 1000)
    config = GcConfig(
        retain_since_create=_duration(settings, "retain-since-create-time", 48 * 3600.0),
        retain_since_last_active=_duration(settings, "retain-since-last-active-time", 15 * 3600.0),
        non_active_min=lowest,
        non_active_max=highest,
    )
    if config.non_active_max is not None and lowest > config.non_active_max:
        raise settings.error(
            "min-non-active-revisions", f"must be <= max-non-active-revisions ({config.non_active_max})"
        )
    return config


def _count(settings: Settings, key: str, default: int) -> int | None:
    """Empty stands for the default."""
    text = settings.text(key).lower()
    return None if text == _DISABLED else settings.integer(key, default) if text else default


def _duration(settings: Settings, key: str, default: float) -> float | None:
    """Empty stands for the default."""
    text = settings.text(key).lower()
    if text == _DISABLED:
        return None
    if not text:
        return default
    value = settings.duration(key, default)
    if value < 0:
        raise settings.error(key, 'must be a duration of at least 0, or "disabled"')
    return value
