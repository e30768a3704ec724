"""A report folder read back: its numbers, settings, edits and the maps of each exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hoimg.anatomy import Anatomy, unpacked
from hoimg.edits import Edit, Edits, FilmEdit, read_edits
from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid
from hoimg.image import Mask, read_grid, read_mask
from hoimg.memory import sparse_filled
from hoimg.reading import confirmed_of, identity_of, said_of
from hoimg.report.files import sha256
from hoimg.report.writer import NOT_WRITTEN, written_files
from hoimg.results import Exam, Report
from hoimg.settings import Settings, read_settings


@dataclass(frozen=True)
class SavedReport:
    """A report as it lies in a folder. Its label maps are read exam by exam.

    Attributes:
        folder: Where it lies.
        report: Its numbers, and what was found in reading and measuring; whether its DICOM objects
            could be written is left to the next writing.
        settings: Every setting of the run that wrote it.
        edits: The reader's corrections of that run, each with what it did, and those made since.
        written: SHA-256 of every file as it was written, by its path in the folder.
    """

    folder: Path
    report: Report
    settings: Settings
    edits: Edits
    written: Mapping[str, str]

    @property
    def measured(self) -> tuple[Exam, ...]:
        """The CT exams that have a label map; the others could not be read."""
        return tuple(e for e in self.report.exams if e.labelmap is not None and e.film is None)

    @property
    def films(self) -> tuple[Exam, ...]:
        """The films that have a label map; the others could not be read."""
        return tuple(e for e in self.report.exams if e.labelmap is not None and e.film is not None)

    def exam(self, exam_id: str) -> Exam:
        """An exam by its name."""
        return next(exam for exam in self.report.exams if exam.exam_id == exam_id)

    def grid(self, exam_id: str) -> Grid:
        """The exam's own voxels, as its maps were written.

        Raises:
            UsageError: when the report does not hold what it takes to measure it again, or that
                was changed.
            InputRefused: when the file cannot be read.
        """
        return read_grid(self._written(exam_id, "anatomy"))

    def anatomy(self, exam_id: str) -> Anatomy:
        """Body, native skeleton and metal of an exam; the same errors."""
        return unpacked(read_mask(self._written(exam_id, "anatomy")))

    def excluded(self, exam_id: str) -> Mask:
        """Label map of what was left out, uint16; the same errors."""
        return _sparse(read_mask(self._written(exam_id, "excluded_labelmap")))

    def lesions(self, exam_id: str, grid: Grid) -> Mask:
        """Label map of the lesions, uint16, as it is now: a reader may have redrawn it.

        Args:
            exam_id: Its exam.
            grid: The exam's own voxels, as its other maps have them.

        Raises:
            InputRefused: when it cannot be read, or lies on other voxels than the exam's.
        """
        path = self.folder / (self.exam(exam_id).labelmap or "")
        found = read_mask(path)
        if not found.grid.same_as(grid):
            raise InputRefused(
                f"{path}: lies on other voxels than the exam; save it with the exam's own size, "
                "spacing and position, as it was written",
                "labelmap_other_grid",
            )
        return _sparse(found)

    def film_labels(self, exam_id: str) -> NDArray[np.uint16]:
        """Label map ``[y, x]`` of a film, as it is now: a reader may have redrawn it.

        Raises:
            InputRefused: when it cannot be read, or lies on other pixels than the film's.
        """
        exam = self.exam(exam_id)
        assert exam.film is not None
        path = self.folder / (exam.labelmap or "")
        found = read_mask(path)
        y, x = exam.film.spacing_yx_mm or (1.0, 1.0)
        if not found.grid.same_as(Grid((1, exam.film.rows, exam.film.columns), (1.0, y, x))):
            raise InputRefused(
                f"{path}: lies on other pixels than the film; save it with the film's own columns, "
                "rows and spacing, as it was written",
                "labelmap_other_grid",
            )
        return np.asarray(found.array[0], np.uint16)

    def film_regions(self, exam_id: str) -> NDArray[np.uint16]:
        """Label map ``[y, x]`` of the regions that were given on a film.

        Raises:
            UsageError: when it is missing or was changed, or an earlier version of hoimg, which
                kept none, wrote the report.
            InputRefused: when it cannot be read.
        """
        exam = self.exam(exam_id)
        assert exam.film is not None
        if exam.regions is not None:
            return np.asarray(read_mask(self._written(exam_id, "regions")).array[0], np.uint16)
        seen = [o for le in self.report.lesions for o in le.observations if o.exam_id == exam_id]
        if seen:
            raise UsageError(
                f"{self.folder}: an earlier version of hoimg wrote it, without the regions on "
                f"{exam_id}; make it again with hoimg report"
            )
        return np.zeros((exam.film.rows, exam.film.columns), np.uint16)

    def checked(self, name: str) -> Path:
        """A file of the report, by its path in the folder.

        Raises:
            UsageError: when it is missing or was changed since it was written.
        """
        path = self.folder / name
        if not path.is_file() or sha256(path) != self.written.get(name):
            raise UsageError(
                f"{path}: is missing, or was changed since the report was written; a redrawn "
                "label map has to be measured first, with hoimg measure"
            )
        return path

    def _written(self, exam_id: str, what: str) -> Path:
        """A file of an exam that must be as the run wrote it."""
        named = getattr(self.exam(exam_id), what)
        if named is None:
            raise UsageError(
                f"{self.folder}: an earlier version of hoimg wrote it, without the anatomy of "
                f"{exam_id}; make it again with hoimg report"
            )
        _check_written(self.folder, [named], self.written)
        return self.folder / str(named)


def _sparse(labels: Mask) -> Mask:
    """The same label map; what is empty takes no memory, since all exams' maps stay to the end."""
    array = labels.array
    return Mask(sparse_filled(array.shape, array.dtype, array), labels.grid)


