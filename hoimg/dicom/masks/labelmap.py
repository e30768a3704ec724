"""Label maps from image files: NIfTI, NRRD, MetaImage, 3D Slicer's layers, folders of masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.clean import clean_text
from hoimg.dicom.masks.given import GivenMask, Region, Use
from hoimg.dicom.masks.image_header import OddHeader, check_image_header
from hoimg.dicom.masks.planes import Piece, Planes
from hoimg.dicom.masks.skeleton import BONE_FILES, bone_by_class, bone_by_code, bone_by_name
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import grid_of_sitk
from hoimg.settings import IntakeSettings

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr")
"""Endings of the label maps that are read."""
MAX_LABEL = 65535
_CLASS_NAME = re.compile(rb'<Label Key="(\d{1,5})"[^>]{0,200}>\s*<!\[CDATA\[([^\]]{1,64})\]\]>')
_UNPLACED = ("sform_qform_disagree", "no_orientation", "sheared_affine")
_SLICER_NAME = re.compile(r"segment[ _]?\d*")
"""Names that 3D Slicer gives to a segment that nobody named."""


def read_label_map(path: Path, settings: IntakeSettings | None = None) -> GivenMask:
    """Read one label map.

    Class names that TotalSegmentator stores in a NIfTI file, and names and codes that 3D Slicer
    stores in a ``.seg.nrrd``, tell bone from other structures; so do the class numbers of
    TotalSegmentator's ``total`` task where there are more than ten.

    Raises:
        InputRefused: ``mask_unreadable`` for what is no 3D image or has no certain place,
            ``mask_not_labels`` for values that are no whole numbers from 0 to 65535.
    """
    array, grid, image = _read(path, settings or IntakeSettings())
    if _slicer_count(image):
        return _of_slicer(array, grid, image)
    layers = [array] if array.ndim == 3 else list(np.moveaxis(array, -1, 0))
    planes = Planes.of_grid(grid)
    pieces = [p for layer in layers if (p := Piece(layer, planes).cropped()) is not None]
    labels = sorted({int(v) for p in pieces for v in np.unique(p.labels) if v})
    if len(pieces) > 1 and sum(len(np.unique(p.labels)) for p in pieces) > len(labels):
        pieces = [_renumbered(p, number) for number, p in enumerate(pieces, start=1)]
        labels = list(range(1, len(pieces) + 1))
    names = _class_names(path)
    bones = bone_by_class(labels)
    regions = []
    for label in labels:
        name = names.get(label, "")
        bone = bone_by_name(name) if name else None if bones is None else label in bones
        regions.append(Region(label, name, bone))
    return GivenMask(
        source="label map",
        regions=tuple(regions),
        pieces=tuple(pieces),
        extents=(grid,),
        closed_names=bones is not None or bool(names),
    )


def read_mask_folder(folder: Path, use: Use, settings: IntakeSettings | None = None) -> GivenMask:
    """Read a folder with one mask per structure, as TotalSegmentator writes it.

    For a skeleton the files are chosen by name before they are opened; otherwise every file
    counts, numbered from 1 in order of their names.

    Raises:
        InputRefused: see :func:`read_label_map`; ``mask_empty`` when no file is of bone.
    """
    files = mask_files(folder)
    names = [f.name[: -len(next(s for s in SUFFIXES if f.name.endswith(s)))] for f in files]
    if use == "skeleton":
        kept = [n.lower().startswith(BONE_FILES) or bone_by_name(n) for n in names]
        files = [f for f, keep in zip(files, kept, strict=True) if keep]
        names = [n for n, keep in zip(names, kept, strict=True) if keep]
        if not files:
            raise InputRefused(
                f"{folder}: holds no bone mask such as femur_left.nii.gz or vertebrae_L5.nii.gz",
                "mask_empty",
            )
    pieces: list[Piece] = []
    extents: list[Grid] = []
    regions: list[Region] = []
    for number, (file, name) in enumerate(zip(files, names, strict=True), start=1):
        array, grid, _ = _read(file, settings or IntakeSettings())
        if array.ndim == 4:
            array = np.any(array, axis=-1).astype(np.uint8)
        if not any(grid == seen for seen in extents):
            extents.append(grid)
        piece = Piece(array > 0, Planes.of_grid(grid)).cropped()
        if piece is not None:
            pieces.append(_renumbered(piece, number))
            regions.append(Region(number, clean_text(name), use == "skeleton" or None))
    if not pieces:
        raise InputRefused(f"{folder}: its masks are all empty", "mask_empty")
    return GivenMask(
        source="label map", regions=tuple(regions), pieces=tuple(pieces), extents=tuple(extents)
    )


def mask_files(folder: Path) -> list[Path]:
    """The label maps that lie in a folder (not below it), by name."""
    return sorted(f for f in folder.iterdir() if f.name.endswith(SUFFIXES) and f.is_file())


def _renumbered(piece: Piece, number: int) -> Piece:
    dtype = np.uint8 if number < 256 else np.uint16
    return Piece((piece.labels != 0).astype(dtype) * dtype(number), piece.planes)


def _read(path: Path, settings: IntakeSettings) -> tuple[NDArray[Any], Grid, Any]:
    """Labels ``[z, y, x]`` (or ``[z, y, x, layer]``), their grid and ITK's image."""
    import SimpleITK as sitk

    _check_place(path, settings)
    try:
        check_image_header(path, settings.max_voxels)
    except (OddHeader, OSError) as error:
        why = str(error) if isinstance(error, OddHeader) else "cannot be opened"
        raise InputRefused(
            f"{path}: {why}; save the mask again from the program that made it", "mask_unreadable"
        ) from error
    try:
        image = _three_axes(sitk.ReadImage(str(path)))
        array, grid = sitk.GetArrayFromImage(image), grid_of_sitk(image)
    except (RuntimeError, ValueError) as error:
        raise InputRefused(
            f"{path}: cannot be read as a 3D mask; give a .nii.gz or .nrrd label map, a DICOM "
            "segmentation or a structure set",
            "mask_unreadable",
        ) from error
    whole = array.dtype.kind in "iu" or np.array_equal(np.rint(array), array)
    if not whole or array.min() < 0 or array.max() > MAX_LABEL:
        raise InputRefused(
            f"{path}: is no label map (values are not whole numbers from 0 to {MAX_LABEL})",
            "mask_not_labels",
        )
    kept = array if array.dtype == np.uint8 else array.astype(np.uint16, copy=False)
    return kept, grid, image


