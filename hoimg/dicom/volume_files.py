"""Volume files (NIfTI, NRRD) as exams: the same checks, the same facts, another container.

Such files say less than DICOM. How the scan was made, of whom and when comes from a JSON sidecar
where there is one; without it each file stands for a patient of its own, because nothing says
that two files are of one person.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.dicom.checks import Facts, check_acquisition, judge
from hoimg.dicom.clean import clean_text, clean_uid, patient_key
from hoimg.dicom.findings import finding
from hoimg.dicom.types import SeriesInfo
from hoimg.dicom.volume_layout import (
    UnreadableVolume,
    VolumeLayout,
    is_whole,
    read_layout,
    right_handed,
    slabs,
    to_hu,
)
from hoimg.dicom.volume_nifti import read_nifti_header
from hoimg.dicom.volume_nrrd import read_nrrd_header
from hoimg.dicom.volume_sidecar import (
    date_of,
    number_of,
    read_sidecar,
    text_of,
    texts_of,
    time_of,
)
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.results import Acquisition, Finding
from hoimg.settings import IntakeSettings

SUFFIXES = {".nii.gz": "nifti", ".nii": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd"}
"""Endings of the names of volume files, and the format of each."""
MAX_LABELS = 256
"""A file with whole numbers from 0 up and no more different ones than this is a label map."""
CLEAR_HU = -200.0
"""A value below this is air or padding: no label map and no picture holds one."""
CLEAR_VOXELS = 1000
"""So many values below :data:`CLEAR_HU` settle that a file is no label map."""


def volume_format(path: Path) -> str | None:
    """``nifti`` or ``nrrd`` by the file's name; None for other files."""
    name = path.name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def describe_volume_file(path: Path, settings: IntakeSettings) -> SeriesInfo | None:
    """Check one volume file and say what it is.

    The header is read, and of the voxels as many as it takes to see that they are HU (whole
    numbers: the first slices that show air; floating point: all, as NaN may hide anywhere).

    Args:
        path: A file for which :func:`volume_format` names a format.
        settings: Section ``intake``.

    Returns:
        A series of its own; None when the content is no volume file at all.

    Raises:
        OSError: when the file cannot be opened.
    """
    source = volume_format(path) or "nifti"
    try:
        layout = _read_header(path, settings)
    except ValueError as error:
        why = clean_text(str(error), 200)  # it may quote the file
        found = [finding("volume_file_unreadable", f"The volume file is refused: {why}.")]
        return _series(path, source, None, found, _Values(), settings)
    if layout is None:
        return None
    found = list(layout.findings)
    values = _Values()
    if layout.voxels > settings.max_voxels:
        found.append(finding("volume_file_too_large", f"{layout.voxels:.3g} voxels are declared."))
    elif not is_whole(layout):
        found.append(finding("truncated_files", "The volume file ends before its voxels do."))
    else:
        try:
            values = _look_at_values(layout)
        except UnreadableVolume as error:
            found.append(finding("truncated_files", f"The volume file {error}."))
        else:
            found += _check_values(values, layout, settings)
    found += _check_size(layout, settings)
    return _series(path, source, layout, found, values, settings)


