"""What reading gives: series, exams, one patient. Frozen values without pixels."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.geometry import Grid
from hoimg.results import Acquisition, Finding

if TYPE_CHECKING:
    from hoimg.dicom.film import FilmInfo


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """How one file stores its values; enough to read native pixels without parsing again.

    Attributes:
        syntax: Transfer syntax UID; empty when the file states none (then little endian).
        element_offset: Byte offset of the pixel data element in the file; 0 when it is not known
            (a deflated file).
        rows: Rows of one frame.
        columns: Columns of one frame.
        frames: Number of frames.
        bits_allocated: 8, 16 or 32; 64 for pixels that are double floats.
        bits_stored: Up to ``bits_allocated``.
        signed: Whether stored values are two's complement.
        samples: Samples per pixel.
        photometric: ``MONOCHROME1``, ``MONOCHROME2`` or another.
        padding: PixelPaddingValue and PixelPaddingRangeLimit as integers of the pixels' own type,
            lower first; None without padding.
        high_bit: HighBit; None when not stated (then ``bits_stored - 1``).
        float_padding: Lowest and highest FloatPixelPaddingValue (or its double), for pixels that
            are floating point numbers; None without padding.
    """

    syntax: str
    element_offset: int
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    samples: int
    photometric: str
    padding: tuple[int, int] | None = None
    high_bit: int | None = None
    float_padding: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SliceSource:
    """One slice of a volume: a frame of a file and its rescale to HU.

    Attributes:
        file: Where it lies.
        frame: Frame number from 0; 0 for a file with one image.
        slope: RescaleSlope.
        intercept: RescaleIntercept, HU.
        stored: How the file stores its values.
    """

    file: Path
    frame: int
    slope: float
    intercept: float
    stored: StoredPixels


@dataclass(frozen=True)
class Stack:
    """The slices of a volume in order along their normal, and how they fill the grid.

    Attributes:
        slices: Where each slice is stored.
        along_mm: Distance of each slice from the grid's first plane, along the grid's z axis, mm.
        shift_yx_mm: Place of each slice's first pixel beside the grid's z axis through voxel
            ``[0, 0, 0]``, along the grid's y and x axes, mm. Zero but for a tilted gantry.
        gaps_mm: Stretches of ``along_mm`` in which tissue was not imaged (a missing slice).
        regular: Whether slice k is plane k of the grid as it stands, so that nothing is resampled.
    """

    slices: tuple[SliceSource, ...]
    along_mm: tuple[float, ...]
    shift_yx_mm: tuple[tuple[float, float], ...]
    gaps_mm: tuple[tuple[float, float], ...] = ()
    regular: bool = True


@dataclass(frozen=True)
class SeriesInfo:
    """One group of images that belong together: a series, or the part of one with one geometry.

    Attributes:
        patient_key: Keyed hash of the PatientID; never the identity.
        study_uid: A valid StudyInstanceUID; where the file has none or a malformed one, a
            ``2.25`` UID derived from the file's content.
        series_uid: SeriesInstanceUID, in the same way.
        modality: As in the header, e.g. ``CT``.
        description: Series description, cleaned, at most 64 characters.
        date: Date of the study; None when no file states one.
        files: For a usable series in the order of the array's z axis (an enhanced CT is one
            file), else sorted by path.
        grid: Where the voxels lie; None when the images do not form a volume.
        acquisition: How the images were made.
        findings: Outcome of every check.
        usable: Whether this is a CT volume that can be measured.
        kind: ``volume``, ``localizer``, ``secondary_capture``, ``derived_image``,
            ``radiograph``, ``multiframe`` (unreadable layout), ``other_image``, ``label_map`` (a
            volume file that holds labels) or ``object`` (SEG, SR, dose report ...).
        original: Whether the header calls the images original and axial (not reformatted).
        study_time: Six digits as in the header, to order studies of one day; may be empty.
        bad_files: Files that are truncated or damaged.
        stack: The slices of a usable volume and their places; None otherwise, and for a volume
            file (NIfTI, NRRD), which is read as it stands.
        source: ``dicom``, or the format of a volume file: ``nifti``, ``nrrd``.
        frame_of_reference_uid: The patient space that positions are in; None when not stated.
        films: Of a series of radiographs: every film, by file and frame. They are read one by one
            (:func:`hoimg.dicom.load_radiograph`) and never make a volume.
    """

    patient_key: str
    study_uid: str
    series_uid: str
    modality: str
    description: str
    date: datetime.date | None
    files: tuple[Path, ...]
    grid: Grid | None
    acquisition: Acquisition
    findings: tuple[Finding, ...]
    usable: bool
    kind: str = "volume"
    original: bool = False
    study_time: str = ""
    bad_files: tuple[Path, ...] = ()
    stack: Stack | None = None
    source: str = "dicom"
    films: tuple[FilmInfo, ...] = ()
    frame_of_reference_uid: str | None = None

    @property
    def coverage_mm(self) -> float:
        """Distance from the first to the last slice, mm; 0 where there is no volume."""
        if self.grid is None:
            return 0.0
        return (self.grid.size_zyx[0] - 1) * self.grid.spacing_zyx_mm[0]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the series out."""
        return tuple(f for f in self.findings if f.level == "error")


