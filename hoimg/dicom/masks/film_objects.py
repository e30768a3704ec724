"""Regions on films from DICOM objects, which name their film by SOP instance.

A segmentation, a structured report with planar regions (SCOORD, as in TID 1500), and a presentation
state with closed graphics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.clean import clean_uid
from hoimg.dicom.film_header import MAX_SIDE
from hoimg.dicom.masks.read import parse
from hoimg.dicom.masks.seg import SEG_CLASSES
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.film_regions import FARTHEST, FilmRegion

if TYPE_CHECKING:
    from pydicom import Dataset

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
SR_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.88.{n}" for n in (11, 22, 33, 34))
"""Basic text, enhanced, comprehensive and comprehensive 3D structured reports."""
MAX_DEPTH = 32
"""Levels of a structured report's tree; deeper ones are damage."""
ELLIPSE_POINTS = 180
"""Corners by which circles and ellipses are drawn: 0.02 % of their area."""
CLOSED_PX = 0.5
"""A line whose ends lie this close together encloses a region."""
INSIDE = 0.5
"""A pixel of a fractional segment is inside from this share on."""
_TRACKING_UID = "112040"


def dicom_regions(path: Path) -> list[FilmRegion]:
    """Every region that an object holds.

    Raises:
        InputRefused: ``mask_unreadable`` for values that make no sense.
    """
    with quiet_pydicom():
        try:
            dataset = parse(path)
            kind = str(dataset.get("SOPClassUID", ""))
            if kind in SEG_CLASSES:
                return _segments(dataset, path)
            if kind == GSPS:
                return list(_graphics(dataset, path))
            return list(_planar_regions(dataset, path))
        except InputRefused:
            raise
        except Exception as error:  # damaged values raise anything where they are asked for
            raise InputRefused(
                f"{path}: holds values that make no sense ({type(error).__name__}); save it again "
                "from the program that made it",
                "mask_unreadable",
            ) from error


def _segments(dataset: Dataset, path: Path) -> list[FilmRegion]:
    """Each segment on each film that the segmentation was drawn on."""
    import highdicom as hd

    if max(int(dataset.Rows), int(dataset.Columns)) > MAX_SIDE:
        raise ValueError("no film is so large")
    seg = hd.seg.Segmentation.from_dataset(dataset, copy=False)
    found = []
    films = dict.fromkeys(str(ids[2]) for ids in seg.get_source_image_uids())
    for film in films:
        for number in seg.segment_numbers:
            # Segments without a pixel on a film may have no frame for it.
            drawn = seg.get_pixels_by_source_instance(
                [film],
                segment_numbers=[number],
                ignore_spatial_locations=True,
                assert_missing_frames_are_empty=True,
            )[0, :, :, 0]
            inside = drawn >= INSIDE
            if not inside.any():
                continue
            uid = _valid_uid(seg.get_segment_description(number).tracking_uid)
            found.append(FilmRegion(source=str(path), film=film, mask_yx=inside, tracking_uid=uid))
    return found


def _graphics(dataset: Dataset, path: Path) -> Iterator[FilmRegion]:
    """Closed graphics of a presentation state, on each film that they are shown on."""
    everywhere = [
        image
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for image in series.get("ReferencedImageSequence") or ()
    ]
    for layer in dataset.get("GraphicAnnotationSequence") or ():
        images = layer.get("ReferencedImageSequence") or everywhere
        for graphic in layer.get("GraphicObjectSequence") or ():
            kind = str(graphic.get("GraphicType", ""))
            points = _pairs(graphic.get("GraphicData"))
            units = str(graphic.get("GraphicAnnotationUnits", "PIXEL"))
            for image in images:
                drawn = points
                if units != "PIXEL":
                    area = _area_shown(dataset, str(image.ReferencedSOPInstanceUID))
                    if units != "DISPLAY" or area is None:
                        continue
                    drawn = area[0] + points * (area[1] - area[0])
                outline = _outline(kind, drawn)
                if outline is not None:
                    uid = _valid_uid(graphic.get("TrackingUID"))
                    yield from _on_images(outline, [image], path, uid)


