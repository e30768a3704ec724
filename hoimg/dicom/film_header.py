"""Films of one file: the tags of a projection image, read in a second look at its header.

The first look (:mod:`hoimg.dicom.header`) serves thousands of CT slices and leaves these tags out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.dicom.film import FilmInfo, Intent
from hoimg.dicom.film_exposure import exposure_of
from hoimg.dicom.film_spacing import Numbers, SpacingTags, film_spacing
from hoimg.dicom.film_values import DamagedLut, modality_of, presentation_of, voi_of
from hoimg.dicom.film_view import film_side, film_view
from hoimg.dicom.findings import finding
from hoimg.dicom.header import Header, clean_text
from hoimg.dicom.kinds import is_digitised_film
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.dicom.values import DatasetSource, Values
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

if TYPE_CHECKING:
    from pydicom import Dataset

# fmt: off
_TAGS = [
    "SpecificCharacterSet", "SOPClassUID", "Rows", "Columns", "BitsStored",
    "PixelRepresentation", "PhotometricInterpretation", "PresentationIntentType", "ViewPosition",
    "ViewCodeSequence", "PatientOrientation", "ImageLaterality", "FrameLaterality", "Laterality",
    "BodyPartExamined", "AnatomicRegionSequence", "KVP", "DistanceSourceToDetector",
    "DistanceSourceToPatient", "EstimatedRadiographicMagnificationFactor", "PixelSpacing",
    "PixelSpacingCalibrationType",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio", "BurnedInAnnotation",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
    "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape", "PresentationLUTSequence",
    "PixelIntensityRelationship", "PixelIntensityRelationshipSign",
    "IrradiationEventUID", "SourceImageSequence", "AcquisitionDateTime", "AcquisitionDate",
    "AcquisitionTime", "AcquisitionNumber",
    "CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge",
    "CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge",
    "ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge",
]
# fmt: on
FILMS = ("CR", "DX", "RG")
"""Modalities that are read. RF, XA, MG and PX are listed only: other geometry, other questions."""
MAX_SIDE = 16384
"""Rows or columns above this are a damaged header; a stitched leg at 0.1 mm has 13000."""
MAX_FRAMES = 32
"""A file with more frames is a sequence in time, not a set of exposures."""
_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"


def read_films(header: Header, settings: IntakeSettings) -> tuple[FilmInfo, ...]:
    """The films in one file, one for each frame; none for a modality that is only listed.

    Args:
        header: Of a file that :func:`hoimg.dicom.groups.kind_of` calls a radiograph.
        settings: The limits.
    """
    if header.stored is None or not (header.modality in FILMS or is_digitised_film(header)):
        return ()
    broken: list[Finding] = []
    try:
        dataset = film_dataset(header.path)
    except Exception:  # a parser fed with garbage raises anything; the film is refused by name
        from pydicom import Dataset

        dataset = Dataset()
        broken.append(finding("bad_film", "The header cannot be read."))
    broken += _why_unreadable(header)
    with quiet_pydicom():
        first = _film(header, dataset, broken, settings)
    count = 1 if broken else header.frames
    return tuple(_with_frame(first, k) for k in range(count))


def film_dataset(file: Path) -> Dataset:
    """The elements of a film that this package looks at, without pixels.

    Raises:
        Exception: whatever pydicom raises on a damaged file.
    """
    from pydicom import dcmread

    with quiet_pydicom():
        return dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)


def film_findings(films: Sequence[FilmInfo]) -> list[Finding]:
    """The films' findings for their series: each code once, with the number of films."""
    kept: dict[str, list[str]] = {}
    for film in films:
        for note in film.findings:
            kept.setdefault(note.code, []).append(note.message)
    found = []
    for code, messages in kept.items():
        # One film may carry a code twice (two spacings refused); each text is said once.
        texts = " ".join(dict.fromkeys(messages))
        hit = sum(any(n.code == code for n in f.findings) for f in films)
        found.append(finding(code, f"{hit} of {len(films)} film(s): {texts}"))
    return found


