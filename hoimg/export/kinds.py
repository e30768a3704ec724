"""The formats that a report can be exported to."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A format, in the order in which they are written."""

    csv = "csv"
    nifti = "nifti"
    rtstruct = "rtstruct"
    stl = "stl"
    ply = "ply"
    obj = "obj"