def _area_shown(dataset: Dataset, film: str) -> NDArray[np.float64] | None:
    """Upper left and lower right corner (x, y) of what is shown of a film, in its pixels."""
    turned = int(dataset.get("ImageRotation") or 0) % 360
    if turned or str(dataset.get("ImageHorizontalFlip", "N")) == "Y":
        return None
    for area in dataset.get("DisplayedAreaSelectionSequence") or ():
        images = area.get("ReferencedImageSequence")
        if not images or any(str(i.ReferencedSOPInstanceUID) == film for i in images):
            first = np.array([float(v) for v in area.DisplayedAreaTopLeftHandCorner])
            last = np.array([float(v) for v in area.DisplayedAreaBottomRightHandCorner])
            return np.stack([first - 1, last])  # corners are counted from 1, both shown
    return None


def _planar_regions(dataset: Dataset, path: Path) -> Iterator[FilmRegion]:
    """Closed SCOORD items of a structured report that were selected from an image."""
    for item, groups in _items(dataset, ()):
        if str(item.get("ValueType", "")) != "SCOORD":
            continue
        outline = _outline(str(item.get("GraphicType", "")), _pairs(item.get("GraphicData")))
        if outline is None:
            continue
        images = [
            sop
            for child in item.get("ContentSequence") or ()
            if str(child.get("ValueType", "")) == "IMAGE"
            for sop in child.get("ReferencedSOPSequence") or ()
        ]
        yield from _on_images(outline, images, path, _tracking_uid(groups))


def _items(
    node: Dataset, groups: tuple[Dataset, ...]
) -> Iterator[tuple[Dataset, tuple[Dataset, ...]]]:
    """Every content item with the items above it, the nearest last."""
    if len(groups) > MAX_DEPTH:
        raise ValueError("the report's tree is too deep")
    for item in node.get("ContentSequence") or ():
        yield item, (*groups, node)
        yield from _items(item, (*groups, node))


def _tracking_uid(groups: Sequence[Dataset]) -> str | None:
    """The tracking UID of the nearest group that has one."""
    for group in reversed(groups):
        for item in group.get("ContentSequence") or ():
            if str(item.get("ValueType", "")) != "UIDREF":
                continue
            names = item.get("ConceptNameCodeSequence")
            if names and str(names[0].get("CodeValue", "")) == _TRACKING_UID:
                return _valid_uid(item.get("UID"))
    return None


def _valid_uid(stated: Any) -> str | None:
    """A UID as it is stated; None for none, or for one that is malformed."""
    raw = str(stated or "")
    return None if not raw or clean_uid(raw, "")[1] else raw


def _on_images(
    outline: NDArray[np.float64], images: Sequence[Any], path: Path, uid: str | None
) -> Iterator[FilmRegion]:
    for image in images:
        numbers = image.get("ReferencedFrameNumber")
        frames: list[int | None] = [None]
        if numbers is not None:
            listed = numbers if hasattr(numbers, "__iter__") else (numbers,)
            frames = [int(n) - 1 for n in listed]
        for frame in frames:
            yield FilmRegion(
                source=str(path),
                film=str(image.ReferencedSOPInstanceUID),
                frame=frame,
                contours_xy=(outline,),
                tracking_uid=uid,
            )


def _pairs(values: Any) -> NDArray[np.float64]:
    """Columns and rows, ``(n, 2)``; the film's corner is 0, 0 (PS3.3 C.10.5.1.2, C.18.6.1.2)."""
    numbers = np.array([float(v) for v in values or ()])
    if len(numbers) % 2 or not np.isfinite(numbers).all() or (np.abs(numbers) > FARTHEST).any():
        raise ValueError("graphic data are no pairs")
    return numbers.reshape(-1, 2)


def _outline(kind: str, points_xy: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A closed polygon of a graphic; None for one that encloses nothing."""
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "CIRCLE" and len(points_xy) == 2:
        centre, rim = points_xy
        return np.asarray(centre + float(np.linalg.norm(rim - centre)) * turns)
    if kind == "ELLIPSE" and len(points_xy) == 4:
        first, second, third, fourth = points_xy
        centre, long, short = (first + second) / 2, (second - first) / 2, (fourth - third) / 2
        return np.asarray(centre + turns[:, :1] * long + turns[:, 1:] * short)
    if kind not in ("POLYLINE", "INTERPOLATED") or len(points_xy) < 4:
        return None
    # A line that is not closed is a measurement.
    closed = float(np.abs(points_xy[0] - points_xy[-1]).max()) <= CLOSED_PX
    return points_xy[:-1] if closed else None
