"""One film read, its lesions outlined in the regions that a reader gave, and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.film_regions import PlacedRegion
from hoimg.image import Radiograph
from hoimg.outlines import GIVEN, fingerprints, runs_of
from hoimg.results import (
    Film,
    FilmImages,
    Finding,
    Observation,
    Outline,
    OutlineOnFilm,
    Suggestion,
)
from hoimg.settings import Settings

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.edits import FilmEdit
    from hoimg.film_shapes import FilmOutline
    from hoimg.measure.film import FilmMeasurement

NO_VOLUME = "film_gives_no_volume"
"""Flag of every measured lesion on a film: volume, HU and mass are null for this reason."""
LOOKS_INVERTED = "film_looks_inverted"
ACROSS = "region_across_exposures"
EDITED = "outline_edited"
NO_REGION = "no_region_given"


@dataclass(frozen=True)
class KeptOutline:
    """What a report keeps of an outline beside its pixels.

    Attributes:
        flags: Of region, film and outline; those of measuring come anew.
        facts: What its measures rest on.
    """

    flags: tuple[str, ...]
    facts: OutlineOnFilm


@dataclass(frozen=True, eq=False)
class FilmAnalysis:
    """One film after outlining and measuring.

    Attributes:
        exam: As read.
        film: Its pixels.
        regions: What the reader gave, on the film's pixels.
        labels_yx: Label map ``[y, x]``, uint16. Where shadows overlap, a pixel is of the lower
            label; areas are measured on each whole outline.
        observations: By label.
        findings: What the pixels showed, and that no region was given.
        kept: By label, what is known of each outline beside its pixels, and what is said of it.
        suggestions: Places for a reader to look at.
        decided: A reader's decisions about it, each with what it did.
    """

    exam: Exam
    film: Radiograph
    regions: tuple[PlacedRegion, ...]
    labels_yx: NDArray[np.uint16]
    observations: Mapping[int, Observation]
    findings: tuple[Finding, ...] = ()
    kept: Mapping[int, KeptOutline] = field(default_factory=dict)
    suggestions: tuple[Suggestion, ...] = ()
    decided: tuple[FilmEdit, ...] = ()

    @property
    def outlines(self) -> list[Outline]:
        """Every outline, by label: what it takes to measure it again."""
        seen = fingerprints(self.labels_yx)
        return [
            Outline(
                label=label,
                flags=list(self.kept[label].flags),
                sha256=seen.get(label, ""),
                on_film=self.kept[label].facts,
            )
            for label in sorted(self.kept)
        ]

    def by_reader(self, label: int) -> bool:
        """Whether a reader drew an outline, in place of one that was found or anew."""
        kept = self.kept.get(label)
        return kept is not None and not {EDITED, GIVEN}.isdisjoint(kept.flags)

    @property
    def images(self) -> FilmImages:
        """What the report draws and keeps."""
        given = np.zeros(self.film.pixels.shape, np.uint16)
        for region in reversed(self.regions):
            given[region.region_yx] = region.label
        source = None if self.exam.film is None else self.exam.film.file
        return FilmImages(self.exam.exam_id, self.film, self.labels_yx, given, source)


def analyze_film(
    exam: Exam, regions: Sequence[PlacedRegion], settings: Settings | None = None
) -> FilmAnalysis:
    """Read one film, outline the mineral in each region and measure it.

    A lesion is called only where a region was given. None is measured on a film whose pixels look
    inverted, nor in a region that reaches over two exposures of one plate: a number would be
    wrong. Of two exposures, each region sees its own.

    Args:
        exam: A film (``exam.film`` is not None).
        regions: Of this film, one per label.
        settings: None for the defaults.

    Raises:
        InputRefused: when the pixels cannot be read.
    """
    from hoimg.dicom import load_radiograph
    from hoimg.dicom.film_checks import check_film

    settings = settings or Settings()
    assert exam.film is not None
    film = load_radiograph(exam.film)
    found = list(check_film(film))
    if not regions:
        found.append(_no_region(exam))
    empty = np.zeros(film.pixels.shape, np.uint16)
    return with_regions(FilmAnalysis(exam, film, (), empty, {}, tuple(found)), regions, settings)


def with_regions(
    analysis: FilmAnalysis, regions: Sequence[PlacedRegion], settings: Settings
) -> FilmAnalysis:
    """The film with further regions outlined and measured.

    Args:
        analysis: Of the film.
        regions: With labels that it does not have.
        settings: All of them.
    """
    from hoimg.dicom.film_checks import exposure_gap

    exam, film = analysis.exam, analysis.film
    assert exam.film is not None
    inverted = any(f.code == "polarity_doubtful" for f in analysis.findings)
    doubtful = any(f.code == "polarity_doubtful" for f in exam.findings)
    gap = exposure_gap(film) if any(f.code == "two_exposures" for f in analysis.findings) else None
    labels = analysis.labels_yx.copy()
    observations, kept = dict(analysis.observations), dict(analysis.kept)
    for region in regions:
        own = own_exposure(film, region.region_yx, gap)
        flags = [*region.flags, *(["polarity_doubtful"] if doubtful else [])]
        if exam.film.burned_in:
            flags.append("burned_in_text")
        if inverted or own is None:
            why = LOOKS_INVERTED if inverted else ACROSS
            observations[region.label] = _unmeasured(exam, film, region, (why, *flags))
            continue
        seen, outline = _measured(exam, own, region, flags, settings)
        observations[region.label] = seen
        if outline.inside_yx is not None:
            covered = outline.inside_yx & (labels != 0)
            labels[outline.inside_yx & (labels == 0)] = region.label
            kept[region.label] = kept_of(outline, covered, flags)
    return replace(
        analysis,
        regions=(*analysis.regions, *regions),
        labels_yx=labels,
        observations=observations,
        kept=kept,
        findings=tuple(f for f in analysis.findings if not regions or f.code != NO_REGION),
    )


def film_of(exam: Exam) -> Film:
    """What a report says of a film's header."""
    film = exam.film
    assert film is not None
    return Film(
        sop_instance_uid=film.sop_uid or None,
        frame=film.frame,
        view=film.view,
        plane=film.plane,
        side=film.side,
        body_part=film.body_part,
        rows=film.rows,
        columns=film.columns,
        spacing_yx_mm=film.spacing_yx_mm,
        spacing_source=film.spacing_source,
        magnification=film.magnification,
        intent=film.intent,
        photometric=film.photometric,
        mirrored=film.mirrored,
        polarity_source=film.polarity_source,
        burned_in=film.burned_in,
        same_exposure=list(film.left_out),
    )


