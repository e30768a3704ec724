"""Regions on films from files: label images, and DICOM objects that reference the film.

What a file is decides how it is read: a PNG or one-slice NIfTI (NRRD, MetaImage) is a label image
on the film's own pixels; a segmentation, a structured report with planar regions (SCOORD, as in
TID 1500) and a presentation state with closed graphics name their film by SOP instance.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.film_header import MAX_SIDE
from hoimg.dicom.masks.film_objects import GSPS, SR_CLASSES, dicom_regions
from hoimg.dicom.masks.labelmap import SUFFIXES
from hoimg.dicom.masks.read import is_dicom, parse
from hoimg.dicom.masks.seg import SEG_CLASSES
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.film_regions import MAX_LABEL, FilmRegion


def is_film_file(path: Path) -> bool:
    """Whether a file holds regions on a film, not on a CT.

    PNG; a volume file of one slice; a structured report or presentation state; a segmentation
    without a frame of reference, which only images without a place in the patient have.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() == ".png":
        return True
    if path.name.endswith(SUFFIXES) or not is_dicom(path):
        return _slices(path) == 1
    kind, frame = _kind_of(path)
    return kind == GSPS or kind in SR_CLASSES or (kind in SEG_CLASSES and not frame)


def read_film_regions(path: Path, film: str | None = None) -> list[FilmRegion]:
    """Read every region on a film that a file holds.

    Args:
        path: See :func:`is_film_file`.
        film: The film that a label image speaks of, if the reader said so; DICOM objects name
            theirs.

    Returns:
        One region per label, segment, planar region or closed graphic. Labels of label images tie
        films together; of DICOM objects only tracking UIDs do: segments of every object count
        from 1, so that their numbers are no labels.

    Raises:
        InputRefused: it cannot be read, or holds no region.
    """
    if path.suffix.lower() == ".png":
        found = _label_regions(path, _png(path), film)
    elif path.name.endswith(SUFFIXES) or not is_dicom(path):
        found = _label_regions(path, _one_slice(path), film)
    else:
        found = dicom_regions(path)
    if not found:
        raise InputRefused(
            f"{path}: holds no closed region on a film; draw a closed outline, or give a label "
            "image",
            "region_empty",
        )
    return found


def _slices(path: Path) -> int:
    """Slices of a volume file by its header; 0 when that cannot be read."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except (RuntimeError, ValueError):
        return 0
    size = reader.GetSize()
    return 1 if len(size) == 2 else int(size[2])


def _kind_of(path: Path) -> tuple[str, str]:
    """SOP class and frame of reference; empty for a file that cannot be parsed."""
    try:
        with quiet_pydicom():
            tags = ["SOPClassUID", "FrameOfReferenceUID"]
            found = parse(path, stop_before_pixels=True, specific_tags=tags)
            return str(found.get("SOPClassUID", "")), str(found.get("FrameOfReferenceUID", ""))
    except Exception:  # a parser fed with garbage may raise anything; the other reader names it
        return "", ""


def _png(path: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise InputRefused(
                    f"{path}: is a colour picture; give a grey one whose values are the lesions' "
                    "numbers, 0 elsewhere",
                    "mask_not_labels",
                )
            return np.array(image).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputRefused(
            f"{path}: cannot be read as a PNG; save it again", "mask_unreadable"
        ) from error


def _one_slice(path: Path) -> NDArray[Any]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        flat = math.prod(size[2:]) == 1 and reader.GetNumberOfComponents() == 1
        if max(size) > MAX_SIDE or not flat:
            raise ValueError("no label image of a film")
        array = sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, ValueError) as error:
        raise InputRefused(
            f"{path}: cannot be read; give a label image as PNG or one-slice NIfTI",
            "mask_unreadable",
        ) from error
    return np.asarray(array.reshape(array.shape[-2:]))


def _label_regions(path: Path, labels: NDArray[Any], film: str | None) -> list[FilmRegion]:
    values = np.unique(labels)
    if values[0] < 0 or values[-1] > MAX_LABEL or not np.array_equal(values, np.rint(values)):
        raise InputRefused(
            f"{path}: is no label image (values are not whole numbers from 0 to {MAX_LABEL})",
            "mask_not_labels",
        )
    if len(values) > 256:
        raise InputRefused(
            f"{path}: has {len(values)} values, more than a film has lesions; is it the film "
            "itself? Give a label image",
            "mask_not_labels",
        )
    return [
        FilmRegion(
            source=str(path),
            label=int(value),
            film=film,
            mask_yx=labels == value,
        )
        for value in values
        if value > 0
    ]
