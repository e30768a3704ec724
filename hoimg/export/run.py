"""A report folder into other formats, exam by exam."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import UsageError
from hoimg.export.kinds import Kind
from hoimg.export.mesh_files import FORMATS
from hoimg.geometry import Box, Grid, bounding_box
from hoimg.report.saved import SavedReport
from hoimg.results import Exam
from hoimg.whole_files import write_whole

SKELETON_STEP_MM = 1.0
"""Edge length of the skeleton's mesh: fine enough to print, some hundred thousand triangles."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass
class Exported:
    """What an export has done.

    Attributes:
        written: The files, those that were there already with the same content included.
        left_out: Exams and formats that do not go together, and why.
    """

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def export_report(
    saved: SavedReport, kinds: Sequence[Kind], output: Path, on_step: Callable[[str], None]
) -> Exported:
    """Write a report's lesions in the formats that are asked for.

    ``DIR/measurements_long.csv`` (csv), and in ``DIR/<exam_id>/``: ``lesions.rtstruct.dcm``
    (rtstruct), ``<lesion_id>.stl`` and ``skeleton.stl`` (stl, ply, obj), ``lesions.nii.gz`` with
    ``lesions.json`` (nifti).

    Args:
        saved: The report; its files are as they were written.
        kinds: Formats.
        output: Made when it does not exist. A file that is there stays when it has the same
            content.
        on_step: Called before each exam, with its formats.

    Raises:
        UsageError: when a file of another content is in the way.
    """
    done = Exported()
    if Kind.csv in kinds:
        from hoimg.export.long_csv import measurements_long_csv

        on_step("csv")
        _write(done, output / "measurements_long.csv", measurements_long_csv(saved.report).encode())
    for exam in saved.report.exams:
        possible = []
        for kind in (k for k in Kind if k in kinds and k is not Kind.csv):
            why = _why_not(saved, exam, kind)
            if why is None:
                possible.append(kind)
            else:
                done.left_out.append(f"{exam.exam_id}: no {kind}, {why}")
        if possible:
            on_step(f"{exam.exam_id} {', '.join(possible)}")
        for name, data in _files(saved, exam, possible):
            _write(done, output / _safe(exam.exam_id) / name, data)
    return done


def _why_not(saved: SavedReport, exam: Exam, kind: Kind) -> str | None:
    if exam.labelmap is None:
        return "it could not be read"
    if exam.film is not None and kind is not Kind.nifti:
        return "it is a film"
    if kind is Kind.rtstruct and _segmentation(exam) not in saved.written:
        return "it has no DICOM segmentation (no lesion, or not read from DICOM files)"
    return None


def _files(saved: SavedReport, exam: Exam, kinds: Sequence[Kind]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of one exam; a mesh is made once, whatever formats it goes into."""
    if Kind.rtstruct in kinds:
        from hoimg.export.rtstruct import structure_set

        path = saved.checked(_segmentation(exam))
        yield "lesions.rtstruct.dcm", structure_set(saved.report, exam.exam_id, path)
    if Kind.nifti in kinds:
        from hoimg.export.sidecar import sidecar_json

        yield "lesions.nii.gz", saved.checked(str(exam.labelmap)).read_bytes()
        yield "lesions.json", sidecar_json(saved.report, exam.exam_id).encode()
    formats = [kind for kind in kinds if kind in FORMATS]
    if formats:
        saved.checked(str(exam.labelmap))
        for name, points, faces in _meshes(saved, exam):
            for kind in formats:
                yield f"{name}.{kind}", FORMATS[kind](points, faces)


def _meshes(
    saved: SavedReport, exam: Exam
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.intp]]]:
    """Each lesion of an exam, then its native skeleton: name, points (LPS mm) and faces."""
    from scipy.ndimage import find_objects

    grid = saved.grid(exam.exam_id)
    labels = saved.lesions(exam.exam_id, grid).array
    named: dict[int, str] = {}
    for lesion in saved.report.lesions:
        for seen in lesion.observations:
            if seen.exam_id == exam.exam_id and seen.label is not None:
                named.setdefault(seen.label, _safe(lesion.lesion_id))
    boxes = dict(enumerate(find_objects(labels), 1))
    for label, name in named.items():
        box = boxes.get(label)
        if box is not None:
            yield name, *_mesh(labels[box] == label, box, grid, None)
    skeleton = saved.anatomy(exam.exam_id).skeleton.array != 0
    box = bounding_box(skeleton)
    if box is not None:
        yield "skeleton", *_mesh(skeleton[box], box, grid, SKELETON_STEP_MM)


def _mesh(
    mask: NDArray[np.bool_], box: Box, grid: Grid, step_mm: float | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Of what a box of the grid holds."""
    from hoimg.measure.surface import mesh_of_mask

    z, y, x = box
    start = (z.start, y.start, x.start)
    mesh = mesh_of_mask(mask, grid.spacing_zyx_mm, start, step_mm)
    assert mesh is not None
    points = grid.to_lps_mm(mesh.points / np.asarray(grid.spacing_zyx_mm))
    # zyx to xyz mirrors, and so does a grid whose axes are left-handed.
    faces = mesh.faces if np.linalg.det(np.asarray(grid.direction)) < 0 else mesh.faces[:, ::-1]
    return points, faces


def _segmentation(exam: Exam) -> str:
    from hoimg.report.dicom_objects import SEG_NAME

    return f"exams/{exam.exam_id}/{SEG_NAME}"


def _safe(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise UsageError(f"{name!r} of the report cannot be the name of a file")
    return name


def _write(done: Exported, path: Path, data: bytes) -> None:
    if os.path.lexists(path) and (not path.is_file() or path.read_bytes() != data):
        raise UsageError(
            f"{path}: is there already with another content; move it away or give another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, data)
    done.written.append(path)
