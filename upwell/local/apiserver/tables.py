"""Objects as tables, for `kubectl get`: the columns of each kind and the cells of a row."""

from collections.abc import Sequence
from typing import Any

from upwell.api.objects import Object
from upwell.api.resources import Resource
from upwell.local.apiserver.columns import COLUMNS, DEFAULT, Column

__all__ = ["partial", "table"]


def table(resource: Resource, objects: Sequence[Object], version: str, include: str = "") -> Object:
    """The Table of `objects`; `include` says what goes along with each row (None, Metadata, Object)."""
    columns = COLUMNS.get((resource.group, resource.kind), DEFAULT)
    return {
        "kind": "Table",
        "apiVersion": version,
        "metadata": {"resourceVersion": objects[0]["metadata"]["resourceVersion"]} if objects else {},
        "columnDefinitions": [_definition(column) for column in columns],
        "rows": [_row(columns, obj, version, include) for obj in objects],
    }


def partial(obj: Object, version: str) -> Object:
    """The metadata of an object alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": obj["metadata"]}


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": "name" if column.name == "Name" else "",
        "description": column.description,
        "priority": column.priority,
    }


def _row(columns: Sequence[Column], obj: Object, version: str, include: str) -> Object:
    row: Object = {"cells": [_cell(column, obj) for column in columns]}
    if include != "None":
        row["object"] = obj if include == "Object" else partial(obj, version)
    return row


def _cell(column: Column, obj: Object) -> Any:
    try:
        return column.cell(obj)
    except (AttributeError, KeyError, TypeError, ValueError):
        # A field of a shape that nobody expects (status is not checked) must not hide all other objects.
        return None
