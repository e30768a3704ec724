"""Run hoimg on cases and score it; two cases at a time, a broken one does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import hoimg
from hoimg.errors import HoimgError, InputRefused
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, read_mask, resample_mask
from hoimg.settings import Settings
from hoimg.validate.cases import TruthCase, read_case
from hoimg.validate.pictures import Scene, scenes_of
from hoimg.validate.score import score_exam
from hoimg.validate.summary import confusion, false_groups, standard_groups, summarize
from hoimg.validate.types import CaseScore, ExamScore, LabelPair, Validation

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from hoimg.dicom import Exam, Patient
    from hoimg.results import Excluded, Lesion
    from hoimg.segment import ExcludedRegion

Guided = Literal["none", "seed", "skeleton"]
Step = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How the cases are run.

    Attributes:
        guidance: ``none``: whole patients, labels included. ``seed``: one point in each true
            lesion, the voxel next to its centroid. ``skeleton``: the mask that ``case.json``
            names for an exam; cases without one are skipped.
        settings: None for the defaults.
        jobs: Processes; 1 runs in this one.
        pictures: Whether to draw the worst results.
    """

    guidance: Guided = "none"
    settings: Settings = field(default_factory=Settings)
    jobs: int = 2
    pictures: bool = True


@dataclass(frozen=True, eq=False)
class _Result:
    """What hoimg gave for one exam."""

    volume: CTVolume
    called: Mask
    volumes_mm3: dict[int, float | None]
    excluded: Mask
    reasons: dict[int, str]
    seconds: float


def validate_cases(
    folders: Sequence[Path],
    options: Options | None = None,
    *,
    names: Sequence[str] | None = None,
    on_step: Step | None = None,
) -> tuple[Validation, list[Scene]]:
    """Run and score cases.

    Args:
        folders: Folders with ``case.json`` (see :func:`hoimg.validate.find_cases`).
        options: None for the defaults.
        names: Names of the cases; None: the folders' names.
        on_step: Called with a case's name when its score has come in.

    Returns:
        Scores and tables, and the scenes drawn of the worst results.
    """
    options = options or Options()
    say = on_step or (lambda _words: None)
    names = [folder.name for folder in folders] if names is None else names
    scores: dict[int, CaseScore] = {}
    scenes: list[Scene] = []
    for number, score, drawn in _each(list(zip(folders, names, strict=True)), options):
        say(score.case)
        scores[number] = score
        scenes += drawn
    cases = tuple(scores[number] for number in sorted(scores))
    return tabulate(cases, options), scenes


def tabulate(cases: Sequence[CaseScore], options: Options) -> Validation:
    """Tables of scored cases."""
    exams = [exam for case in cases for exam in case.exams]
    lesions = [one for exam in exams for one in exam.lesions]
    return Validation(
        software=f"hoimg {hoimg.__version__}",
        settings_sha256=options.settings.sha256,
        guidance=options.guidance,
        cases=tuple(cases),
        groups=tuple(summarize(name, group) for name, group in standard_groups(lesions)),
        false_groups=tuple(false_groups(exams)) if exams else (),
        confusion=confusion(cases),
    )


def score_case(folder: Path, name: str, options: Options) -> tuple[CaseScore, list[Scene]]:
    """Run and score one case; any failure becomes its score's ``failed``."""
    try:
        return _score_case(folder, name, options)
    except HoimgError as error:
        reason = str(error)
    except Exception as error:  # a case that breaks the program is a result, not an end
        reason = f"{type(error).__name__}: {error}"
    # The reason goes into files that are passed on: without where the case lies.
    reason = " ".join(
        reason.replace(str(folder.resolve()), name).replace(str(folder), name).split()
    )
    return CaseScore(case=name, failed=reason), []


