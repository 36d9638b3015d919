"""Prometheus' text format, line by line.

    # HELP http_requests_total Requests.
    # TYPE http_requests_total counter
    http_requests_total{code="200"} 3.0

Written here because a scrape happens in the process that serves requests: all but the values never changes and is made
once for each series, so that a scrape writes only values and joins.
"""

from collections.abc import Iterable, Sequence

__all__ = ["heading", "line_pieces", "number", "sample"]


def heading(name: str, about: str, kind: str) -> str:
    """The two lines before a metric's samples."""
    text = about.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def sample(name: str, labels: Sequence[tuple[str, str]]) -> str:
    """A sample's line up to its value."""
    if not labels:
        return f"{name} "
    pairs = ",".join(f'{key}="{_escape(value)}"' for key, value in labels)
    return f"{name}{{{pairs}}} "


def line_pieces(prefixes: Iterable[str]) -> list[str]:
    """Lines taken apart: to be joined when the values, and only they, stand at the odd places."""
    pieces = ["\n"]
    for prefix in prefixes:
        pieces[-1] += prefix
        pieces += ("", "\n")
    pieces[0] = pieces[0].removeprefix("\n")
    return pieces


def number(value: float) -> str:
    """A value as Go's parser reads it."""
    if isinstance(value, int):
        return f"{value}.0"
    text = repr(value)
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
