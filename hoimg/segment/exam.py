"""The stage itself: an exam in, lesions and everything that was left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.attenuation import hu_at_kvp
from hoimg.errors import InputRefused
from hoimg.geometry import Box
from hoimg.image import CTVolume, Mask, resample_mask
from hoimg.memory import give_back_freed_memory, keep_freed_memory
from hoimg.results import Finding
from hoimg.segment.blur_rind import boxes_of, with_own_blur
from hoimg.segment.candidates import Candidate
from hoimg.segment.classifier import stored_trees
from hoimg.segment.division import STRONG_AGREEMENT, Division, divide_unaided, standing_out
from hoimg.segment.drawing import Drawing
from hoimg.segment.given import (
    Held,
    divide_by_given,
    given_skeleton,
    lacking_bones,
    swallowed,
)
from hoimg.segment.marrow import native_marrow
from hoimg.segment.morphology import (
    dilate_mm,
    label_components,
)
from hoimg.segment.parts import bone_depth
from hoimg.segment.prior import PriorScan, fresh_bone, prior_skeleton
from hoimg.segment.region import call_in_region
from hoimg.segment.scene import look
from hoimg.segment.search import Found, Left, search
from hoimg.segment.seeded import call_at_points
from hoimg.segment.shells import Shells, closed_shells
from hoimg.segment.skeletons import (
    ProvidedSkeleton,
    by_distance,
    by_mask,
    combined,
    disputed,
    in_words,
)
from hoimg.segment.survey import survey
from hoimg.segment.symmetry import Mirror, mirror_skeleton
from hoimg.segment.touching import joined
from hoimg.segment.types import Segmentation
from hoimg.settings import SegmentSettings
from hoimg.side_threads import side_threads

Bool = NDArray[np.bool_]
Triple = tuple[float, float, float]


def segment_exam(
    volume: CTVolume,
    settings: SegmentSettings | None = None,
    *,
    kvp: float | None = None,
    contrast: bool | None = None,
    skeleton: Mask | None = None,
    skeleton_by: str | None = None,
    roi: Mask | None = None,
    seeds_lps_mm: Sequence[Triple] = (),
    lesions: Mask | None = None,
    prior: PriorScan | None = None,
) -> Segmentation:
    """Find ectopic mineral apart from the native skeleton.

    Args:
        volume: The exam, HU.
        settings: Section ``segment``; None for the defaults.
        kvp: Tube voltage, for the mineral threshold; None counts as 120 kV.
        contrast: Whether the header names a contrast agent; where it does not, the image is
            asked (see :func:`hoimg.segment.contrast.contrast_seen`).
        skeleton: A native skeleton to use instead of finding one, on any grid (any label).
        skeleton_by: The program that drew it; None for a reader. A program's skeleton that does
            not fit the image is not used, a reader's is refused.
        roi: Only candidates that overlap this region are called, and there none is excluded for
            what it may be (guided use; see :mod:`hoimg.segment.region`); on any grid.
        seeds_lps_mm: Points in LPS mm, one in each lesion that is meant: what holds them is
            outlined (see :mod:`hoimg.segment.seeded`), nothing else is called.
        lesions: Outlines of the reader, on any grid: they are never native bone, and no candidate
            is looked for, as nobody asks. The lesion map stays empty.
        prior: An earlier CT of the patient: what is new since then is suspect (see
            :mod:`hoimg.segment.prior`).

    Returns:
        Label maps on the exam's own grid. An empty lesion map is a result, not an error.

    Raises:
        InputRefused: ``mask_misplaced`` when a reader's skeleton does not lie on the exam's bone.
    """
    keep_freed_memory()
    settings = settings or SegmentSettings()
    scene = look(volume, settings, kvp=kvp, contrast=bool(contrast))
    give_back_freed_memory()
    working, body, metal, streaks = scene.working, scene.body, scene.metal, scene.streaks
    lumen, wall, dense, parted = scene.lumen, scene.wall, scene.dense, scene.parted
    spacing = working.spacing_zyx_mm
    findings: list[Finding] = []
    if not body.any():
        findings.append(
            Finding(
                code="no_body_found",
                level="warning",
                message="No patient-like region was found in the scan.",
                fix="Check that the series is a CT in Hounsfield units.",
            )
        )
    if scene.contrast and not contrast:
        findings.append(
            Finding(
                code="contrast_seen",
                level="warning",
                message="Vessels or organs show a contrast agent that the header does not name.",
                fix="Prefer a series without contrast; vessels look like mineral.",
            )
        )
    given = None if skeleton is None else resample_mask(skeleton, working.grid).array > 0
    if lesions is not None:
        drawn = resample_mask(lesions, working.grid).array
        boxes = boxes_of(drawn)
        closed = Shells.named(with_own_blur(drawn > 0, working.hu, spacing, boxes))
    else:
        closed = closed_shells(parted, working, body, metal | streaks | lumen, settings)
    held: list[Held] = []
    provided: list[ProvidedSkeleton] = []
    if given is not None:
        said = given_skeleton(given, dense & body, working, settings, skeleton_by or "given")
        findings += said.findings
        if said.usable:
            provided.append(said)
        elif skeleton_by is None:
            raise InputRefused(
                f"--skeleton: {said.why}; it is of another scan, position or side; give one of "
                "this exam",
                "mask_misplaced",
            )
        else:
            given = None
            findings.append(
                Finding(
                    code="model_skeleton_unused",
                    level="warning",
                    message=f"The skeleton of {skeleton_by} was not used: {said.why}.",
                    fix="Nothing to do; the built-in providers decided.",
                )
            )
    if given is not None and lesions is None:
        held += swallowed(closed.labels, given, working)
        closed = closed.without(given)
    shells = closed.labels > 0
    region = None if roi is None else resample_mask(roi, volume.grid)
    known = body  # a region may hold what the body's outline does not: a phantom's insert
    if region is not None:
        known = body | (resample_mask(region, working.grid).array > 0)
    earlier = None
    fresh = np.zeros_like(dense)
    if prior is not None and lesions is None:
        earlier = prior_skeleton(prior, working, body, metal, settings)
        fresh = fresh_bone(earlier, dense & known & ~shells, working, settings)
    guided = None if region is None else resample_mask(region, working.grid).array > 0

    def pointed_at(candidate: Candidate) -> bool:
        return guided is not None and bool((guided[candidate.box] & candidate.mask).any())

    points = [np.rint(working.grid.to_index_zyx(p)).astype(int) for p in seeds_lps_mm]
    # What lies at a seed is drawn from the seed itself, in the end.
    wanted = pointed_at if guided is not None or seeds_lps_mm else None
    mirror = None
    if given is not None:
        by_mask_given = divide_by_given(
            dense & known,
            given,
            working,
            settings,
            shells=shells,
            fresh=fresh,
            before=np.zeros_like(dense) if earlier is None else earlier.distance_mm <= 0.5,
        )
        division, marrow = by_mask_given.division, by_mask_given.marrow
        held += lacking_bones(by_mask_given.lacking, working)
        bone = division.kept
        depths = bone_depth(division.bone, marrow, shells, working)
    else:
        with side_threads(1) as beside:  # what follows from marrow needs no mirror
            mirroring = beside.submit(mirror_skeleton, working, body, metal, shells)
            marrow = native_marrow(parted, dense, shells, working)
            standing = standing_out(dense & known, shells, marrow, working, settings)
            depths = bone_depth(standing.bone, marrow, shells, working)
            stored_trees()
            mirror = mirroring.result()
        division = divide_unaided(
            standing, working, settings, marrow=marrow, mirror=mirror, fresh=fresh
        )
        del mirroring, standing
        bone = division.bone
        if mirror is None or mirror.agreement < STRONG_AGREEMENT:
            findings.append(
                Finding(
                    code="no_other_side",
                    level="info",
                    message="The scan has no usable other side; the skeleton was found by shape "
                    "alone.",
                    fix="A lesion joined to bone may be missed; give --skeleton or --seed.",
                )
            )
    if earlier is not None and earlier.why is not None:
        findings.append(
            Finding(
                code="prior_not_used",
                level="info",
                message=f"What is new since {earlier.name} is unknown: {earlier.why}.",
                fix="Ossification joined to bone may be missed; give --skeleton or --seed.",
            )
        )
    found = Found([], [], [])
    if lesions is None:
        give_back_freed_memory()  # the search makes the peak of a whole run
        found = search(
            survey(
                scene,
                settings,
                body=known,
                closed=closed,
                marrow=marrow,
                mirror=mirror,
                bone_depth=depths,
                division=division,
                given=given,
                fresh=fresh,
            ),
            wanted,
            points,
        )
    # Not before the search, which makes the peak: each holds a map.
    if given is None:
        provided += _built_in(mirror, division, settings, spacing)
    if earlier is not None:
        provided.append(earlier.provided(settings))
    called, left = found.called, found.left
    for piece in held:
        findings.append(piece.finding)
        left.append((piece.mask, piece.box, "native_bone", piece.note))
    left += _listed(lumen, "contrast", "evenly dense lumen under contrast")
    left += _listed(wall, "vascular", "calcium in the wall of an enhanced vessel")
    left += _listed(metal, "metal", f"above {settings.metal_hu:.0f} HU")
    left += _listed(
        dense & ~dilate_mm(known, 2.0, spacing) & ~metal, "outside_body", "outside of the body"
    )
    core, beyond = division.solid | marrow.inside, closed.beyond
    paired_mm = None if mirror is None or not seeds_lps_mm else mirror.distance_mm
    # What follows is on the exam's own grid and large; the search's maps go before it comes.
    del scene, parted, marrow, depths, division, closed, mirror, shells, fresh, dense, known
    give_back_freed_memory()
    drawing = Drawing(
        volume,
        working,
        metal=metal,
        bone=bone,
        core=core,
        beyond=beyond,
        called=called,
        settings=settings,
    )
    made = _drawn(drawing, body, called, left, provided, findings)
    if lesions is not None:
        return made
    if region is not None:
        made = call_in_region(volume, made, region, settings, kvp=kvp)
    if seeds_lps_mm:
        made = call_at_points(
            volume,
            made,
            seeds_lps_mm,
            settings,
            mineral_hu=hu_at_kvp(settings.mineral_hu_120kvp, kvp),
            working=working,
            given=given,
            paired_mm=paired_mm,
            suggested=[None if c is None else drawing.outlined(c) for c in found.pointed],
        )
    return made


def _built_in(
    mirror: Mirror | None, division: Division, settings: SegmentSettings, spacing: Triple
) -> list[ProvidedSkeleton]:
    """What the other side and bone's own shape say the native skeleton is."""
    by_shape = by_mask("shape (marrow and cortex)", division.solid, spacing)
    if mirror is None or mirror.agreement < STRONG_AGREEMENT:
        return [by_shape]
    by_symmetry = by_distance(
        f"symmetry (mirrored bone explains {100 * mirror.agreement:.0f} %)",
        mirror.distance_mm,
        settings.mirror_tolerance_mm,
        agreement=mirror.agreement,
    )
    return [by_symmetry, by_shape]