def own_exposure(
    film: Radiograph, region_yx: NDArray[np.bool_], gap: tuple[int, int, int] | None
) -> Radiograph | None:
    """The film with all but the region's own exposure made invalid; None where it is over both.

    Args:
        film: With one exposure or two.
        region_yx: A region, or an outline.
        gap: Of :func:`hoimg.dicom.film_checks.exposure_gap`; None for one exposure.
    """
    if gap is None:
        return film
    axis, first, last = gap
    lines = np.flatnonzero(region_yx.any(axis=1 - axis))
    valid = np.ones(film.pixels.shape, bool) if film.valid is None else film.valid.copy()
    turned = valid if axis == 0 else valid.T  # a view: writing to it writes to valid
    if lines[-1] < first:
        turned[first:] = False
    elif lines[0] > last:
        turned[: last + 1] = False
    else:
        return None
    return replace(film, valid=valid)


def _measured(
    exam: Exam, film: Radiograph, region: PlacedRegion, flags: Sequence[str], settings: Settings
) -> tuple[Observation, FilmOutline]:
    from hoimg.measure.film import measure_on_film
    from hoimg.segment.film_outline import outline_in_region

    outline = outline_in_region(film, region.region_yx, settings.film)
    if outline.inside_yx is None:
        why = outline.reason or "film_outline_failed"
        said = _unmeasured(exam, film, region, (why, *flags, *outline.flags))
        return said.model_copy(update={"contrast_to_noise": _finite(outline)}), outline
    made = measure_on_film(film, outline, settings.film)
    outline = replace(outline, excess=made.excess)
    return observation_of(exam, region.label, outline, made, flags), outline


def kept_of(
    outline: FilmOutline, covered_yx: NDArray[np.bool_], flags: Sequence[str]
) -> KeptOutline:
    """What is kept of an outline.

    Args:
        outline: As measured.
        covered_yx: The part of it that is of another label in the label map.
        flags: What else is said of it.
    """
    assert outline.excess is not None
    facts = OutlineOnFilm(
        contrast_to_noise=_finite(outline),
        excess=outline.excess,
        edge_cost=outline.edge_cost,
        area_span=outline.area_span,
        length_span=outline.length_span,
        covered=runs_of(covered_yx),
    )
    return KeptOutline(tuple(dict.fromkeys((*flags, *outline.flags))), facts)


def _finite(outline: FilmOutline) -> float | None:
    """Contrast to noise; null on a film without any noise."""
    ratio = outline.contrast_to_noise
    return ratio if ratio is not None and math.isfinite(ratio) else None


def observation_of(
    exam: Exam, label: int, outline: FilmOutline, made: FilmMeasurement, flags: Sequence[str]
) -> Observation:
    """The numbers of a lesion on a film as results.

    Args:
        exam: The film.
        label: Of lesion and region.
        outline: Of the lesion.
        made: Its measures.
        flags: What else is said of region and film.
    """
    told = tuple(dict.fromkeys((*flags, *outline.flags, *made.flags, NO_VOLUME)))
    return Observation(
        exam_id=exam.exam_id,
        status="measured",
        label=label,
        region_label=label,
        area_mm2=made.area_mm2,
        area_ci95_mm2=made.area_ci95_mm2,
        area_px2=made.area_px2,
        area_ci95_px2=made.area_ci95_px2,
        length_mm=made.length_mm,
        length_ci95_mm=made.length_ci95_mm,
        length_px=made.length_px,
        corticated_fraction=made.corticated_fraction,
        corticated_fraction_ci95=made.corticated_fraction_ci95,
        edge_ratio=made.edge_ratio,
        edge_ratio_ci95=made.edge_ratio_ci95,
        density_index=made.density_index,
        density_index_ci95=made.density_index_ci95,
        contrast_to_noise=_finite(outline),
        spacing_source=made.spacing_source,
        touches_fov="touches_fov" in told,
        flags=list(told),
    )


def _unmeasured(
    exam: Exam, film: Radiograph, region: PlacedRegion, flags: Sequence[str]
) -> Observation:
    return Observation(
        exam_id=exam.exam_id,
        status="not_measurable",
        region_label=region.label,
        spacing_source=film.spacing_source,
        flags=list(dict.fromkeys(flags)),
    )


def _no_region(exam: Exam) -> Finding:
    """That nothing was called for want of a region, and how to give one."""
    return Finding(
        code=NO_REGION,
        level="info",
        message="No region was given on this film, so that no lesion was called on it.",
        fix=f"Give one with --roi {exam.exam_id}:box:X0,Y0,X1,Y1 (pixels from the upper left "
        "corner), as polygon, label image, or DICOM SEG, SR or presentation state.",
    )
