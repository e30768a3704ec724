"""The pixels of an exam as a volume in exact Hounsfield units."""

from __future__ import annotations

from hoimg.dicom.pixels import read_stack
from hoimg.dicom.place import place
from hoimg.dicom.types import Exam
from hoimg.dicom.volume_files import read_volume_file
from hoimg.errors import InputRefused
from hoimg.image import CTVolume
from hoimg.memory import keep_freed_memory


def load_volume(exam: Exam, *, children: int | None = None) -> CTVolume:
    """Read the pixels of an exam's chosen series.

    Args:
        exam: From :func:`hoimg.read_patient`.
        children: Processes that decode compressed pixels; None for two (one with one core).

    Returns:
        HU, int16 when every value is a whole number that fits, else float32, on the grid of
        ``exam.series``. ``valid`` is false where nothing was measured (padding outside of the
        reconstruction circle); None when every voxel was. Such voxels keep the value they have in
        the file; NaN of a volume file becomes -1024.

    Raises:
        InputRefused: when a file cannot be read or decoded; the message names it.
    """
    keep_freed_memory()  # before the readers' threads come, each with memory of its own
    series = exam.series
    if series.source != "dicom" and series.grid is not None:
        return read_volume_file(series.files[0], series.grid)
    if series.grid is None or series.stack is None:
        raise InputRefused(f"exam {exam.exam_id} has no volume to read", "not_a_volume")
    hu, padded = read_stack(series.stack, children=children)
    return place(hu, padded, series.stack, series.grid)
