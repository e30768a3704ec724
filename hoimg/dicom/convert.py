"""From a header's texts to the cleaned values that all images of a series share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hoimg.dicom.clean import clean_text, clean_uid, parse_date, person_key
from hoimg.dicom.types import StoredPixels
from hoimg.dicom.values import Values

_PHASES = ("NominalPercentageOfCardiacPhase", "FilterType")
_LOSSY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 54, 55, 56, 81, 203))
MAX_SIDE = 8192
"""Rows or columns above this are taken for a damaged header."""


@dataclass(frozen=True, slots=True)
class OfSeries:
    """What does not change from slice to slice: fields of :class:`Header`, and parts of others."""

    fields: dict[str, Any]
    stored: StoredPixels | None
    split_keys: tuple[str, ...]


def of_series(v: Values, syntax: str, media_class: str) -> OfSeries:
    """Convert once what all images of a series share.

    Args:
        v: The header's values.
        syntax: Transfer syntax UID, may be empty.
        media_class: SOP class of the file meta information, for data sets without their own.
    """
    rows, columns = v.integer("Rows"), v.integer("Columns")
    bits = v.integer("BitsAllocated") or 0
    samples = v.integer("SamplesPerPixel") or 1
    photometric = clean_text(v.text("PhotometricInterpretation"), 16).upper()
    days = (
        parse_date(v.text(k)) for k in ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")
    )
    # What the images of one study (or series) share, for files without UIDs.
    study_seed = "|".join(v.text(k) for k in ("PatientID", "StudyDate", "StudyTime"))
    frame = v.text("FrameOfReferenceUID")
    series_seed = "|".join(
        [study_seed, frame]
        + [v.text(k) for k in ("Modality", "SeriesNumber", "SeriesTime", "SeriesDescription")]
    )
    study, made_study = clean_uid(v.text("StudyInstanceUID"), study_seed)
    series, made_series = clean_uid(v.text("SeriesInstanceUID"), series_seed)
    spacing = v.numbers("PixelSpacing", 2)
    agent = v.text("ContrastBolusAgent").strip().upper()
    birth, sex = v.text("PatientBirthDate").strip(), v.text("PatientSex").strip()
    slope, intercept = v.number("RescaleSlope"), v.number("RescaleIntercept")
    fields: dict[str, Any] = {
        "patient_id": v.text("PatientID").strip(),
        "issuer": v.text("IssuerOfPatientID").strip(),
        "person": (birth, sex),
        "person_key": person_key(v.text("PatientName"), birth, sex),
        "study_uid": study,
        "series_uid": series,
        "made_up_uids": made_study or made_series,
        "sop_class": v.text("SOPClassUID") or media_class,
        "modality": clean_text(v.text("Modality"), 16).upper(),
        "image_type": tuple(clean_text(t, 32).upper() for t in v.many("ImageType")),
        "description": clean_text(v.text("SeriesDescription")),
        "date": next((day for day in days if day is not None), None),
        "study_time": re.sub(r"[^0-9]", "", v.text("StudyTime").split(".")[0])[:6],
        "rows": rows,
        "columns": columns,
        "frames": v.integer("NumberOfFrames") or 1,
        "plain": (
            samples == 1
            and bits in (8, 16, 32, 64)
            and photometric in ("MONOCHROME2", "MONOCHROME1")
            and rows is not None
            and columns is not None
            and 1 < rows <= MAX_SIDE
            and 1 < columns <= MAX_SIDE
        ),
        "spacing_yx_mm": None if spacing is None or min(spacing) <= 0 else spacing,
        "orientation": v.numbers("ImageOrientationPatient", 6),
        "thickness_mm": v.positive("SliceThickness"),
        "tilt_deg": v.number("GantryDetectorTilt"),
        "kvp": v.positive("KVP"),
        "kernel": clean_text("/".join(v.many("ConvolutionKernel"))) or None,
        "contrast": agent not in ("", "NONE", "NO", "N", "0", "UNKNOWN"),
        "manufacturer": clean_text(v.text("Manufacturer")) or None,
        "model": clean_text(v.text("ManufacturerModelName")) or None,
        "patient_position": clean_text(v.text("PatientPosition"), 16) or None,
        "body_part": clean_text(v.text("BodyPartExamined")) or None,
        "has_rescale": intercept is not None
        and slope not in (None, 0.0)
        and not v.has("ModalityLUTSequence"),
        "rescale_type": v.text("RescaleType").strip().upper(),
        "lossy": v.text("LossyImageCompression") == "01" or syntax in _LOSSY,
        "slope": slope,
        "intercept": intercept,
        "conversion": v.text("ConversionType").strip().upper(),
        # A malformed one would join what has nothing in common, so it counts as absent.
        "frame_of_reference": "" if clean_uid(frame, "")[1] else frame,
    }
    stored = None
    if rows is not None and columns is not None and bits:
        signed = bool(v.integer("PixelRepresentation"))
        stored = StoredPixels(
            syntax=syntax,
            element_offset=0,
            rows=rows,
            columns=columns,
            frames=fields["frames"],
            bits_allocated=bits,
            bits_stored=v.integer("BitsStored") or bits,
            signed=signed,
            samples=samples,
            photometric=photometric,
            padding=_padding(v, bits, signed),
            high_bit=v.integer("HighBit"),
            float_padding=_float_padding(v),
        )
    keys = ("ConvolutionKernel", "KVP", "TemporalPositionIdentifier", *_PHASES)
    return OfSeries(fields, stored, tuple(v.text(k) for k in keys))


def _padding(v: Values, bits: int, signed: bool) -> tuple[int, int] | None:
    """Padding value and range limit in the pixels' own type: writers store -2000 as 63536."""
    values = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        raw = v.integer(keyword)
        if raw is not None:
            number = raw % (1 << bits)
            wraps = signed and number >= 1 << (bits - 1)
            values.append(number - (1 << bits) if wraps else number)
        elif not values:
            return None
    return min(values), max(values)


def _float_padding(v: Values) -> tuple[float, float] | None:
    """Padding value and range limit of pixels that are floating point numbers."""
    for kind in ("Float", "DoubleFloat"):
        value = v.number(f"{kind}PixelPaddingValue")
        if value is not None:
            limit = v.number(f"{kind}PixelPaddingRangeLimit")
            other = value if limit is None else limit
            return min(value, other), max(value, other)
    return None
