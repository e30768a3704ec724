"""Write a film as a DX or CR image, as the devices and archives that hoimg meets write them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.simulate.dicom_writer import COMPRESSIONS, EXPLICIT_LITTLE, JPEG_2000_LOSSLESS
from hoimg.simulate.film_process import Processed

CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"

SPACINGS = ("imager", "imager_only", "calibrated", "copied", "zero", "missing")
"""What a header says of the pixel's size. ``imager``: at the detector, with both distances;
``imager_only``: without distances; ``calibrated``: PixelSpacing by GEOMETRY beside the detector's;
``copied``: the detector's value in PixelSpacing without a calibration; ``zero``; ``missing``. The
last three are CR only: a DX image has to state ImagerPixelSpacing."""
LOOKS = ("window", "voi_lut", "presentation_lut")
"""How a film for the eye is to be shown: a linear window, a VOI LUT with an S-shaped curve, or the
same curve as PresentationLUTSequence (which the standard keeps for presentation states and
printers, and some writers put into images)."""

_VIEWS = {
    "AP": ("399348003", "antero-posterior"),
    "LAT": ("399067008", "lateral projection"),
    "OBL": ("399108006", "oblique projection"),
}
_REGIONS = {
    "PELVIS": ("12921003", "Pelvis"),
    "HIP": ("29836001", "Hip"),
    "KNEE": ("72696002", "Knee"),
    "ELBOW": ("127949000", "Elbow"),
    "THIGH": ("68367000", "Thigh"),
}
_UID_ROOT = "1.2.826.0.1.3680043.8.498."


@dataclass(frozen=True)
class FilmHeader:
    """What a film's header says.

    Attributes:
        modality: ``DX`` or ``CR``.
        view: ``AP``, ``LAT`` or ``OBL``.
        laterality: ``R``, ``L``, ``B`` (both) or ``U``.
        body_part: ``PELVIS``, ``HIP``, ``KNEE``, ``ELBOW`` or ``THIGH``.
        orientation: PatientOrientation: where rows and columns go, e.g. ``("L", "F")``.
        spacing_mm: At the detector.
        sid_mm: Source to detector.
        sod_mm: Source to the middle of the part (the plane in which the header's factor is right).
        spacing: One of :data:`SPACINGS`.
        look: One of :data:`LOOKS`.
        kvp: Tube voltage.
        study_date: Date of the exam.
        patient_id: An invented identifier.
        seed: Seed of the UIDs: patient, exam.
        number: Number of the film in its study.
        burned_in: BurnedInAnnotation.
        field_yx: Open field to be stated as a rectangular collimator; None: none is stated.
        compression: One of :data:`hoimg.simulate.dicom_writer.COMPRESSIONS`.
        patient_name: Invented.
    """

    modality: str
    view: str
    laterality: str
    body_part: str
    orientation: tuple[str, str]
    spacing_mm: float
    sid_mm: float
    sod_mm: float
    spacing: str = "imager"
    look: str = "window"
    kvp: float = 70.0
    study_date: dt.date = dt.date(2021, 3, 1)
    patient_id: str = "SIM-FILM"
    seed: str = "0"
    number: int = 1
    burned_in: bool = False
    field_yx: tuple[int, int, int, int] | None = None
    compression: str = "jpeg-2000"
    patient_name: str = "Simulated^Patient"


def write_film(film: Processed, header: FilmHeader, path: Path) -> tuple[str, str, str]:
    """Write one film (folders are made).

    Returns:
        StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID.

    Raises:
        ValueError: for unknown words, or a DX image without a detector's spacing.
    """
    _check(header)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = _common(header)
    _acquisition(ds, header)
    _spacing(ds, header)
    _pixels(ds, film)
    if film.for_presentation:
        _look(ds, film, header.look)
    if header.modality == "DX":
        _dx(ds, film, header)
    else:
        ds.SOPClassUID = CR_STORAGE
        ds.PlateType = ""
        ds.ViewPosition = {"LAT": "LL", "OBL": "RLO"}.get(header.view, header.view)
        if header.laterality in ("R", "L"):
            ds.Laterality = header.laterality
        if film.for_presentation:
            ds.PresentationLUTShape = "IDENTITY" if film.white_is_high else "INVERSE"
            if header.look == "presentation_lut":
                del ds.PresentationLUTShape
        else:
            ds.PresentationIntentType = "FOR PROCESSING"
            ds.PixelIntensityRelationship = film.relationship
            ds.PixelIntensityRelationshipSign = film.sign
    _save(ds, path, COMPRESSIONS[header.compression])
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def _check(header: FilmHeader) -> None:
    known = (
        header.modality in ("DX", "CR")
        and header.view in _VIEWS
        and header.laterality in ("R", "L", "B", "U")
        and header.body_part in _REGIONS
        and header.spacing in SPACINGS
        and header.look in LOOKS
        and header.compression in COMPRESSIONS
    )
    if not known:
        raise ValueError(f"a film's header holds an unknown word: {header}")
    if header.modality == "DX" and header.spacing in ("copied", "zero", "missing"):
        raise ValueError("a DX image states ImagerPixelSpacing; write a CR image without it")
    if header.modality == "DX" and header.look == "presentation_lut":
        raise ValueError("a DX image states PresentationLUTShape; write a CR image with a table")


def _common(header: FilmHeader) -> Any:
    """Patient, study, series, equipment."""
    from pydicom.dataset import Dataset

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    day = header.study_date.strftime("%Y%m%d")
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(ds, name, day)
    for name in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(ds, name, "094000")
    ds.AccessionNumber = ""
    ds.Modality = header.modality
    ds.Manufacturer = "hoimg simulate"
    ds.ManufacturerModelName = "digital film"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Simulated radiograph"
    ds.SeriesDescription = f"{header.body_part.title()} {header.view}"
    ds.PatientName = header.patient_name
    ds.PatientID = header.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.StudyID = "1"
    ds.StudyInstanceUID = _uid(header.patient_id, header.seed, "film study")
    ds.SeriesInstanceUID = _uid(header.patient_id, header.seed, "series", str(header.number))
    ds.SOPInstanceUID = _uid(header.patient_id, header.seed, "film", str(header.number))
    ds.SeriesNumber = header.number
    ds.InstanceNumber = 1
    ds.BodyPartExamined = header.body_part
    ds.ImageComments = "simulated; not a patient's record"
    return ds


def _acquisition(ds: Any, header: FilmHeader) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.KVP = f"{header.kvp:g}"
    ds.PatientOrientation = list(header.orientation)
    ds.BurnedInAnnotation = "YES" if header.burned_in else "NO"
    ds.LossyImageCompression = "00"
    if header.field_yx is not None:
        top, bottom, left, right = header.field_yx
        ds.CollimatorShape = "RECTANGULAR"
        ds.CollimatorLeftVerticalEdge = str(left + 1)
        ds.CollimatorRightVerticalEdge = str(right)
        ds.CollimatorUpperHorizontalEdge = str(top + 1)
        ds.CollimatorLowerHorizontalEdge = str(bottom)


def _spacing(ds: Any, header: FilmHeader) -> None:
    """Pixel size and distances as one of :data:`SPACINGS` has them."""
    at_plate = [f"{header.spacing_mm:g}"] * 2
    if header.spacing in ("imager", "imager_only", "calibrated"):
        ds.ImagerPixelSpacing = at_plate
    if header.spacing == "imager":
        ds.DistanceSourceToDetector = f"{header.sid_mm:g}"
        ds.DistanceSourceToPatient = f"{header.sod_mm:g}"
    elif header.spacing == "calibrated":
        ds.PixelSpacing = [f"{header.spacing_mm * header.sod_mm / header.sid_mm:.8g}"] * 2
        ds.PixelSpacingCalibrationType = "GEOMETRY"
        ds.PixelSpacingCalibrationDescription = "middle of the part"
    elif header.spacing == "copied":
        ds.PixelSpacing = at_plate
    elif header.spacing == "zero":
        ds.PixelSpacing = ["0.000", "0.000"]


def _pixels(ds: Any, film: Processed) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = f"MONOCHROME{2 if film.white_is_high else 1}"
    ds.Rows, ds.Columns = film.values.shape
    ds.BitsAllocated = 16
    ds.BitsStored = film.bits
    ds.HighBit = film.bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = film.values.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"


def _look(ds: Any, film: Processed, look: str) -> None:
    """Window, VOI LUT or presentation LUT over the body's values."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    center, width = film.window
    if look == "window":
        ds.WindowCenter, ds.WindowWidth = f"{center:g}", f"{width:g}"
        return
    stored = np.arange(2**film.bits, dtype=np.float64)
    curve = 1.0 / (1.0 + np.exp(-4.0 * (stored - center) / width))
    if look == "presentation_lut" and not film.white_is_high:
        curve = 1.0 - curve
    table = Dataset()
    table.LUTDescriptor = [len(stored), 0, 16]
    for tag in table:
        tag.VR = "US"
    table.LUTExplanation = "S-shaped"
    words = np.rint(curve * 65535).astype("<u2")
    table.add_new("LUTData", "OW", words.tobytes())
    if look == "voi_lut":
        ds.VOILUTSequence = Sequence([table])
    else:
        ds.PresentationLUTSequence = Sequence([table])


def _dx(ds: Any, film: Processed, header: FilmHeader) -> None:
    """What the DX image adds (PS3.3 A.26): series, anatomy, positioning, detector, image."""
    from pydicom.sequence import Sequence

    ds.SOPClassUID = DX_FOR_PRESENTATION if film.for_presentation else DX_FOR_PROCESSING
    ds.PresentationIntentType = "FOR PRESENTATION" if film.for_presentation else "FOR PROCESSING"
    ds.ImageLaterality = header.laterality
    ds.AnatomicRegionSequence = Sequence([_code(*_REGIONS[header.body_part])])
    ds.ViewCodeSequence = Sequence([_code(*_VIEWS[header.view])])
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    ds.PixelIntensityRelationship = film.relationship
    ds.PixelIntensityRelationshipSign = film.sign
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "IDENTITY" if film.white_is_high else "INVERSE"
    ds.DetectorType = "SCINTILLATOR"
    ds.DetectorConfiguration = "AREA"
    ds.AcquisitionDeviceProcessingDescription = ""
    ds.AcquisitionContextSequence = Sequence([])
    ds.PositionerType = "NONE"
    if header.spacing == "imager":
        factor = header.sid_mm / header.sod_mm
        ds.EstimatedRadiographicMagnificationFactor = f"{factor:.6g}"


def _code(value: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _save(ds: Any, path: Path, transfer_syntax: str) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ds.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(ds.SOPInstanceUID)
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    meta.ImplementationClassUID = UID(_uid("implementation"))
    meta.ImplementationVersionName = "HOIMG_SIM"
    ds.file_meta = meta
    small = transfer_syntax == JPEG_2000_LOSSLESS and min(ds.Rows, ds.Columns) < 32
    if transfer_syntax != EXPLICIT_LITTLE and not small:
        ds.compress(UID(transfer_syntax), generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def _uid(*parts: str) -> str:
    """A valid UID that depends on its parts alone."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=_UID_ROOT, entropy_srcs=["hoimg-simulate", *parts]))
