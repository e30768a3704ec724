"""The header of a NIfTI file, and what in it must agree before its voxels have a place.

nibabel reads the header. A NIfTI file may carry two placements (sform and qform); software differs
in which one it believes, so that a file whose two disagree has no place that can be trusted.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.volume_layout import VolumeLayout
from hoimg.geometry import Grid
from hoimg.image import grid_of_affine
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's codes of length: none, m, mm, um. Files without one are in mm by convention."""
FIRST_TEMPLATE_CODE = 3
"""sform and qform codes from here on place a scan in an atlas (Talairach, MNI, a template)."""
MAX_OFFSET = 16 * 2**20
"""Bytes of header extensions before the voxels; more is a damaged header."""
_SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}


def read_nifti_header(
    path: Path, settings: IntakeSettings, *, labels: bool = False
) -> VolumeLayout | None:
    """Layout and findings of one ``.nii`` or ``.nii.gz`` file; None when it is no NIfTI file.

    Args:
        path: The file.
        settings: Section ``intake``.
        labels: Take the 64-bit integers that some programs write label maps in, too.

    Raises:
        ValueError: when it starts like NIfTI and its header makes no sense; says why, no path.
        OSError: when it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            start = gzip.GzipFile(fileobj=file).read(540) if gzipped else file.read(540)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ValueError("the compression is damaged") from error
    header = _header(start)
    if header is None:
        return None
    shape = [int(n) for n in header.get_data_shape()]
    kind = header.get_data_dtype()
    offset = float(header["vox_offset"])
    if len(shape) < 3 or min(shape) < 1:
        raise ValueError(f"it has {len(shape)} axes, of which none may be empty")
    if (
        kind.kind not in "iuf"
        or kind.itemsize > 8
        or (kind.kind in "iu" and kind.itemsize > 4 and not labels)
    ):
        raise ValueError(f"voxels of type {kind.name} are no HU")
    if not int(header["sizeof_hdr"]) <= offset <= MAX_OFFSET:
        raise ValueError(f"the voxels begin at byte {offset:g}")
    slope, intercept = header.get_slope_inter()
    x, y, z = shape[:3]
    grid, findings = _place(header, (z, y, x), settings)
    if any(n > 1 for n in shape[3:]):
        count = math.prod(shape[3:])
        findings.append(finding("several_volumes", f"The file holds {count} volumes."))
    return VolumeLayout(
        data=path,
        offset=int(offset),
        gzipped=gzipped,
        whole_file_gzipped=True,
        dtype=kind.str,
        size_zyx=(z, y, x),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        grid=grid,
        findings=tuple(findings),
    )


def _header(start: bytes) -> Any:
    """nibabel's header of a single-file NIfTI-1 or -2; None when the bytes are none."""
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError

    for order in ("little", "big"):
        name = _SIZES.get(int.from_bytes(start[:4], order))
        if name is not None:
            break
    else:
        return None
    magic = start[344:348] if name == "Nifti1Header" else start[4:8]
    if magic not in (b"n+1\0", b"n+2\0"):
        return None
    # check_fix mends what it may and tells a log; ours stays silent, damage raises.
    quiet = logging.Logger("hoimg.nifti", logging.CRITICAL + 1)
    try:
        kind = getattr(nib, name)
        header = kind(start[: kind.sizeof_hdr], check=False)
        header.check_fix(logger=quiet, error_level=35)
        header.get_slope_inter()
    except (HeaderDataError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"its header is damaged ({error})") from error
    return header


def _place(
    header: Any, size_zyx: tuple[int, int, int], settings: IntakeSettings
) -> tuple[Grid | None, list[Finding]]:
    """The grid that the header states, and what makes it doubtful."""
    found: list[Finding] = []
    unit = int(header["xyzt_units"]) % 8
    if unit not in MM_PER_UNIT:
        raise ValueError(f"its unit of length has the code {unit}")
    scale = MM_PER_UNIT[unit]
    if unit == 0:
        found.append(finding("unit_not_stated", "The header names no unit of length; mm is taken."))
    sform, sform_code = header.get_sform(coded=True)
    qform, qform_code = header.get_qform(coded=True)
    chosen = sform if sform_code > 0 else qform
    if chosen is None or not np.isfinite(chosen).all():
        found.append(finding("no_orientation", "Neither sform nor qform place the voxels."))
        return None, found
    if max(int(sform_code), int(qform_code)) >= FIRST_TEMPLATE_CODE:
        found.append(finding("template_space", "The scan was moved into the space of an atlas."))
    chosen = _scaled(chosen, scale)
    zooms = np.asarray(header.get_zooms()[:3], dtype=float) * scale
    lengths = np.linalg.norm(chosen[:3, :3], axis=0)
    apart = float((np.abs(zooms - lengths) * (np.array(size_zyx[::-1]) - 1)).max())
    if sform_code > 0 and qform_code > 0:
        apart = max(apart, _corner_distance(chosen, _scaled(qform, scale), size_zyx))
    if not apart <= settings.affine_tolerance_mm:
        found.append(
            finding(
                "sform_qform_disagree",
                f"The header's placements (sform, qform, voxel size) differ by {apart:.3g} mm.",
            )
        )
    try:
        return grid_of_affine(chosen, size_zyx, "RAS"), found
    except ValueError:
        found.append(finding("sheared_affine", "The voxel axes are not at right angles."))
        return None, found


def _scaled(affine: NDArray[Any], scale: float) -> NDArray[np.float64]:
    out = np.array(affine, dtype=float)
    out[:3] *= scale
    return out


def _corner_distance(
    one: NDArray[np.float64], other: NDArray[np.float64], size_zyx: tuple[int, int, int]
) -> float:
    """Largest distance between the places that two affines give to one corner voxel, mm."""
    z, y, x = (n - 1 for n in size_zyx)
    corners = np.array([[i, j, k, 1] for i in (0, x) for j in (0, y) for k in (0, z)], dtype=float)
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())