@dataclass(frozen=True)
class Exam:
    """One study of a patient with the CT series chosen for analysis; or one film.

    Attributes:
        exam_id: E.g. ``day0090_ct_1a2b3c``: days from baseline, modality, hash of the study UID
            (of a film, of its SOPInstanceUID and frame).
        modality: ``CT``; of a film ``CR``, ``DX``, ``RG`` or that of its capture.
        study_uid: StudyInstanceUID.
        series: The chosen series; the film's own.
        date: Study date; None only for a single exam whose files state no date.
        days_from_baseline: Days since the patient's first usable exam.
        acquisition: Of the chosen series, with ``series_choice`` filled.
        findings: Of the chosen series, and about series of the study that were refused; of a film
            its own.
        film: The film; None for a CT.
    """

    exam_id: str
    modality: str
    study_uid: str
    series: SeriesInfo
    date: datetime.date | None
    days_from_baseline: int
    acquisition: Acquisition
    findings: tuple[Finding, ...] = ()
    film: FilmInfo | None = None


@dataclass(frozen=True)
class Patient:
    """One patient with the exams that can be analysed, in date order.

    Attributes:
        patient_key: Keyed hash of the PatientID.
        exams: At least one, by date, then study time.
        findings: About files, and about studies in which nothing was usable.
        unused: Every series that was not chosen, with its findings.
        baseline_date: Date of the first exam; None when it states none.
        scans: The exams that are CT.
        radiographs: The exams that are films.
    """

    patient_key: str
    exams: tuple[Exam, ...]
    findings: tuple[Finding, ...] = ()
    unused: tuple[SeriesInfo, ...] = ()

    @property
    def baseline_date(self) -> datetime.date | None:
        """Date of the first exam."""
        return self.exams[0].date if self.exams else None

    @property
    def scans(self) -> tuple[Exam, ...]:
        """The exams that are CT, in date order."""
        return tuple(e for e in self.exams if e.film is None)

    @property
    def radiographs(self) -> tuple[Exam, ...]:
        """The exams that are films, in date order."""
        return tuple(e for e in self.exams if e.film is not None)


@dataclass(frozen=True)
class Inventory:
    """Everything that a scan of files and folders found.

    Attributes:
        series: Every group of images, sorted by patient, date, study, series.
        findings: About the files as a whole.
        files_seen: Number of regular files looked at.
        files_skipped: Number of files that are no DICOM (or a DICOMDIR).
        unreadable: Files that are DICOM but damaged in the header.
        patient_findings: Patient key to what concerns the patient as a whole.
        patient_ids: Patient key to PatientID. For messages on the terminal only: never written.
        origins: Of files unpacked from an archive: which archive, for messages on the terminal.
    """

    series: tuple[SeriesInfo, ...]
    findings: tuple[Finding, ...] = ()
    files_seen: int = 0
    files_skipped: int = 0
    unreadable: tuple[Path, ...] = ()
    patient_findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    patient_ids: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[Path, str] = field(default_factory=dict, repr=False)

    @property
    def patient_keys(self) -> tuple[str, ...]:
        """Keys of all patients, sorted."""
        return tuple(sorted({s.patient_key for s in self.series}))
