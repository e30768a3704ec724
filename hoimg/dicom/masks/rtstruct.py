"""DICOM structure sets (RTSTRUCT): closed contours, drawn onto the exam they are given for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.clean import clean_text
from hoimg.dicom.findings import finding
from hoimg.dicom.masks.contours import Contour, Structure, draw
from hoimg.dicom.masks.given import GivenMask, Region
from hoimg.dicom.masks.skeleton import bone_by_code, bone_by_name
from hoimg.errors import InputRefused
from hoimg.results import Finding

if TYPE_CHECKING:
    from pydicom import Dataset

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
"""RT Structure Set Storage."""
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_CONTOUR_DATA = 0x30060050
MAX_LABEL = 65535


def read_structures(dataset: Dataset, path: Path) -> GivenMask:
    """The structures of a structure set with their closed contours.

    Args:
        dataset: The whole object.
        path: Where it came from, for messages.

    Returns:
        One region per structure; its label is the ROI number where those are numbers from 1 to
        65535 that differ, else its place in the file. Points and open contours have no inside:
        they are left out with a finding, and so are structures of another frame of reference
        than that of most.

    Raises:
        InputRefused: ``mask_unreadable`` for an object that contradicts itself, ``mask_empty``
            when it has no closed contour.
    """
    items = list(dataset.get("StructureSetROISequence") or ())
    labels = _labels(items)
    codes = {
        _number(o.get("ReferencedROINumber")): o
        for o in dataset.get("RTROIObservationsSequence") or ()
    }
    contours_of = {
        _number(c.get("ReferencedROINumber")): c for c in dataset.get("ROIContourSequence") or ()
    }
    skipped = 0
    read: list[tuple[Region, str, tuple[Contour, ...]]] = []
    for item, label in zip(items, labels, strict=True):
        number = _number(item.get("ROINumber"))
        contours, left = _contours(contours_of.get(number), path)
        skipped += left
        if contours:
            frame = str(item.get("ReferencedFrameOfReferenceUID", ""))
            read.append((_region(item, codes.get(number), label), frame, contours))
    if not read:
        raise InputRefused(
            f"{path}: the structure set holds no closed contour; give one with outlines",
            "mask_empty",
        )
    frame, elsewhere = _main_frame(dataset, [uid for _, uid, _ in read])
    kept = [r for r in read if r[1] in ("", frame)]
    structures = tuple(Structure(region.label, contours) for region, _, contours in kept)
    return GivenMask(
        source="structure set",
        regions=tuple(region for region, _, _ in kept),
        draw=partial(draw, structures, path),
        frame_of_reference_uid=frame or None,
        findings=_notes(skipped, elsewhere),
    )


def _notes(skipped: int, elsewhere: int) -> tuple[Finding, ...]:
    out = []
    if skipped:
        out.append(
            finding(
                "contours_skipped",
                f"{skipped} point(s) or open contour(s) of the structure set enclose nothing and "
                "were left out.",
            )
        )
    if elsewhere:
        out.append(
            finding(
                "structures_elsewhere",
                f"{elsewhere} structure(s) lie in another frame of reference and were left out.",
            )
        )
    return tuple(out)


def _labels(items: Sequence[Dataset]) -> list[int]:
    numbers = [_number(item.get("ROINumber")) for item in items]
    good = [n for n in numbers if n is not None and 1 <= n <= MAX_LABEL]
    return good if len(set(good)) == len(items) else list(range(1, len(items) + 1))


def _region(item: Dataset, observed: Dataset | None, label: int) -> Region:
    name = clean_text(str(item.get("ROIName", "")))
    said = ""
    if observed is not None:
        if str(observed.get("RTROIInterpretedType", "")).upper() == "BONE":
            return Region(label, name, True)
        for code in observed.get("RTROIIdentificationCodeSequence") or ():
            value, scheme = code.get("CodeValue", ""), code.get("CodingSchemeDesignator", "")
            if bone_by_code(str(value), str(scheme)):
                return Region(label, name, True)
            said = clean_text(str(code.get("CodeMeaning", "")))
    return Region(label, name, bone_by_name(name, said))


def _contours(item: Dataset | None, path: Path) -> tuple[tuple[Contour, ...], int]:
    """Closed contours of one structure, and how many others it has."""
    out, skipped = [], 0
    for contour in (item.get("ContourSequence") if item is not None else None) or ():
        if str(contour.get("ContourGeometricType", "")).upper() not in CLOSED:
            skipped += 1
            continue
        points = _points(contour, path)
        if len(points) < 3:
            skipped += 1
        else:
            out.append(points)
    return tuple(out), skipped


def _points(contour: Dataset, path: Path) -> NDArray[np.float64]:
    """``(n, 3)`` LPS mm. Read from the stored text: pydicom makes an object of every number."""
    raw: Any = contour.get_item(_CONTOUR_DATA)
    value = getattr(raw, "value", None)
    try:
        if not value:
            return np.empty((0, 3))
        texts = value.split(b"\\") if isinstance(value, bytes) else list(value)
        numbers = np.array(texts, dtype="S32" if isinstance(value, bytes) else float)
        points = numbers.astype(float).reshape(-1, 3)
    except (ValueError, TypeError) as error:
        raise _refused(path, "has contour points that are no numbers in threes") from error
    if not np.isfinite(points).all():
        raise _refused(path, "has contour points that are no finite numbers")
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        return points[:-1]
    return points


def _main_frame(dataset: Dataset, uids: Sequence[str]) -> tuple[str, int]:
    """The frame of reference of most structures, and how many lie in another one."""
    stated = [uid for uid in uids if uid]
    if not stated:
        listed = dataset.get("ReferencedFrameOfReferenceSequence") or ()
        named = {str(item.get("FrameOfReferenceUID", "")) for item in listed}
        named.add(str(dataset.get("FrameOfReferenceUID", "")))
        named.discard("")
        return (named.pop() if len(named) == 1 else ""), 0
    main = max(sorted(set(stated)), key=stated.count)
    return main, sum(uid != main for uid in stated)


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _refused(path: Path, why: str) -> InputRefused:
    return InputRefused(
        f"{path}: the structure set {why}; save it again from the program that made it",
        "mask_unreadable",
    )