def _listed(mask: Bool, reason: str, note: str) -> list[tuple[Bool, Box, str, str]]:
    """Each component of a mask as an excluded piece."""
    from scipy import ndimage as ndi

    if not mask.any():
        return []
    labels, count = label_components(mask)
    out = []
    for label, box in enumerate(ndi.find_objects(labels, max_label=count), start=1):
        if box is not None:
            out.append((labels[box] == label, box, reason, note))
    return out


def _drawn(
    drawing: Drawing,
    body: Bool,
    called: list[Candidate],
    left: list[Left],
    provided: list[ProvidedSkeleton],
    findings: list[Finding],
) -> Segmentation:
    """Every candidate that is called as lesions on the exam's grid, with all maps beside it."""
    grid, working = drawing.volume.grid, drawing.working
    flags: dict[int, list[str]] = {}
    for candidate in sorted(called, key=lambda c: -c.voxels):
        box, parts = drawing.outlined(candidate)
        if not parts:
            left.append((candidate.mask, candidate.box, "too_small", "after outlining"))
        for part in parts:
            label = len(flags) + 1
            drawing.lesions[box][part] = label
            drawing.skeleton[box][part] = False
            flags[label] = ["attached_to_bone"] if candidate.attached else []
            if disputed(provided, candidate.mask, candidate.box):
                flags[label].append("skeleton_disputed")
    flags = joined(drawing.lesions, flags, grid.spacing_zyx_mm)
    excluded, regions = drawing.excluded(left)
    sure = combined(provided)
    return Segmentation(
        lesions=Mask(drawing.lesions, grid),
        excluded=Mask(excluded, grid),
        skeleton=Mask(drawing.skeleton, grid),
        metal=Mask(drawing.metal, grid),
        body=Mask(working.to_native(body, grid.size_zyx), grid),
        lesion_flags=flags,
        excluded_regions=regions,
        provider=in_words(provided),
        findings=findings,
        skeleton_confidence=None if sure is None else Mask(sure, working.grid),
    )
