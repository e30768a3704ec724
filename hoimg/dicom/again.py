"""The series that a report was made from, found again by their UIDs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hoimg.dicom.choose import choose_series
from hoimg.dicom.film import FilmInfo
from hoimg.dicom.scan import Progress, scan
from hoimg.dicom.sources import Sources
from hoimg.dicom.types import Exam, Inventory, SeriesInfo
from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid
from hoimg.results import Exam as Reported
from hoimg.results import Film
from hoimg.settings import Settings

MADE = ("kvp", "kernel", "slice_thickness_mm", "contrast", "tube_current_ma")
"""What tells volumes of one series and one place apart: phases, reconstructions."""


def read_again(
    paths: Sequence[Path] | Sources,
    wanted: Sequence[Reported],
    grids: Mapping[str, Grid],
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> tuple[Exam, ...]:
    """Find the exams of a report among files.

    Args:
        paths: As :func:`hoimg.dicom.read_patient`; files of other series and patients may be there.
        wanted: The exams of the report. Names, days and how each was made are taken from it.
        grids: By ``exam_id`` of a CT: the exam's own voxels.
        settings: Those of the report.
        on_progress: Called with (files read, files to read).

    Returns:
        The exams in the order given, ready to have their pixels read.

    Raises:
        UsageError: a series is not there; the message names exam and series.
        InputRefused: a series is there and fails its checks now, or has other voxels.
    """
    roots = paths.roots if isinstance(paths, Sources) else tuple(paths)
    inventory = scan(paths, settings, on_progress=on_progress)
    return tuple(_exam(exam, grids.get(exam.exam_id), inventory, roots) for exam in wanted)


def _exam(exam: Reported, grid: Grid | None, inventory: Inventory, roots: Sequence[Path]) -> Exam:
    film = None
    if exam.film is not None:
        series, film = _film(exam, exam.film, inventory, roots)
    else:
        assert grid is not None
        series = _series(exam, grid, inventory, roots)
    return Exam(
        exam_id=exam.exam_id,
        modality=exam.modality,
        study_uid=exam.study_instance_uid,
        series=series,
        date=series.date,
        days_from_baseline=exam.days_from_baseline,
        acquisition=exam.acquisition,
        film=film,
    )


def _film(
    exam: Reported, wanted: Film, inventory: Inventory, roots: Sequence[Path]
) -> tuple[SeriesInfo, FilmInfo]:
    """The film and its series; by its SOP instance UID, else by what its header says."""
    found = [
        (s, f)
        for s in inventory.series
        for f in s.films
        if s.series_uid == exam.series_instance_uid
        and f.frame == wanted.frame
        and (f.sop_uid or None) == wanted.sop_instance_uid
    ]
    usable = [
        (s, f)
        for s, f in found
        if f.usable and (f.rows, f.columns) == (wanted.rows, wanted.columns)
    ]
    if usable:
        series, film = usable[0]
        # What named another image of the exposure still names this one.
        others = tuple(wanted.same_exposure)
        return series, replace(film, twins=others, left_out=others)
    where = _where(roots)
    named = wanted.sop_instance_uid or "none is stated"
    if not found:
        raise UsageError(
            f"{where}: the film {exam.exam_id} is not there (SOPInstanceUID {named}); give every "
            "folder that the report was made from, unaltered: pseudonymised copies have other UIDs"
        )
    codes = ", ".join(
        dict.fromkeys(n.code for _, f in found for n in f.findings if n.level == "error")
    )
    raise InputRefused(
        f"{where}: the film {exam.exam_id} cannot be measured any more "
        f"[{codes or 'another size'}]; give the files that the report was made from",
        codes.split(",")[0] or "labelmap_other_grid",
    )


def _series(exam: Reported, grid: Grid, inventory: Inventory, roots: Sequence[Path]) -> SeriesInfo:
    where = _where(roots)
    named = [s for s in inventory.series if s.series_uid == exam.series_instance_uid]
    if not named:
        raise UsageError(
            f"{where}: the series of exam {exam.exam_id} is not there "
            f"(SeriesInstanceUID {exam.series_instance_uid}); give every folder that the report "
            "was made from, unaltered: pseudonymised copies have other UIDs"
        )
    usable = [s for s in named if s.usable]
    if not usable:
        errors = [f for s in named for f in s.errors]
        codes = ", ".join(dict.fromkeys(f.code for f in errors)) or "no CT volume"
        raise InputRefused(
            f"{where}: the series of exam {exam.exam_id} cannot be measured any more [{codes}]; "
            "give the files that the report was made from, all of them",
            errors[0].code if errors else "not_a_volume",
        )
    fitting = [s for s in usable if s.grid is not None and s.grid.same_as(grid)]
    if not fitting:
        raise InputRefused(
            f"{where}: the series of exam {exam.exam_id} has other voxels than the report's label "
            "maps; give the files that the report was made from, all of them",
            "labelmap_other_grid",
        )
    # An agent that was seen in the image is named by no header.
    seen = any(f.code == "contrast_seen" for f in exam.findings)
    told = [m for m in MADE if not (seen and m == "contrast")]
    alike = [
        s
        for s in fitting
        if all(getattr(s.acquisition, m) == getattr(exam.acquisition, m) for m in told)
    ]
    return choose_series(alike or fitting)[0]


def _where(roots: Sequence[Path]) -> str:
    return ", ".join(str(r) for r in roots[:3]) + (" ..." if len(roots) > 3 else "")