def read_report(path: Path) -> Report:
    """Read ``report.json`` (or the one in a folder) and check it against the schema.

    Raises:
        UsageError: when there is none, or it is no report of this version.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file}: no report can be read there ({error.strerror}); "
            "name a folder that hoimg report has written"
        ) from error
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the file"
        raise UsageError(
            f"{file}: is no hoimg report that this version can read (first fault: {where}); "
            "make it again with hoimg report"
        ) from error


def read_saved(path: Path) -> SavedReport:
    """Read a whole report back, to measure it again.

    Args:
        path: Its folder, or the ``report.json`` in it.

    Raises:
        UsageError: when it is no whole report of this version, a file other than a label map of
            lesions or ``edits.json`` was changed since it was written, or that lacks a correction
            which is in the maps.
    """
    report = read_report(path)
    folder = path if path.is_dir() else path.parent
    written = written_files(folder)
    if not written:
        raise UsageError(
            f"{folder}: has no manifest.json that can be read, so the report is not whole; "
            "make it again with hoimg report"
        )
    _check_written(folder, ["report.json", "settings.toml"], written)
    settings = read_settings(folder / "settings.toml")
    edits = read_edits(folder / "edits.json")
    _check_none_taken_back(report, edits, folder)
    return SavedReport(folder, _unwritten(report), settings, edits, written)


def _check_none_taken_back(report: Report, edits: Edits, folder: Path) -> None:
    """Refuse when the label maps hold a correction that the file no longer tells.

    Raises:
        UsageError: then.
    """
    every: list[Edit | FilmEdit] = [*edits.edits, *edits.on_films]
    told = {identity_of(said_of(e, {})) for e in every if e.applied is not None}
    told |= {identity_of(confirmed_of(r)) for r in edits.regions if r.applied}
    for done in report.reader:
        if done.outcome not in (None, "no_effect", "noted") and identity_of(done) not in told:
            raise UsageError(
                f"{folder / 'edits.json'}: lacks a correction that the report's label maps hold "
                f"({done.action} in {done.exam_id}); to take it back make the report again: "
                f"hoimg report PATHS -o DIR --edits {folder / 'edits.json'}"
            )


def _unwritten(report: Report) -> Report:
    """A report without the findings that writing it added."""
    exams = [
        exam.model_copy(
            update={"findings": [f for f in exam.findings if not f.message.startswith(NOT_WRITTEN)]}
        )
        for exam in report.exams
    ]
    return report.model_copy(update={"exams": exams})


def _check_written(folder: Path, names: Sequence[str], written: Mapping[str, str]) -> None:
    """Refuse files that are not what the manifest says.

    Raises:
        UsageError: one is missing or was changed.
    """
    for name in names:
        file = folder / name
        if not file.is_file():
            raise UsageError(f"{file}: is missing; make the report again with hoimg report")
        if sha256(file) != written.get(name):
            raise UsageError(
                f"{file}: was changed since the report was written; only lesions.nii.gz may be "
                "redrawn, and edits.json added to. Put it back, or make the report again with "
                "hoimg report"
            )
