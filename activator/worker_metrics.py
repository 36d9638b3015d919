"""The metrics of several processes on one page: the same families, each sample marked with whose it is.

    kn_revision_request_queued{kn_revision_name="a"} 3.0   of worker 1 becomes
    kn_revision_request_queued{worker="1",kn_revision_name="a"} 3.0

Nothing is added up here: what may be, and how, depends on the metric, and whoever asks for it knows.
"""

from collections.abc import Iterable

__all__ = ["merge"]


def merge(texts: Iterable[tuple[str, str]]) -> str:
    """One page in Prometheus' text format from (worker, page) pairs."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for worker, text in texts:
        headings: list[str] = []
        samples: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                headings, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
                if not headings:
                    headings.append(line)
            elif line.startswith("#"):
                if len(headings) < 2:
                    headings.append(line)
            elif line:
                samples.append(_marked(line, worker))
    return "".join(f"{line}\n" for family in families.values() for lines in family for line in lines)


def _marked(sample: str, worker: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