def _with_frame(film: FilmInfo, frame: int) -> FilmInfo:
    from dataclasses import replace

    return film if frame == 0 else replace(film, frame=frame)


def _why_unreadable(header: Header) -> list[Finding]:
    """What keeps a film from being read at all."""
    stored = header.stored
    assert stored is not None
    found = []
    if not (
        stored.samples == 1
        and stored.photometric in ("MONOCHROME1", "MONOCHROME2")
        and stored.bits_allocated in (8, 16)
        and 1 <= stored.bits_stored <= stored.bits_allocated
    ):
        found.append(finding("bad_film", "It is no grey-scale image of up to 16 bits."))
    elif not (1 < stored.rows <= MAX_SIDE and 1 < stored.columns <= MAX_SIDE):
        found.append(finding("bad_film", f"{stored.rows}x{stored.columns} pixels are no film."))
    elif not 1 <= stored.frames <= MAX_FRAMES:
        found.append(finding("bad_film", f"{stored.frames} frames are no set of exposures."))
    if header.truncated:
        found.append(finding("truncated_files", "The file is cut off."))
    return found


def _film(
    header: Header, dataset: Dataset, found: Sequence[Finding], settings: IntakeSettings
) -> FilmInfo:
    stored = header.stored
    assert stored is not None
    values = Values(DatasetSource(dataset))
    notes = list(found)
    intent = _intent(values, header.sop_class)
    if intent == "FOR PRESENTATION":
        notes.append(finding("film_processed", "Its grey values were processed for the eye."))
    elif intent == "FOR PROCESSING":
        notes.append(finding("film_raw", "It holds the detector's values, not processed."))
    mirrored, source, doubts = polarity(dataset, intent)
    view = film_view(
        values.text("ViewPosition"),
        _code(dataset, "ViewCodeSequence"),
        values.many("PatientOrientation"),
    )
    image_side = values.text("ImageLaterality") or values.text("FrameLaterality")
    side, side_reason, side_notes = film_side(image_side, values.text("Laterality"))
    tags = SpacingTags(
        pixel=_numbers(dataset, "PixelSpacing"),
        calibration=values.text("PixelSpacingCalibrationType").strip().upper(),
        imager=_numbers(dataset, "ImagerPixelSpacing"),
        scanned=_numbers(dataset, "NominalScannedPixelSpacing"),
        aspect=_numbers(dataset, "PixelAspectRatio"),
        ermf=values.number("EstimatedRadiographicMagnificationFactor"),
        sid_mm=values.positive("DistanceSourceToDetector"),
        sod_mm=values.positive("DistanceSourceToPatient"),
    )
    spacing = film_spacing(tags, (stored.rows, stored.columns), settings)
    notes += [*doubts, *view.findings, *side_notes, *spacing.findings]
    burned = {"YES": True, "NO": False}.get(values.text("BurnedInAnnotation").strip().upper())
    if burned:
        notes.append(finding("burned_in_text", "Text is burned into the pixels."))
    if header.lossy:
        notes.append(finding("lossy_compression", "The image was compressed with loss."))
    shape = (stored.rows, stored.columns)
    return FilmInfo(
        file=header.path,
        frame=0,
        modality=header.modality,
        digitised=is_digitised_film(header),
        rows=stored.rows,
        columns=stored.columns,
        photometric=stored.photometric,
        bits=stored.bits_stored,
        stored=stored,
        intent=intent,
        view=view.view,
        plane=view.plane,
        view_reason=view.reason,
        side=side,
        side_reason=side_reason,
        # A DX need not state the one where it states the other.
        body_part=header.body_part or (_code(dataset, "AnatomicRegionSequence") or ("", None))[1],
        kvp=header.kvp,
        sid_mm=tags.sid_mm,
        sod_mm=tags.sod_mm,
        ermf=tags.ermf,
        magnification=spacing.magnification,
        spacing_yx_mm=spacing.spacing_yx_mm,
        spacing_source=spacing.source,
        mirrored=mirrored,
        polarity_source=source,
        intensity=clean_text(values.text("PixelIntensityRelationship"), 16).upper() or None,
        burned_in=burned,
        lossy=header.lossy,
        sop_uid=header.sop_uid,
        field_yx=_field(values, shape),
        exposure=exposure_of(dataset),
        findings=tuple(notes),
    )