def _three_axes(image: Any) -> Any:
    """The image itself, or the only volume of a 4D file."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise ValueError(f"{image.GetDimension()} axes")
    return image


def _check_place(path: Path, settings: IntakeSettings) -> None:
    """A NIfTI file whose placements disagree lies nowhere for certain.

    Raises:
        InputRefused: ``mask_unreadable``.
    """
    from hoimg.dicom.volume_nifti import read_nifti_header

    if not path.name.endswith((".nii", ".nii.gz")):
        return
    try:
        layout = read_nifti_header(path, settings, labels=True)
        said = [f.message for f in layout.findings if f.code in _UNPLACED] if layout else []
    except (ValueError, OSError):
        return  # ITK reads more kinds of voxel, and says itself what it cannot read
    if said:
        raise InputRefused(
            f"{path}: has no certain place. {' '.join(said)} Save the mask again from the "
            "program that made it",
            "mask_unreadable",
        )


def _class_names(path: Path) -> dict[int, str]:
    """Label to class name, where a NIfTI file carries TotalSegmentator's table."""
    import nibabel as nib

    if not path.name.endswith((".nii", ".nii.gz")):
        return {}
    try:
        extensions = nib.load(path).header.extensions  # type: ignore[attr-defined]
        texts = [c for e in extensions if isinstance(c := e.get_content(), bytes)]
    except Exception:  # names are a help, not needed; nibabel raises whatever a bad table meets
        return {}
    found = (match for text in texts for match in _CLASS_NAME.findall(text))
    return {int(key): clean_text(name.decode("utf-8", "replace")) for key, name in found}


def _slicer_count(image: Any) -> int:
    keys = (re.fullmatch(r"Segment(\d{1,5})_\w+", key) for key in image.GetMetaDataKeys())
    return max((int(k.group(1)) + 1 for k in keys if k), default=0)


def _of_slicer(array: NDArray[Any], grid: Grid, image: Any) -> GivenMask:
    """Segments of a ``.seg.nrrd``: each names its layer and its value there.

    Such a file may be cut to what it holds, so that it does not tell where nothing is.
    """
    layers = array[..., None] if array.ndim == 3 else array

    def said(number: int, key: str) -> str:
        name = f"Segment{number}_{key}"
        return str(image.GetMetaData(name)).strip() if image.HasMetaDataKey(name) else ""

    regions, pieces = [], []
    stated = [
        (int(said(n, "Layer") or 0), int(said(n, "LabelValue") or n + 1), n)
        for n in range(_slicer_count(image))
        if (said(n, "ID") or said(n, "Name") or said(n, "LabelValue"))
    ]
    own = len({value for _, value, _ in stated}) == len(stated)
    for position, (layer, value, number) in enumerate(stated, start=1):
        if not 0 <= layer < layers.shape[-1]:
            continue
        label = value if own else position
        name = clean_text(said(number, "Name"))
        regions.append(Region(label, name, _slicer_bone(name, said(number, "Tags"))))
        piece = Piece(layers[..., layer] == value, Planes.of_grid(grid)).cropped()
        if piece is not None:
            pieces.append(_renumbered(piece, label))
    return GivenMask(source="label map", regions=tuple(regions), pieces=tuple(pieces))


def _slicer_bone(name: str, tags: str) -> bool | None:
    """By the terminology's type (``scheme^code^meaning`` after the category) or by name."""
    entry = re.search(r"TerminologyEntry:([^|]*)", tags)
    parts = entry.group(1).split("~") if entry else []
    kind = parts[2].split("^") if len(parts) > 2 else []
    plain = "" if _SLICER_NAME.fullmatch(name.lower()) else name
    meaning = ""
    if len(kind) == 3:
        if bone_by_code(kind[1], kind[0]):
            return True
        meaning = "" if kind[2] == "Tissue" else kind[2]
    return bone_by_name(plain, meaning)