def _score_case(folder: Path, name: str, options: Options) -> tuple[CaseScore, list[Scene]]:
    case = read_case(folder)
    if options.guidance == "skeleton" and any(exam.skeleton is None for exam in case.exams):
        return CaseScore(case=name, skipped="case.json names no skeleton"), []
    if options.guidance == "seed" and not case.lesions:
        return CaseScore(case=name, skipped="no lesion to point at"), []
    exams: list[ExamScore] = []
    scenes: list[Scene] = []
    labels: tuple[LabelPair, ...] = ()
    if options.guidance == "none":
        results, lesions, exam_ids = _whole(folder, case, options)
    else:
        results = [_guided(folder, case, index, options) for index in range(len(case.exams))]
    for index, result in enumerate(results):
        if result is None:
            continue
        truth = truth_of(folder, case, index, result.called.grid)
        seen = case.in_exam(index)
        score = score_exam(
            truth,
            result.called,
            seen,
            case=name,
            exam=index,
            family=case.family,
            volumes_mm3=result.volumes_mm3,
            excluded=result.excluded,
            reasons=result.reasons,
            seconds=round(result.seconds, 1),
        )
        exams.append(score)
        if options.pictures:
            numbers = {lesion.id: one.label for lesion, one in seen}
            scenes += scenes_of(result.volume, truth, result.called, score, numbers)
    if options.guidance == "none":
        labels = tuple(_labels(name, case, exams, lesions, exam_ids))
    missing = len(case.exams) - len(exams)
    failed = None if missing == 0 else f"{missing} of {len(case.exams)} exams could not be analysed"
    return CaseScore(case=name, exams=tuple(exams), labels=labels, failed=failed), scenes


def _whole(
    folder: Path, case: TruthCase, options: Options
) -> tuple[list[_Result | None], list[Lesion], list[str]]:
    """The patient as ``hoimg report`` analyses it: results, lesions and exam ids by exam."""
    from hoimg.dicom import read_patient
    from hoimg.pipeline import analyze_patient

    start = time.perf_counter()
    patient = read_patient([folder / exam.folder for exam in case.exams], options.settings)
    ids = [_exam_in(patient, folder / exam.folder).exam_id for exam in case.exams]
    found = analyze_patient(patient, options.settings)
    seconds = (time.perf_counter() - start) / len(ids)
    results: list[_Result | None] = []
    for exam_id in ids:
        images = found.images.get(exam_id)
        volumes = {
            seen.label: seen.volume_mm3
            for lesion in found.report.lesions
            for seen in lesion.observations
            if seen.exam_id == exam_id and seen.label is not None
        }
        if images is None:
            results.append(None)
            continue
        reasons = {e.label: _why(e) for e in found.report.excluded if e.exam_id == exam_id}
        results.append(
            _Result(images.volume, images.lesions, volumes, images.excluded, reasons, seconds)
        )
    return results, found.report.lesions, ids


def _guided(folder: Path, case: TruthCase, index: int, options: Options) -> _Result:
    """One exam with what a reader would give."""
    from hoimg.dicom import read_patient
    from hoimg.guidance import read_guidance
    from hoimg.pipeline import analyze_exam

    exam = case.exams[index]
    start = time.perf_counter()
    patient = read_patient([folder / exam.folder], options.settings)
    if options.guidance == "skeleton" and exam.skeleton is not None:
        guidance = read_guidance(skeleton=folder / exam.skeleton)
    else:
        guidance = read_guidance(seeds_lps_mm=_seeds(folder, case, index))
    made = analyze_exam(_exam_in(patient, folder / exam.folder), options.settings, guidance)
    volumes = {label: seen.volume_mm3 for label, seen in made.measurements.observations.items()}
    seconds = time.perf_counter() - start
    outcome = made.segmentation
    reasons = {region.label: _why(region) for region in outcome.excluded_regions}
    return _Result(made.volume, outcome.lesions, volumes, outcome.excluded, reasons, seconds)


def _why(item: Excluded | ExcludedRegion) -> str:
    """Reason and note of an excluded piece."""
    return f"{item.reason}: {item.note}" if item.note else item.reason


