"""Lesions as a DICOM structure set (RTSTRUCT), from the exam's own segmentation object.

The segmentation holds all that is needed: planes with their place, the images they lie on, frame
of reference, patient and study. So the source images need not be at hand.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hoimg.contours import outlines
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.report.dicom_codes import CATEGORY, LESION_TYPE
from hoimg.report.dicom_context import (
    CHARACTER_SET,
    MANUFACTURER,
    MODEL,
    RESEARCH_USE,
    derive_uid,
)
from hoimg.report.dicom_header import IDENTITY_KEYWORDS
from hoimg.report.dicom_seg import COLOURS_RGB
from hoimg.results import Report

if TYPE_CHECKING:
    from pydicom import Dataset

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
SERIES_NUMBER = 9004


def structure_set(report: Report, exam_id: str, segmentation: Path) -> bytes:
    """An RT Structure Set with one ROI for each lesion of an exam.

    ROI numbers are the labels of the report's label map. Contours are closed, planar, in the
    slices of the exam, half-way between pixels inside and outside; holes are joined by keyholes.
    UIDs follow from the segmentation and the report, so that the same report gives the same bytes.

    Args:
        report: The report.
        exam_id: The exam.
        segmentation: Its ``lesions.seg.dcm``.

    Returns:
        A Part 10 file.

    Raises:
        ValueError: when the segmentation has a segment that is no lesion of the report.
    """
    from pydicom import Dataset, dcmread, dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    with quiet_pydicom():
        seg = dcmread(segmentation)
        rois = _rois(report, exam_id, seg)
        dataset = Dataset()
        for keyword in IDENTITY_KEYWORDS:
            if keyword in seg:
                dataset.add(seg[keyword])
        _fill(dataset, seg, report)
        _add_rois(dataset, seg, rois)
        said = hashlib.sha256(repr(sorted(rois.items())).encode())
        for item in dataset.ROIContourSequence:
            for contour in item.ContourSequence:
                said.update("\\".join(map(str, contour.ContourData)).encode())
        series = derive_uid("series", "RTSTRUCT", str(seg.SeriesInstanceUID))
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = derive_uid(
            "instance", "RTSTRUCT", series, str(seg.SOPInstanceUID), said.hexdigest()
        )
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = UID(RTSTRUCT_CLASS)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.preamble = b"\0" * 128
        stream = BytesIO()
        dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _rois(report: Report, exam_id: str, seg: Dataset) -> dict[int, tuple[int, str, str]]:
    """Segment number to label in the report's map, lesion_id and tracking UID."""
    known = {
        lesion.tracking_uid: (seen.label, lesion.lesion_id, lesion.tracking_uid)
        for lesion in report.lesions
        for seen in lesion.observations
        if seen.exam_id == exam_id and seen.label is not None
    }
    rois = {}
    for segment in seg.SegmentSequence:
        found = known.get(str(segment.TrackingUID))
        if found is None or found[0] is None:
            raise ValueError(f"{exam_id}: a segment is no lesion of the report")
        rois[int(segment.SegmentNumber)] = (found[0], found[1], found[2])
    return rois


def _fill(dataset: Dataset, seg: Dataset, report: Report) -> None:
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.SOPClassUID = RTSTRUCT_CLASS
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesNumber = SERIES_NUMBER
    dataset.SeriesDescription = "hoimg RTSTRUCT, research use only"
    dataset.SeriesDate, dataset.SeriesTime = seg.SeriesDate, seg.SeriesTime
    dataset.OperatorsName = ""
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MODEL
    dataset.SoftwareVersions = report.software[:64]
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID = seg.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = "HO_LESIONS"
    dataset.StructureSetDescription = RESEARCH_USE
    dataset.StructureSetDate, dataset.StructureSetTime = seg.ContentDate, seg.ContentTime
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_images(seg)]


def _images(seg: Dataset) -> Dataset:
    """The frame of reference, study, series and images that the contours lie on."""
    from pydicom import Dataset

    frame, study = Dataset(), Dataset()
    frame.FrameOfReferenceUID = seg.FrameOfReferenceUID
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = seg.StudyInstanceUID
    study.RTReferencedSeriesSequence = []
    for named in seg.ReferencedSeriesSequence:
        series = Dataset()
        series.SeriesInstanceUID = named.SeriesInstanceUID
        series.ContourImageSequence = [
            _image(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID, None)
            for i in named.ReferencedInstanceSequence
        ]
        study.RTReferencedSeriesSequence.append(series)
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(sop_class: str, uid: str, frame: int | None) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _add_rois(dataset: Dataset, seg: Dataset, rois: dict[int, tuple[int, str, str]]) -> None:
    from pydicom import Dataset

    contours = _contours(seg)
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (label, lesion_id, tracking_uid) in sorted(rois.items(), key=lambda r: r[1]):
        roi, drawn, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber = label
        roi.ReferencedFrameOfReferenceUID = seg.FrameOfReferenceUID
        roi.ROIName = f"HO {lesion_id}"[:64]
        roi.ROIDescription = f"tracking UID {tracking_uid}"
        roi.ROIGenerationAlgorithm = "AUTOMATIC"
        drawn.ReferencedROINumber = label
        drawn.ROIDisplayColor = list(COLOURS_RGB[(number - 1) % len(COLOURS_RGB)])
        drawn.ContourSequence = contours[number]
        observed.ObservationNumber = observed.ReferencedROINumber = label
        observed.RTROIInterpretedType = ""
        observed.ROIInterpreter = ""
        observed.ROIObservationLabel = lesion_id[:16]
        observed.SegmentedPropertyCategoryCodeSequence = [_code(CATEGORY)]
        observed.RTROIIdentificationCodeSequence = [_code(LESION_TYPE)]
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observed)


def _code(code: Any) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def _contours(seg: Dataset) -> dict[int, list[Dataset]]:
    """Contour items by segment number, plane by plane in the order of the segmentation."""
    from pydicom import Dataset

    frames = seg.pixel_array.reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    spacing_yx = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=float)
    down_right = np.stack([cosines[3:], cosines[:3]]) * spacing_yx[:, None]
    found: dict[int, list[Dataset]] = defaultdict(list)
    for pixels, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for polygon in outlines(pixels != 0):
            points_lps_mm = place + polygon @ down_right
            item = Dataset()
            if (image := _image_of(group)) is not None:
                item.ContourImageSequence = [image]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(points_lps_mm)
            item.ContourData = [f"{value:.6f}" for value in points_lps_mm.ravel()]
            item.ContourNumber = len(found[number]) + 1
            found[number].append(item)
    return found


def _image_of(group: Dataset) -> Dataset | None:
    """The image that a frame was drawn on, where it is one."""
    for derived in group.get("DerivationImageSequence") or ():
        for source in derived.get("SourceImageSequence") or ():
            frame = source.get("ReferencedFrameNumber")
            number = None if frame is None else int(np.atleast_1d(frame)[0])
            return _image(source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID, number)
    return None
