"""One entrance for every kind of mask: what a path holds decides how it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hoimg.dicom.inflate import check_inflated
from hoimg.dicom.masks.given import GivenMask, Use
from hoimg.dicom.masks.labelmap import SUFFIXES, mask_files, read_label_map, read_mask_folder
from hoimg.dicom.masks.rtstruct import RTSTRUCT_CLASS, read_structures
from hoimg.dicom.masks.seg import SEG_CLASSES, read_segmentation
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused, UsageError
from hoimg.settings import IntakeSettings

MAX_FILES = 20_000
"""Files that a folder is searched for a segmentation or structure set, at most."""


def read_given(path: Path, use: Use, settings: IntakeSettings | None = None) -> GivenMask:
    """Read a mask of any kind for any use.

    Args:
        path: A label map (NIfTI, NRRD, MetaImage, also TotalSegmentator's multilabel file and
            3D Slicer's ``.seg.nrrd``), a DICOM segmentation or structure set, a folder with one
            mask per structure, or a folder (of any depth) with one DICOM segmentation or
            structure set among other files.
        use: What it is for; a folder's files are chosen by it.
        settings: Section ``intake``; None for the defaults.

    Raises:
        UsageError: when there is nothing at ``path``.
        InputRefused: when it is no mask; the message names it and says what to give.
    """
    settings = settings or IntakeSettings()
    if not path.exists():
        raise UsageError(f"--{use} {path}: no such file or folder")
    if path.is_dir():
        files = mask_files(path)
        if len(files) == 1 and not files[0].name.startswith("."):
            return read_label_map(files[0], settings)
        if files:
            return read_mask_folder(path, use, settings)
        return _read_dicom(_only_object(path), settings)
    if path.name.endswith(SUFFIXES) or not is_dicom(path):
        return read_label_map(path, settings)
    return _read_dicom(path, settings)


def parse(path: Path, **how: Any) -> Any:
    """A data set by pydicom, which inflates a deflated file whole: not beyond the limit."""
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        with path.open("rb") as stream:
            # 132 bytes of preamble and mark, 12 of the element with the rest's length
            place = 144 + int(meta.get("FileMetaInformationGroupLength", 0))
            check_inflated(stream, place, path.stat().st_size)
    return dcmread(path, **how)


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark after its preamble."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _class_of(path: Path) -> str:
    """SOP class of a DICOM file; empty when it is none."""
    if not is_dicom(path):
        return ""
    try:
        with quiet_pydicom():
            found = parse(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        return str(found.get("SOPClassUID", ""))
    except Exception:  # a parser fed with garbage may raise anything; such a file is no mask
        return ""


def _only_object(folder: Path) -> Path:
    """The one segmentation or structure set below a folder."""
    found: list[Path] = []
    seen = 0
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            seen += 1
            if seen <= MAX_FILES and _class_of(Path(place) / name) in (
                *SEG_CLASSES,
                RTSTRUCT_CLASS,
            ):
                found.append(Path(place) / name)
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(str(f.relative_to(folder)) for f in sorted(found)[:5])
        raise InputRefused(
            f"{folder}: holds {len(found)} segmentations or structure sets ({named}); name one "
            "of them",
            "mask_ambiguous",
        )
    raise InputRefused(
        f"{folder}: holds no mask; give a folder of masks such as femur_left.nii.gz, or one "
        "DICOM segmentation or structure set",
        "mask_empty",
    )


def _read_dicom(path: Path, settings: IntakeSettings) -> GivenMask:
    with quiet_pydicom():
        try:
            dataset = parse(path)
        except Exception as error:  # see _class_of
            raise InputRefused(
                f"{path}: starts like DICOM and cannot be read; copy or export it again",
                "mask_unreadable",
            ) from error
        try:
            # Values are parsed when they are asked for, so that damage shows up anywhere.
            kind = str(dataset.get("SOPClassUID", ""))
            if kind in SEG_CLASSES:
                return read_segmentation(dataset, path, settings.mask_fraction_min)
            if kind == RTSTRUCT_CLASS:
                return read_structures(dataset, path)
        except InputRefused:
            raise
        except Exception as error:  # see _class_of
            raise InputRefused(
                f"{path}: holds values that make no sense ({type(error).__name__}); save it again "
                "from the program that made it",
                "mask_unreadable",
            ) from error
    raise InputRefused(
        f"{path}: is a DICOM object, but no segmentation and no structure set; give one of "
        "these, or a label map",
        "mask_unreadable",
    )
