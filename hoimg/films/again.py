"""A film as an earlier run left it, with what a reader redrew since, measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused
from hoimg.film_regions import PlacedRegion
from hoimg.film_shapes import FilmOutline
from hoimg.films.analysis import (
    EDITED,
    LOOKS_INVERTED,
    FilmAnalysis,
    KeptOutline,
    kept_of,
    observation_of,
    own_exposure,
)
from hoimg.image import Radiograph
from hoimg.outlines import GIVEN, covered_of, fingerprints, redrawn
from hoimg.results import Exam as Reported
from hoimg.results import Observation, Outline

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.outlines import Redrawn
    from hoimg.report.saved import SavedReport
    from hoimg.settings import Settings

OF_THE_OLD_SHAPE = frozenset({"touches_fov", "overlaps_cortex", "region_too_tight"})
"""Flags of outlining that a new outline makes untrue."""


def remeasure_film(exam: Exam, saved: SavedReport) -> tuple[FilmAnalysis, Redrawn]:
    """Measure one film of an existing report again, by its label map.

    What is as it was written is measured by its pixels and what the report keeps of its outline;
    what a reader redrew, as it was drawn. Where nothing was outlined and nothing drawn since, the
    reason stays.

    Args:
        exam: A film from :func:`hoimg.dicom.again.read_again`.
        saved: The report that it is an exam of.

    Returns:
        The film, and what was redrawn.

    Raises:
        InputRefused: its pixels cannot be read, or the label map has another size.
        UsageError: an earlier version of hoimg wrote the report.
    """
    from hoimg.dicom import load_radiograph
    from hoimg.dicom.film_checks import check_film, exposure_gap

    assert exam.film is not None
    film = load_radiograph(exam.film)
    reported = saved.exam(exam.exam_id)
    labels, asked = saved.film_labels(exam.exam_id), saved.film_regions(exam.exam_id)
    if labels.shape != film.pixels.shape:
        raise InputRefused(
            f"{exam.exam_id}: the film has another size than the report's label map; give the "
            "files that the report was made from",
            "labelmap_other_grid",
        )
    # One that others cover wholly has no pixel in the map: it is as it was.
    written = [o for o in reported.outlines if o.sha256]
    changed = redrawn(
        written, [Outline(label=k, sha256=v) for k, v in fingerprints(labels).items()]
    )
    before = {o.label: o for o in reported.outlines}
    told = _told_before(saved, exam.exam_id)
    ties = ties_of(saved, exam.exam_id)
    shown = list(check_film(film))
    inverted = any(f.code == "polarity_doubtful" for f in shown)
    gap = exposure_gap(film) if any(f.code == "two_exposures" for f in shown) else None
    regions: list[PlacedRegion] = []
    observations: dict[int, Observation] = {}
    kept: dict[int, KeptOutline] = {}
    drawn = [int(v) for v in np.unique(labels) if v]
    for label in sorted({*told, *drawn} - set(changed.removed)):
        inside = labels == label
        region = asked == label
        regions.append(PlacedRegion(label, region if region.any() else inside, ties.get(label), ()))
        if label not in before and label not in changed.drawn:
            observations[label] = told[label]
            continue
        own = None if inverted else own_exposure(film, inside if inside.any() else region, gap)
        if label in changed.drawn:
            flags = _flags(before.get(label), reported)
            outline = _redrawn(own, inside, saved.settings)
        else:
            covered = covered_of(before[label], labels.shape)
            # What lay over it may have been taken away.
            labels = np.where(covered & (labels == 0), np.uint16(label), labels)
            flags, outline = (), _as_it_was(before[label], inside | covered)
        measured = _measured(exam, own, label, outline, flags, saved.settings)
        if measured is None:
            why = LOOKS_INVERTED if inverted else outline.reason or "region_across_exposures"
            observations[label] = Observation(
                exam_id=exam.exam_id,
                status="not_measurable",
                region_label=label,
                spacing_source=film.spacing_source,
                flags=[why, *flags],
            )
            labels = np.where(inside, np.uint16(0), labels)
            continue
        observations[label], outline = measured
        assert outline.inside_yx is not None
        hidden = outline.inside_yx & (labels != label)
        kept[label] = kept_of(outline, hidden, flags)
    analysis = FilmAnalysis(
        exam, film, tuple(regions), labels, observations, tuple(reported.findings), kept
    )
    return analysis, changed


def _measured(
    exam: Exam,
    film: Radiograph | None,
    label: int,
    outline: FilmOutline,
    flags: tuple[str, ...],
    settings: Settings,
) -> tuple[Observation, FilmOutline] | None:
    """The lesion's numbers, and the outline with its excess; None where there can be none."""
    from hoimg.measure.film import measure_on_film

    if film is None or outline.inside_yx is None:
        return None
    made = measure_on_film(film, outline, settings.film)
    outline = replace(outline, excess=made.excess)
    return observation_of(exam, label, outline, made, flags), outline


def _as_it_was(before: Outline, inside: NDArray[np.bool_]) -> FilmOutline:
    facts = before.on_film
    assert facts is not None
    return FilmOutline(
        inside,
        inside,
        None,
        facts.contrast_to_noise,
        None,
        tuple(before.flags),
        facts.edge_cost,
        facts.area_span,
        facts.length_span,
        facts.excess,
    )


def _redrawn(film: Radiograph | None, inside: NDArray[np.bool_], settings: Settings) -> FilmOutline:
    """A reader's outline."""
    from hoimg.segment.film_given import outline_given

    if film is None:
        return FilmOutline(inside, None, None, None, None)
    return outline_given(film, inside, settings.film)


def _flags(before: Outline | None, film: Reported) -> tuple[str, ...]:
    """What is said of a redrawn or new outline, and of its film."""
    if before is not None:
        flags = tuple(f for f in before.flags if f not in OF_THE_OLD_SHAPE)
        return flags if EDITED in flags or GIVEN in flags else (*flags, EDITED)
    doubtful = any(f.code == "polarity_doubtful" for f in film.findings)
    burned = film.film is not None and film.film.burned_in
    return (
        *(["polarity_doubtful"] if doubtful else []),
        *(["burned_in_text"] if burned else []),
        GIVEN,
    )


def _told_before(saved: SavedReport, exam_id: str) -> Mapping[int, Observation]:
    """The film's observations by the label of their region."""
    return {
        seen.region_label: seen
        for lesion in saved.report.lesions
        for seen in lesion.observations
        if seen.exam_id == exam_id and seen.region_label is not None
    }


def ties_of(saved: SavedReport, exam_id: str) -> Mapping[int, str]:
    """What ties each region of a film to its lesion, by label.

    Args:
        saved: The report.
        exam_id: The film.
    """
    return {
        seen.region_label: f"uid:{lesion.tracking_uid}"
        for lesion in saved.report.lesions
        for seen in lesion.observations
        if seen.exam_id == exam_id and seen.region_label is not None
    }