def polarity(dataset: Dataset, intent: Intent | None) -> tuple[bool, str, list[Finding]]:
    """Whether larger modality values are *less* attenuating, the tag that says so, and doubts.

    On a film for the eye, what is shown white attenuates: PresentationLUTSequence, else
    PresentationLUTShape, else PhotometricInterpretation decide, and a falling VOI LUT turns them
    round. On a film FOR PROCESSING nothing is meant to be shown, and
    PixelIntensityRelationshipSign (PS3.3 C.8.11.3.1.2: 1 when lower stored values mean less
    intensity, so more attenuation) decides where it is stated. Tags that contradict each other are
    a doubt; nothing is decided by the pixels.
    """
    try:
        modality, voi, shown = modality_of(dataset), voi_of(dataset), presentation_of(dataset)
    except DamagedLut as error:
        said = f"A look-up table is damaged ({error})."
        return False, "nothing", [finding("bad_film", said)]
    eye = shown.direction * voi.direction
    sign = Values(DatasetSource(dataset)).number("PixelIntensityRelationshipSign")
    beam = None if sign not in (1.0, -1.0) else int(-sign) * modality.direction
    if intent == "FOR PROCESSING" and beam is not None:
        return beam < 0, "PixelIntensityRelationshipSign", []
    doubts = []
    if shown.contradicted:
        said = "PresentationLUTShape contradicts PhotometricInterpretation."
        doubts.append(finding("polarity_doubtful", said))
    if beam is not None and beam != eye:
        said = f"PixelIntensityRelationshipSign contradicts {shown.source}."
        doubts.append(finding("polarity_doubtful", said))
    return eye < 0, shown.source, doubts


def _intent(values: Values, sop_class: str) -> Intent | None:
    stated = values.text("PresentationIntentType").strip().upper()
    if stated == "FOR PRESENTATION" or (not stated and sop_class == _FOR_PRESENTATION):
        return "FOR PRESENTATION"
    if stated == "FOR PROCESSING" or (not stated and sop_class == _FOR_PROCESSING):
        return "FOR PROCESSING"
    return None


def _code(dataset: Dataset, name: str) -> tuple[str, str] | None:
    """Value and meaning of a coded element."""
    try:
        item = dataset[name].value[0]
        return str(item.get("CodeValue", "")), clean_text(str(item.get("CodeMeaning", "")))
    except Exception:  # absent, empty or damaged: not stated
        return None


def _numbers(dataset: Dataset, name: str) -> Numbers:
    """Numbers as they are, NaN for an element that is none; empty when nothing is stated."""
    try:
        value = dataset.get(name)
        if value is None or value == "":
            return ()
        return tuple(float(v) for v in (value if hasattr(value, "__iter__") else (value,)))
    except Exception:  # a damaged element: any conversion may fail; it is stated and unreadable
        return (float("nan"),)


def _field(values: Values, shape_yx: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """What rectangular collimator and shutter leave; edges count from 1 and belong to the field."""
    rows, columns = shape_yx
    top, bottom, left, right = 0, rows, 0, columns
    for name in ("Collimator", "Shutter"):
        if "RECTANGULAR" not in values.text(f"{name}Shape").upper():
            continue
        edges = [
            values.integer(f"{name}{edge}")
            for edge in (
                *("UpperHorizontalEdge", "LowerHorizontalEdge"),
                *("LeftVerticalEdge", "RightVerticalEdge"),
            )
        ]
        if None in edges:
            continue
        upper, lower, first, last = (e or 0 for e in edges)
        if lower <= upper or last <= first:  # zeros and the like say nothing
            continue
        top, bottom = max(top, upper - 1), min(bottom, lower)
        left, right = max(left, first - 1), min(right, last)
    if top >= bottom or left >= right or (top, bottom, left, right) == (0, rows, 0, columns):
        return None
    return top, bottom, left, right
