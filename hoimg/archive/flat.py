"""Typed results as rows: which columns a model has, and its values for them.

Numbers, words and truth values are a column each; a 95 % interval is two (``_ci95_low`` and
``_ci95_high``), a point three (as in ``lesions.csv``); lists are one column of JSON.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel

Kind = Literal["bool", "int", "float", "text"]
_POINT = ("left", "posterior", "superior")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Of the column.
        kind: Of its values; any may be null.
        of: The value of a model.
    """

    name: str
    kind: Kind
    of: Callable[[Any], Any]


def columns_of(
    model: type[BaseModel], leave_out: Collection[str] = (), prefix: str = ""
) -> list[Column]:
    """The columns of a model, in the order of its fields.

    Args:
        model: Of the results.
        leave_out: Fields that are no columns.
        prefix: In front of every name.
    """
    found: list[Column] = []
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        if "_ci95" in name:
            found += [
                Column(prefix + name.replace("_ci95", f"_ci95_{end}"), "float", _part(name, i))
                for i, end in enumerate(("low", "high"))
            ]
        elif name == "centroid_lps_mm":
            found += [
                Column(f"{prefix}centroid_{way}_lps_mm", "float", _part(name, i))
                for i, way in enumerate(_POINT)
            ]
        else:
            kind = _kind(field.annotation)
            found.append(Column(prefix + name, kind or "text", _whole(name, kind)))
    return found


def row_of(columns: Collection[Column], model: BaseModel | None) -> dict[str, Any]:
    """Column names to the values of a model; all null without one."""
    return {c.name: None if model is None else c.of(model) for c in columns}


def _whole(name: str, kind: Kind | None) -> Callable[[Any], Any]:
    def get(model: Any) -> Any:
        value = getattr(model, name)
        if value is None:
            return None
        if kind is None:
            return json.dumps(_plain(value))
        return value.isoformat() if isinstance(value, date) else value

    return get


def _part(name: str, index: int) -> Callable[[Any], Any]:
    def get(model: Any) -> Any:
        value = getattr(model, name)
        return None if value is None else value[index]

    return get


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _kind(annotation: Any) -> Kind | None:
    """Of a plain value; None for one that is a list or a model."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = {_kind(a) for a in typing.get_args(annotation) if a is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if typing.get_origin(annotation) is Literal:
        return "text"
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text", date: "text"}
    return plain.get(annotation) if isinstance(annotation, type) else None
