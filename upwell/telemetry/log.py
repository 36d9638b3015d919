"""Structured logs: constant messages, variable keys, one JSON object per line on stderr.

    log = get("probe")
    log.info("app is ready", attempts=3, duration_ms=41)

    {"severity": "INFO", "timestamp": "2026-01-02T03:04:05.678Z", "logger": "queueproxy.probe",
     "message": "app is ready", "revision": "default/hello-00001", "attempts": 3, "duration_ms": 41}

When stderr is a terminal the same line reads `03:04:05.678 INFO  queueproxy.probe  app is ready  attempts=3 ...`.
A process calls `configure` once; what it passes there (its revision, its pod) stands in every line. Records of
libraries that use the standard `logging` come out in the same form, from `warning` on.

Keys used across the components: revision, pod, endpoint, error, reason, status, attempts, duration_ms. An exception
given as a value is written as its text; `log.exception` adds the traceback of the one being handled. User headers,
bodies and tokens are never logged.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final, TextIO

__all__ = ["LEVELS", "Log", "configure", "get", "set_level"]

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}
_DEBUG, _INFO, _WARNING, _ERROR = 10, 20, 30, 40
_NAMES: Final = {_DEBUG: "DEBUG", _INFO: "INFO", _WARNING: "WARNING", _ERROR: "ERROR"}


class _Output:
    """Where lines go and what stands in all of them; one per process."""

    def __init__(self) -> None:
        self.component = "upwell"
        self.level = _INFO
        self.fixed: dict[str, Any] = {}
        self.stream: TextIO | None = None
        """None stands for whatever sys.stderr is at that moment."""

    def write(self, level: int, name: str, message: str, values: Mapping[str, Any]) -> None:
        stream = self.stream or sys.stderr
        now = time.time()
        logger = f"{self.component}.{name}" if name else self.component
        try:
            line = self._text if stream.isatty() else self._json
            stream.write(line(now, level, logger, message, values) + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more; that must not stop the component

    def _json(self, now: float, level: int, logger: str, message: str, values: Mapping[str, Any]) -> str:
        head = {
            "severity": _NAMES[level],
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + _milliseconds(now) + "Z",
            "logger": logger,
            "message": message,
        }
        # The head stands first, and a key of the same name cannot replace it.
        line = {**head, **self.fixed, **values, **head}
        try:
            return json.dumps(line, default=_plain, allow_nan=False)
        except (TypeError, ValueError):
            # Not a number, infinite, or with keys that are no text: JSON has none of these, and a line is not lost.
            return json.dumps({key: _plain(value) for key, value in line.items()})

    def _text(self, now: float, level: int, logger: str, message: str, values: Mapping[str, Any]) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(now)) + _milliseconds(now)
        keys = "".join(f"  {key}={_plain(value)}" for key, value in values.items())
        return f"{clock} {_NAMES[level]:<7} {logger}  {message}{keys}"


_output: Final = _Output()


def configure(component: str, level: str = "info", stream: TextIO | None = None, **fixed: Any) -> None:
    """Set the component's name, the least severe level written (a key of LEVELS), and the keys of every line.

    An unknown level means info: a typing error in a log level is no reason for a data plane not to start.
    """
    _output.component = component
    _output.fixed = fixed
    _output.stream = stream
    logging.getLogger().handlers = [_LibraryHandler()]
    set_level(level)


def set_level(level: str) -> None:
    """Set the least severe level written, from now on."""
    _output.level = LEVELS.get(level.strip().lower(), _INFO)
    logging.getLogger().setLevel(max(_output.level, _WARNING))


def get(name: str = "") -> "Log":
    """The log of a part of the component."""
    return Log(name)


class Log:
    """Writes lines under one name; may be made before `configure` is called."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, message: str, **values: Any) -> None:
        if _output.level <= _DEBUG:
            _output.write(_DEBUG, self._name, message, values)

    def info(self, message: str, **values: Any) -> None:
        if _output.level <= _INFO:
            _output.write(_INFO, self._name, message, values)

    def warning(self, message: str, **values: Any) -> None:
        if _output.level <= _WARNING:
            _output.write(_WARNING, self._name, message, values)

    def error(self, message: str, **values: Any) -> None:
        _output.write(_ERROR, self._name, message, values)

    def exception(self, message: str, **values: Any) -> None:
        """As `error`, with the traceback of the exception being handled; for what should not have happened."""
        _output.write(_ERROR, self._name, message, {**values, "traceback": traceback.format_exc()})


class _LibraryHandler(logging.Handler):
    """Brings records of the standard `logging` into our form."""

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {}
        if record.exc_info:
            values["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        level = min(max(record.levelno // 10 * 10, _DEBUG), _ERROR)
        _output.write(level, record.name, record.getMessage(), values)


def _milliseconds(now: float) -> str:
    return f".{int(now * 1000) % 1000:03d}"


def _plain(value: Any) -> str:
    if isinstance(value, BaseException):
        return str(value) or type(value).__name__
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value)
