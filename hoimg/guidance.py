"""What a reader gives beside the images: masks, a region, seeds; read from files, put in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.film_regions import FilmRegion
from hoimg.image import Mask
from hoimg.regions import Region, on_grid
from hoimg.results import Finding
from hoimg.settings import Settings

if TYPE_CHECKING:
    from hoimg.dicom.masks import GivenMask, Placed, Use
    from hoimg.geometry import Grid


@dataclass(frozen=True)
class Guidance:
    """What a reader gives for one CT, in that exam's patient space, and for films.

    Attributes:
        series_uid: The exam it speaks of; None when the patient has one CT (one film).
        roi: Only mineral inside is called, whatever it may be.
        regions: Boxes and spheres, which count like ``roi``; together they are one region.
        seeds_lps_mm: Points, LPS mm; only mineral within 5 mm of them is called.
        skeleton: The native skeleton, instead of finding it.
        mask: Lesions (one label each) to measure as they are, instead of segmenting.
        film_regions: Where to look on films, one label a lesion.
    """

    series_uid: str | None = None
    roi: Mask | GivenMask | None = None
    regions: tuple[Region, ...] = ()
    seeds_lps_mm: tuple[tuple[float, float, float], ...] = ()
    skeleton: Mask | GivenMask | None = None
    mask: Mask | GivenMask | None = None
    film_regions: tuple[FilmRegion, ...] = ()

    @property
    def given(self) -> bool:
        """Whether anything is given for a CT."""
        return bool(self.seeds_lps_mm or self.regions) or any(
            m is not None for m in (self.roi, self.skeleton, self.mask)
        )


@dataclass(frozen=True, eq=False)
class PlacedGuidance:
    """A reader's masks on the exam's own voxels.

    Attributes:
        roi: The region, bool.
        skeleton: The native skeleton, bool.
        mask: Lesions, one label each.
        lesion_flags: Label to what is to be said of that lesion's outline.
        tracking_uids: Label to the tracking UID that the file states for that lesion.
        findings: What was left out, assumed or changed.
    """

    roi: Mask | None = None
    skeleton: Mask | None = None
    mask: Mask | None = None
    lesion_flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    tracking_uids: Mapping[int, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def place_guidance(
    guidance: Guidance,
    grid: Grid,
    *,
    frame_of_reference_uid: str | None = None,
    settings: Settings | None = None,
) -> PlacedGuidance:
    """Put a reader's masks onto an exam's voxels.

    Args:
        guidance: What is given.
        grid: The exam's voxels.
        frame_of_reference_uid: The exam's patient space; None when its files state none.
        settings: None for the defaults.

    Raises:
        InputRefused: when a mask does not speak of this exam (see
            :func:`hoimg.dicom.masks.put_on`), or a box or sphere lies outside of it.
    """
    from hoimg.dicom.masks import given_from_mask, put_on

    intake = (settings or Settings()).intake

    def placed(given: Mask | GivenMask | None, use: Use) -> Placed | None:
        if given is None:
            return None
        whole = given_from_mask(given) if isinstance(given, Mask) else given
        return put_on(
            whole, grid, use, frame_of_reference_uid=frame_of_reference_uid, settings=intake
        )

    roi, skeleton = placed(guidance.roi, "roi"), placed(guidance.skeleton, "skeleton")
    lesions = placed(guidance.mask, "mask")
    return PlacedGuidance(
        roi=_region(None if roi is None else roi.mask, guidance.regions, grid),
        skeleton=None if skeleton is None else skeleton.mask,
        mask=None if lesions is None else lesions.mask,
        lesion_flags={} if lesions is None else lesions.flags,
        tracking_uids={} if lesions is None else lesions.tracking_uids,
        findings=tuple(f for p in (roi, skeleton, lesions) if p is not None for f in p.findings),
    )


def _region(roi: Mask | None, regions: Sequence[Region], grid: Grid) -> Mask | None:
    """A mask, boxes and spheres as one region on the exam's grid."""
    if not regions:
        return roi
    drawn = on_grid(regions, grid)
    return drawn if roi is None else Mask((roi.array > 0) | drawn.array, grid)


def read_guidance(
    *,
    series_uid: str | None = None,
    roi: Path | None = None,
    regions: Sequence[Region] = (),
    seeds_lps_mm: Sequence[tuple[float, float, float]] = (),
    skeleton: Path | None = None,
    mask: Path | None = None,
    film_regions: Sequence[FilmRegion] = (),
    settings: Settings | None = None,
) -> Guidance:
    """Read what a reader gives from files.

    Every mask of a CT may be a label map (NIfTI, NRRD, MetaImage), a DICOM segmentation or
    structure set, or a folder of masks (see :func:`hoimg.dicom.masks.read_given`).

    Args:
        series_uid: The exam that it speaks of.
        roi: A region; every structure counts.
        regions: Boxes and spheres, which count like ``roi``.
        seeds_lps_mm: Points, LPS mm.
        skeleton: The native skeleton; its bones count.
        mask: Lesions, one structure each.
        film_regions: As read from words or files (:func:`hoimg.film_regions.parse_film_region`,
            :func:`hoimg.dicom.masks.film_files.read_film_regions`).
        settings: None for the defaults.

    Raises:
        UsageError: there is nothing at a path.
        InputRefused: a file cannot be read or is no mask.
    """
    from hoimg.dicom.masks import read_given

    intake = (settings or Settings()).intake

    def read(path: Path | None, use: Use) -> GivenMask | None:
        return None if path is None else read_given(path, use, intake)

    return Guidance(
        series_uid=series_uid,
        roi=read(roi, "roi"),
        regions=tuple(regions),
        seeds_lps_mm=tuple(seeds_lps_mm),
        skeleton=read(skeleton, "skeleton"),
        mask=read(mask, "mask"),
        film_regions=tuple(film_regions),
    )
