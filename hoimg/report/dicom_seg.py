"""Lesions as a DICOM Segmentation: one binary segment per lesion, on the source's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.report import dicom_codes as codes
from hoimg.report.dicom_context import RESEARCH_USE, ObjectContext, derive_uid
from hoimg.report.dicom_film_source import SourceFilm, grey_frame

if TYPE_CHECKING:
    from pydicom import Dataset

    from hoimg.report.dicom_source import SourceSeries

SEGMENT_LABEL = "Heterotopic ossification"

COLOURS_RGB = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito 2008: seven colours that stay apart in every common form of colour blindness."""


def build_segmentation(
    context: ObjectContext,
    source: SourceSeries,
    labels_zyx: NDArray[Any],
    start: int,
    stop: int,
) -> Dataset:
    """A BINARY Segmentation of the exam's lesions, on the exam's own grid.

    Args:
        context: The exam; it has at least one segment.
        source: The series of the context, with its geometry.
        labels_zyx: The whole label map on the exam's own grid; values are ``Segment.label``.
        start: First array plane with a lesion.
        stop: One past the last array plane with a lesion.

    Returns:
        The dataset, ready to be written. Frames without a voxel are left out.
    """
    from highdicom.seg import Segmentation

    of_frame = source.plane_of_frame
    # planes outside the lesions are dropped before anything looks at their voxels; a multi-frame
    # source is one image and keeps them all, in the order of its frames
    planes = labels_zyx[start:stop] if of_frame is None else labels_zyx[list(of_frame)]
    several = source.frames.multiframe
    dataset: Dataset = Segmentation(
        # highdicom takes one multi-frame image as the source, and any number of further ones
        source_images=list(context.images[:1] if several else context.images),
        further_source_images=list(context.images[1:]) if several else [],
        **(_own_planes(source, start, stop) if source.own_planes else {}),
        pixel_array=_segment_numbers(planes, context),
        **_said(context),
    )
    _settle(dataset, context)
    if source.own_planes and several:
        # only some frames of the files were given, so that their numbers would be wrong; the files
        # stand in the references of the series
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            frame.pop("DerivationImageSequence", None)
    context.place_in_study(dataset, "SEG")
    return dataset


def build_film_segmentation(
    context: ObjectContext, film: SourceFilm, outlines: Mapping[int, NDArray[np.bool_]]
) -> Dataset:
    """A BINARY Segmentation of a film's lesions, on the film's own pixels.

    It has no frame of reference, as the film has none: who reads it finds the film by its SOP
    Instance UID, pixel for pixel. Segments may overlap, as shadows do.

    Args:
        context: The film, of a file of one frame; it has at least one segment.
        film: How its file is looked at.
        outlines: Whole outline of each label, ``[y, x]``.

    Returns:
        The dataset, ready to be written.
    """
    from highdicom.seg import Segmentation

    masks = [outlines[segment.label] for segment in context.segments]
    dataset: Dataset = Segmentation(
        source_images=[grey_frame(film)],
        pixel_array=np.stack(masks, axis=-1)[None].astype(np.uint8),
        **_said(context),
    )
    dataset.PatientOrientation = list(film.orientation) or None
    _settle(dataset, context)
    context.place_in_study(dataset, "SEG")
    return dataset


def _said(context: ObjectContext) -> dict[str, Any]:
    """Arguments of highdicom's constructor that every segmentation of ours has."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import (
        SegmentAlgorithmTypeValues,
        SegmentationTypeValues,
        SegmentDescription,
    )

    algorithm = AlgorithmIdentificationSequence(
        name="hoimg",
        family=codes.ALGORITHM_FAMILY.to_dicom(),
        version=context.report.software[:64],
        parameters={"config_sha256": context.report.config_sha256},
    )
    descriptions = [
        SegmentDescription(
            segment_number=segment.number,
            segment_label=f"{SEGMENT_LABEL} {segment.lesion_id}"[:64],
            segmented_property_category=codes.CATEGORY.to_dicom(),
            segmented_property_type=codes.LESION_TYPE.to_dicom(),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=segment.tracking_uid,
            tracking_id=segment.lesion_id,
            display_color=CIELabColor.from_rgb(
                *COLOURS_RGB[(segment.number - 1) % len(COLOURS_RGB)]
            ),
        )
        for segment in context.segments
    ]
    return {
        "segmentation_type": SegmentationTypeValues.BINARY,
        "segment_descriptions": descriptions,
        "content_label": "HO_LESIONS",
        "content_description": RESEARCH_USE,
        "omit_empty_frames": True,
        **context.naming("SEG"),
        **context.equipment(),
    }


def _settle(dataset: Dataset, context: ObjectContext) -> None:
    """The same UIDs in every run, and the segment named at every frame."""
    organization = derive_uid("dimensions", context.instance_uid("SEG"))
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for index in dataset.DimensionIndexSequence:
        index.DimensionOrganizationUID = organization
    _name_segment_per_frame(dataset)


def _own_planes(source: SourceSeries, start: int, stop: int) -> dict[str, Any]:
    """Place of the grid's planes, for an exam whose slices were moved onto it."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    grid = source.grid
    step, *pixel = (float(f"{v:.10g}") for v in grid.spacing_zyx_mm)
    axes = np.asarray(grid.direction)
    places = grid.to_lps_mm([(k, 0, 0) for k in range(start, stop)])
    return {
        "plane_positions": [
            PlanePositionSequence("PATIENT", image_position=[round(float(v), 6) for v in place])
            for place in places
        ],
        "plane_orientation": PlaneOrientationSequence(
            "PATIENT", image_orientation=[round(float(v), 9) for v in (*axes[:, 0], *axes[:, 1])]
        ),
        "pixel_measures": PixelMeasuresSequence(
            pixel_spacing=pixel, slice_thickness=step, spacing_between_slices=step
        ),
    }


def _name_segment_per_frame(dataset: Dataset) -> None:
    """Say of every frame which segment it shows, also where there is one segment only.

    DICOM lets a single segment be named once for all frames, and highdicom does so, but readers
    (highdicom's own references among them) look for it at the frame.
    """
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" not in shared:
        return
    number = shared.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    del shared.SegmentIdentificationSequence
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        item = type(frame)()
        item.ReferencedSegmentNumber = number
        frame.SegmentIdentificationSequence = [item]


def _segment_numbers(planes: NDArray[Any], context: ObjectContext) -> NDArray[Any]:
    """The label map with segment numbers 1..n in place of the report's labels."""
    dtype = np.uint8 if len(context.segments) < 256 else np.uint16
    table = np.zeros(int(planes.max()) + 1, dtype=dtype)
    for segment in context.segments:
        table[segment.label] = segment.number
    numbered: NDArray[Any] = table[planes]
    return numbered
