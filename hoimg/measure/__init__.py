"""Image and mask in, numbers out: size, density, rim, margin, zone, relation, uncertainty.

:func:`measure_exam` measures every lesion of an exam; :func:`measure_lesion` one lesion from plain
arrays (see :func:`view_of_arrays` and :func:`plain_references`).
"""

from __future__ import annotations

from hoimg.measure.exam import ExamMeasurements, measure_exam
from hoimg.measure.lesion import LesionNumbers, References, measure_lesion, plain_references
from hoimg.measure.view import LesionView, view_of_arrays

__all__ = [
    "ExamMeasurements",
    "LesionNumbers",
    "LesionView",
    "References",
    "measure_exam",
    "measure_lesion",
    "plain_references",
    "view_of_arrays",
]
