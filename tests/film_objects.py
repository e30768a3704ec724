"""Films, and the DICOM objects that other programs draw on them, made by highdicom and pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CALCIFICATION = Code("18115005", "SCT", "Pathologic calcification")
ROWS, COLUMNS = 120, 160


def new_file(path: Path, sop_class: str, sop: str) -> FileDataset:
    """A DICOM file with what every object states, not yet written."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop
    return ds


def film_dataset(
    path: Path,
    stored: np.ndarray | None = None,
    *,
    sop: str = "1.2.826.0.1.3680043.8.498.77",
    day: str = "20240110",
    view: str = "AP",
    **tags: Any,
) -> Dataset:
    """Write a complete DX film and return it as it was read back."""
    if stored is None:
        stored = np.full((ROWS, COLUMNS), 1000, np.uint16)
    ds = new_file(path, "1.2.840.10008.5.1.4.1.1.1.1", sop)
    ds.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{day}"
    ds.SeriesInstanceUID = f"{sop}.1"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = (
        "ID-9",
        "Secret^Name^",
        "",
        "",
    )
    ds.Modality, ds.StudyDate, ds.StudyTime, ds.StudyID = "DX", day, "101500", "1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.Manufacturer = 1, 1, "maker"
    ds.ViewPosition, ds.BodyPartExamined = view, "HIP"
    ds.ImageLaterality = "R"
    ds.Rows, ds.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        ds.NumberOfFrames = len(stored)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.ImagerPixelSpacing = ["0.2", "0.2"]
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    ds.PixelData = stored.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return dcmread(path)


def write_seg(
    path: Path, film: Dataset, masks: Sequence[np.ndarray], uids: Sequence[str | None]
) -> Path:
    """A binary segmentation of a film, a segment for each mask."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"part {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=CALCIFICATION,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            **({} if uid is None else {"tracking_uid": uid, "tracking_id": f"t{number}"}),
        )
        for number, uid in enumerate(uids, 1)
    ]
    seg = hd.seg.Segmentation(
        source_images=[film],
        pixel_array=np.stack(masks, axis=-1)[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="maker",
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="1",
    )
    seg.save_as(path)
    return path


def write_tid1500(path: Path, film: Dataset, points: np.ndarray, kind: str, uid: str) -> Path:
    """A measurement report with one planar region on a film, by highdicom."""
    source = hd.sr.SourceImageForRegion(film.SOPClassUID, film.SOPInstanceUID)
    region = hd.sr.ImageRegion(hd.sr.GraphicTypeValues[kind], points, source)
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier="lesion"),
        referenced_region=region,
        finding_type=CALCIFICATION,
    )
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes("Reader^One^"),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    sr = hd.sr.Comprehensive3DSR(
        evidence=[film],
        content=report[0],
        series_number=3,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="maker",
    )
    sr.save_as(path)
    return path


def write_scoord(
    path: Path,
    films: Sequence[Dataset],
    shapes: Sequence[tuple[str, Sequence[float]]],
    *,
    frame: int | None = None,
    uids: Sequence[str] = (),
) -> Path:
    """A bare structured report by hand: SCOORD items straight below its root.

    A frame counts from 1. With tracking UIDs the items lie in groups within groups, of which each
    states one, the outermost first.
    """
    ds = new_file(path, "1.2.840.10008.5.1.4.1.1.88.33", generate_uid())
    ds.Modality, ds.ValueType = "SR", "CONTAINER"
    items = []
    for film, (kind, numbers) in zip(films, shapes, strict=True):
        image, sop, item = Dataset(), Dataset(), Dataset()
        sop.ReferencedSOPClassUID, sop.ReferencedSOPInstanceUID = (
            film.SOPClassUID,
            film.SOPInstanceUID,
        )
        image.RelationshipType, image.ValueType = "SELECTED FROM", "IMAGE"
        if frame is not None:
            sop.ReferencedFrameNumber = frame
        image.ReferencedSOPSequence = [sop]
        item.RelationshipType, item.ValueType = "CONTAINS", "SCOORD"
        item.GraphicType, item.GraphicData = kind, list(numbers)
        item.ContentSequence = [image]
        items.append(item)
    for uid in reversed(uids):
        group, stated, name = Dataset(), Dataset(), Dataset()
        name.CodeValue, name.CodingSchemeDesignator = "112040", "DCM"
        name.CodeMeaning = "Tracking Unique Identifier"
        stated.RelationshipType, stated.ValueType, stated.UID = "HAS OBS CONTEXT", "UIDREF", uid
        stated.ConceptNameCodeSequence = [name]
        group.RelationshipType, group.ValueType = "CONTAINS", "CONTAINER"
        group.ContentSequence = [stated, *items]
        items = [group]
    ds.ContentSequence = items
    ds.save_as(path, enforce_file_format=True)
    return path


def write_gsps(
    path: Path,
    film: Dataset,
    graphics: Sequence[tuple[str, Sequence[float]]],
    *,
    units: str = "PIXEL",
    layer_names_film: bool = True,
    **tags: Any,
) -> Path:
    """A presentation state with graphic objects on a film."""
    ds = new_file(path, "1.2.840.10008.5.1.4.1.1.11.1", generate_uid())
    ds.Modality = "PR"
    image, series, layer, area = Dataset(), Dataset(), Dataset(), Dataset()
    image.ReferencedSOPClassUID = film.SOPClassUID
    image.ReferencedSOPInstanceUID = film.SOPInstanceUID
    series.SeriesInstanceUID = film.SeriesInstanceUID
    series.ReferencedImageSequence = [image]
    ds.ReferencedSeriesSequence = [series]
    drawn = []
    for kind, numbers in graphics:
        graphic = Dataset()
        graphic.GraphicAnnotationUnits, graphic.GraphicDimensions = units, 2
        graphic.NumberOfGraphicPoints = len(numbers) // 2
        graphic.GraphicData, graphic.GraphicType, graphic.GraphicFilled = list(numbers), kind, "N"
        drawn.append(graphic)
    layer.GraphicLayer, layer.GraphicObjectSequence = "L", drawn
    if layer_names_film:
        layer.ReferencedImageSequence = [image]
    ds.GraphicAnnotationSequence = [layer]
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(film.Columns), int(film.Rows)]
    ds.DisplayedAreaSelectionSequence = [area]
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)
    return path
