"""The reference page of the chart's values, made from their schema and defaults: `python -m charts.reference`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["reference", "rows"]

CHART: Final = Path(__file__).with_name("upwell")
COMPONENTS: Final = ("controller", "autoscaler", "activator", "gateway")
Row = tuple[str, str, str]
"""Path, default as JSON, description."""
HEAD: Final = """\
# Values of the Helm chart

<!-- Made by `make docs` from charts/upwell/values.schema.json and values.yaml; change it there. -->

How to use them: [install on a cluster](../how-to/install.md),
[swap a component of a Knative install](../how-to/swap-a-component.md).
A value that is not listed here, or has another type, is refused by `helm install` and `helm upgrade` with its path.
"""


def reference() -> str:
    """The page as Markdown: what all share first, then what components have in common, then each one's own."""
    found = list(rows())
    shared = [row for row in found if row[0].partition(".")[0] not in COMPONENTS]
    own = {name: [_without(name, row) for row in found if row[0].startswith(f"{name}.")] for name in COMPONENTS}
    common = [row for row in own[COMPONENTS[0]] if all(row in others for others in own.values())]
    parts = [HEAD, _table(shared), f"## Of every component\n\nCOMPONENT is one of {', '.join(COMPONENTS)}.\n"]
    parts.append(_table(("COMPONENT" + path, default, about) for path, default, about in common))
    for name, having in own.items():
        mine = (
            (name + path, default, about) for path, default, about in having if (path, default, about) not in common
        )
        parts += [f"## {name}\n", _table(mine)]
    return "\n".join(parts)


def _without(component: str, row: Row) -> Row:
    path, default, about = row
    return path.removeprefix(component), default, about


def rows() -> Iterator[Row]:
    """Every value."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    yield from _rows(schema, yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), "")


def _rows(schema: Mapping[str, Any], default: Any, path: str) -> Iterator[Row]:
    if "properties" not in schema or "description" in schema:
        yield path, json.dumps(default), schema["description"] + _choices(schema)
        return
    for name, inner in schema["properties"].items():
        yield from _rows(inner, default[name], f"{path}.{name}".lstrip("."))


def _choices(schema: Mapping[str, Any]) -> str:
    choices = schema.get("enum") or schema.get("items", {}).get("enum")
    return f" One of {', '.join(json.dumps(one) for one in choices)}." if choices else ""


def _table(found: Iterable[Row]) -> str:
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{path}` | `{default}` | {about} |" for path, default, about in found]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