def read_volume_file(path: Path, grid: Grid) -> CTVolume:
    """The voxels of a volume file in HU.

    Args:
        path: The file.
        grid: Where :func:`describe_volume_file` placed it.

    Returns:
        int16 when every value is a whole number that fits, else float32, on a right-handed grid.
        ``valid`` is false where the file holds no number.

    Raises:
        InputRefused: when the file cannot be read, or is another one than was described.
    """
    try:
        layout = _read_header(path, IntakeSettings())
        if layout is None or layout.grid is None or not right_handed(layout.grid)[0].same_as(grid):
            raise UnreadableVolume("has changed since it was checked")
        return read_layout(layout)
    except (UnreadableVolume, ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputRefused(
            f"{path}: the volume file {reason}; copy or export it again", "pixels_unreadable"
        ) from error


def _read_header(path: Path, settings: IntakeSettings) -> VolumeLayout | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's remarks about NaN in headers
        if volume_format(path) == "nrrd":
            return read_nrrd_header(path)
        # 64-bit whole numbers are what NumPy writes masks in: to be known as such, not refused
        return read_nifti_header(path, settings, labels=True)


@dataclass(frozen=True)
class _Values:
    """What a look at the voxels told: extremes and the share without a number."""

    low: float = 0.0
    high: float = 0.0
    unmeasured: int = 0
    labels: bool = False


def _look_at_values(layout: VolumeLayout) -> _Values:
    """Read slab by slab, to the end or until it is clear that these are HU."""
    low, high, clear, unmeasured = np.inf, -np.inf, 0, 0
    different: set[float] = set()
    whole = True
    for _, stored in slabs(layout):
        hu, measured = to_hu(stored, layout)
        if measured is not None:
            unmeasured += int(measured.size - np.count_nonzero(measured))
            hu = hu[measured]
        if hu.size:
            low, high = min(low, float(hu.min())), max(high, float(hu.max()))
            clear += int(np.count_nonzero(hu < CLEAR_HU))
        whole = whole and hu.dtype == np.int16
        if whole and low >= 0 and len(different) <= MAX_LABELS:
            different.update(np.unique(hu).tolist())
        if clear >= CLEAR_VOXELS and stored.dtype.kind != "f":
            break
    if not np.isfinite(low):
        low = high = 0.0
    fraction = low >= 0 and high <= 1  # a mask, or a map of probabilities
    labels = low >= 0 and (fraction or (whole and len(different) <= MAX_LABELS))
    return _Values(low, high, unmeasured, labels)


def _check_values(
    values: _Values, layout: VolumeLayout, settings: IntakeSettings
) -> Iterator[Finding]:
    if values.labels:
        yield finding("not_hounsfield", "The file is a label map (or a picture), no CT in HU.")
    elif values.low > settings.tissue_below_hu:
        yield finding(
            "not_hounsfield",
            f"Values run from {values.low:g} to {values.high:g}: neither air nor fat is in them.",
        )
    if values.unmeasured:
        share = values.unmeasured / layout.voxels
        code = "non_finite_values" if share <= settings.max_unmeasured else "too_few_values"
        yield finding(code, f"{100 * share:.2g} % of the voxels hold no number.")


def _check_size(layout: VolumeLayout, settings: IntakeSettings) -> Iterator[Finding]:
    if min(layout.size_zyx) < settings.min_slices:
        sizes = "x".join(str(n) for n in layout.size_zyx)
        yield finding("too_few_slices", f"The volume has {sizes} voxels.")
    if layout.grid is None:
        return
    spacing = layout.grid.spacing_zyx_mm
    if max(spacing) > settings.max_slice_thickness_mm:
        yield finding("slice_too_thick", f"Voxels are up to {max(spacing):g} mm apart.")
    elif max(spacing) > settings.thick_slice_mm:
        said = f"Voxels are up to {max(spacing):g} mm apart: rim and margin cannot be judged."
        yield finding("thick_slices", said)
    if min(spacing) < settings.min_spacing_mm:
        said = f"Voxels are {min(spacing):.3g} mm apart; the unit is hardly mm."
        yield finding("implausible_spacing", said)


def _series(
    path: Path,
    source: str,
    layout: VolumeLayout | None,
    found: list[Finding],
    values: _Values,
    settings: IntakeSettings,
) -> SeriesInfo:
    side = read_sidecar(path)
    fields: Mapping[str, Any] = {} if side is None else side[0]
    grid = None if layout is None or layout.grid is None else right_handed(layout.grid)[0]
    kind = "label_map" if values.labels else "volume"
    modality = text_of(fields, "Modality").upper() or "CT"
    if kind == "volume" and modality != "CT":
        kind = "other_image"
        found = [finding("modality_not_supported", f"A volume file of modality {modality[:16]}.")]
    elif kind == "label_map":
        found = [f for f in found if f.code == "not_hounsfield"]
    acquisition = _acquisition(fields, grid)
    image_type = texts_of(fields, "ImageType")
    description = text_of(fields, "SeriesDescription")
    date = date_of(fields)
    if kind == "volume":
        if side is None:
            found.append(finding("no_acquisition_facts", "A volume file without a sidecar."))
        else:
            if not side[1]:
                found.append(finding("sidecar_damaged", "The sidecar is no valid JSON."))
            words = (description, text_of(fields, "ProtocolName"), *image_type)
            found += check_acquisition(Facts(acquisition, words, date), settings)
        found.append(finding("no_dicom_source", "The scan came as a volume file, not as DICOM."))
    findings = judge(found, settings) if kind == "volume" else tuple(found)
    usable = kind == "volume" and grid is not None and all(f.level != "error" for f in findings)
    digest = _digest(path, layout)
    patient_id, study = text_of(fields, "PatientID"), text_of(fields, "StudyInstanceUID")
    study_uid = clean_uid(study, f"file:{digest}")[0]
    series_uid = clean_uid(text_of(fields, "SeriesInstanceUID"), f"series:{digest}")[0]
    who = f"id:{patient_id}" if patient_id else f"study:{study_uid}"
    bad = any(f.code == "truncated_files" for f in findings)
    return SeriesInfo(
        patient_key=patient_key(who),
        study_uid=study_uid,
        series_uid=series_uid,
        modality=modality[:16],
        description=description,
        date=date,
        files=(path,),
        grid=grid if usable else None,
        acquisition=acquisition,
        findings=findings,
        usable=usable,
        kind=kind,
        original="ORIGINAL" in image_type and "MPR" not in image_type,
        study_time=time_of(fields),
        bad_files=(path,) if bad else (),
        source=source,
    )


def _acquisition(fields: Mapping[str, Any], grid: Grid | None) -> Acquisition:
    agent = text_of(fields, "ContrastBolusAgent", "ContrastBolusIngredient")
    return Acquisition(
        kvp=number_of(fields, "KVP", "kVp"),
        kernel=text_of(fields, "ConvolutionKernel").replace("\\", "/") or None,
        slice_thickness_mm=number_of(fields, "SliceThickness"),
        spacing_zyx_mm=None if grid is None else grid.spacing_zyx_mm,
        size_zyx=None if grid is None else grid.size_zyx,
        contrast=agent.upper() not in ("NONE", "NO", "N", "0", "UNKNOWN") if agent else None,
        manufacturer=text_of(fields, "Manufacturer") or None,
        model=text_of(fields, "ManufacturersModelName", "ManufacturerModelName") or None,
        tube_current_ma=number_of(fields, "XRayTubeCurrent"),
        patient_position=text_of(fields, "PatientPosition")[:16] or None,
        body_part=text_of(fields, "BodyPartExamined", "BodyPart") or None,
    )


def _digest(path: Path, layout: VolumeLayout | None) -> str:
    """SHA-256 of the file, and of the data file that a detached header names."""
    digest = hashlib.sha256()
    for file in dict.fromkeys((path, path if layout is None else layout.data)):
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()