def _exam_in(patient: Patient, folder: Path) -> Exam:
    """The patient's CT whose files lie in a folder; films are not scored here."""
    home = folder.resolve()
    for exam in patient.scans:
        if any(Path(file).resolve().is_relative_to(home) for file in exam.series.files[:1]):
            return exam
    raise InputRefused(
        f"{folder}: no exam of the case was chosen from it; see 'hoimg info' for why",
        "exam_not_usable",
    )


def truth_of(folder: Path, case: TruthCase, index: int, grid: Grid) -> Mask:
    """The exam's true label map on its own grid."""
    name = case.exams[index].labelmap
    if name is None:
        return Mask(np.zeros(grid.size_zyx, np.uint16), grid)
    truth = read_mask(folder / name)
    # Header numbers are printed with few digits; a map of the same voxels is that map.
    if truth.grid.size_zyx == grid.size_zyx and truth.grid.same_as(grid, tolerance_mm=0.05):
        return Mask(truth.array, grid)
    return resample_mask(truth, grid)


def _seeds(folder: Path, case: TruthCase, index: int) -> list[tuple[float, float, float]]:
    """In each true lesion the voxel nearest to its centroid, LPS mm."""
    from hoimg.report.pictures import inner_voxel

    name = case.exams[index].labelmap
    if name is None:
        return []
    truth = read_mask(folder / name)
    whole = tuple(slice(0, n) for n in truth.grid.size_zyx)
    points = []
    for _, seen in case.in_exam(index):
        voxel = inner_voxel(truth.array, (whole[0], whole[1], whole[2]), seen.label)
        x, y, z = (float(v) for v in truth.grid.to_lps_mm(voxel))
        points.append((x, y, z))
    return points


def _labels(
    name: str,
    case: TruthCase,
    exams: Sequence[ExamScore],
    lesions: Sequence[Lesion],
    exam_ids: Sequence[str],
) -> Iterator[LabelPair]:
    """Expected and given maturity of every true lesion that has an expected one."""
    by_place = {
        (seen.exam_id, seen.label): lesion.maturity.label
        for lesion in lesions
        for seen in lesion.observations
        if seen.label is not None
    }
    scores = {(score.exam, one.lesion): one for score in exams for one in score.lesions}
    for lesion in case.lesions:
        seen = [o.exam for o in lesion.observations if o.merged_into is None]
        if lesion.label is None or not seen:
            continue
        score = scores.get((max(seen), lesion.id))
        given = "not_found"
        if score is not None and score.found and score.called is not None:
            given = by_place.get((exam_ids[max(seen)], score.called), "not_found")
        yield LabelPair(case=name, lesion=lesion.id, truth=lesion.label, called=given)


def _each(
    cases: Sequence[tuple[Path, str]], options: Options
) -> Iterator[tuple[int, CaseScore, list[Scene]]]:
    """Scores as they come in, with their case's number.

    Processes, since much of a case is Python that holds its lock. One that is killed (out of
    memory) takes its pool with it; the cases that were left are then done one by one, each in a
    process of its own, and the one that is killed again has failed.
    """
    if options.jobs <= 1 or len(cases) == 1:
        for number, (folder, name) in enumerate(cases):
            yield number, *score_case(folder, name, options)
        return
    from concurrent.futures import as_completed
    from concurrent.futures.process import BrokenProcessPool

    left = dict(enumerate(cases))
    with _pool(options.jobs) as pool:
        futures = {pool.submit(score_case, *left[n], options): n for n in left}
        for future in as_completed(futures):
            try:
                score, scenes = future.result()
            except BrokenProcessPool:
                continue
            del left[futures[future]]
            yield futures[future], score, scenes
    for number, (folder, name) in left.items():
        with _pool(1) as alone:
            try:
                score, scenes = alone.submit(score_case, folder, name, options).result()
            except BrokenProcessPool:
                score, scenes = CaseScore(case=name, failed="the process was killed"), []
        yield number, score, scenes


def _pool(jobs: int) -> ProcessPoolExecutor:
    """A pool of fresh processes: a fork of a process with ITK's threads may hang."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
