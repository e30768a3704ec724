"""What can be said of a candidate: its own features and its place among everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box, margin_voxels
from hoimg.segment.around import Around, Surroundings, surroundings
from hoimg.segment.basins import Basins
from hoimg.segment.candidates import Candidate, SoftTissue
from hoimg.segment.division import SURFACE_MM, Division
from hoimg.segment.exclude import Place
from hoimg.segment.features import Features, features_of
from hoimg.segment.kneecap import VOLUME_MM3, in_front_of_bone
from hoimg.segment.marrow import Marrow
from hoimg.segment.morphology import dilate_mm, distance_mm
from hoimg.segment.parts import BoneDepth
from hoimg.segment.scene import Scene
from hoimg.segment.shells import Shells
from hoimg.segment.symmetry import Mirror
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

AGREED_MM = 3.0
FAINT_MM = 4.0
METAL_MM = 5.0
"""Metal farther away says nothing of a candidate."""


@dataclass(frozen=True, eq=False)
class Survey:
    """The maps of one exam on its working grid that candidates come from and are judged by.

    Attributes:
        working: The working grid.
        body: The patient, and what a region holds outside of the patient.
        streaks: Streak zone of metal.
        metal: Metal.
        parted: Basins of the scan.
        closed: Closed shells.
        bone_depth: How deep in bone each voxel lies.
        near_lumen: Within 3 mm of an enhanced lumen.
        division: Dense voxels, divided.
        marrow: Native bone by its marrow.
        mirror: The mirrored skeleton, or None.
        given_mm: Distance to a skeleton that was given, or None.
        fresh: What an earlier exam did not have.
        soft: Muscle and noise.
        contrast: Whether a contrast agent was given.
        settings: Section ``segment``.
        around: The maps that the environment is read from.
    """

    working: Working
    body: Bool
    streaks: Bool
    metal: Bool
    parted: Basins
    closed: Shells
    bone_depth: BoneDepth
    near_lumen: Bool
    division: Division
    marrow: Marrow
    mirror: Mirror | None
    given_mm: NDArray[np.float32] | None
    fresh: Bool
    soft: SoftTissue
    contrast: bool
    settings: SegmentSettings
    around: Surroundings

    def of(self, candidate: Candidate) -> tuple[Features, Place, Around]:
        """Features, place and environment of one candidate."""
        box, mask = candidate.box, candidate.mask
        ignore = self.division.kept[box] | (self.streaks[box] & ~mask)
        spacing = self.working.spacing_zyx_mm
        features = features_of(self.working.hu[box], mask, ignore, spacing)
        return features, self._place(candidate), self.around.of(candidate)

    def _place(self, candidate: Candidate) -> Place:
        box, mask, at = candidate.box, candidate.mask, candidate.at
        spacing = self.working.spacing_zyx_mm
        step = spacing[0]
        first, end = int(at[0][0]), int(at[0][-1])  # its slices come in order
        last = self.working.hu.shape[0] - 1
        from_start, from_end = first * step, (last - end) * step
        inward = end * step if from_start <= from_end else (last - first) * step
        nan = float("nan")
        mirror_mm, mirrored, agreed, faint, agreement, unpaired = nan, 0.0, 1.0, nan, nan, nan
        if self.mirror is not None:
            near = self.mirror.distance_mm[at]
            mirror_mm = float(np.median(near))
            mirrored = float((near <= self.settings.mirror_loose_mm).mean())
            faint = float((self.mirror.faint_distance_mm[at] <= FAINT_MM).mean())
            agreement = self.mirror.agreement
            unpaired = float((near > self.mirror.known_to_mm(self.settings, spacing)).mean())
            own = self.division.bone[box] & ~mask
            if own.any():
                agreed = float((self.mirror.distance_mm[box][own] <= AGREED_MM).mean())
        given_mm = nan if self.given_mm is None else float(self.given_mm[at].min())
        layer = dilate_mm(mask, 1.5 * max(spacing), spacing) & ~mask
        out_mm = self.marrow.out_mm(at)
        known = ~np.isnan(out_mm)
        return Place(
            attached=candidate.attached,
            shell=candidate.shell,
            metal_mm=metal_near_mm(self.metal[box], mask, spacing),
            scan_end_mm=float(min(from_start, from_end)),
            inward_mm=float(inward),
            mirror_mm=mirror_mm,
            mirrored=mirrored,
            agreed=agreed,
            outside_body=float((~self.body[at]).mean()),
            contrast=self.contrast,
            lumen=float(self.near_lumen[at].mean()),
            streaked=float(self.streaks[at].mean()),
            contact=float(self.division.kept[box][layer].mean()) if layer.any() else 0.0,
            standing=float((out_mm[known] > SURFACE_MM).mean()) if known.any() else nan,
            cortex_known=float(known.mean()),
            agreement=agreement,
            faint_partner=faint,
            unpaired=unpaired,
            given_mm=given_mm,
            fresh=float(self.fresh[at].mean()),
            kneecap=self._kneecap(candidate),
        )

    def _kneecap(self, candidate: Candidate) -> bool:
        low, high = VOLUME_MM3
        volume_mm3 = candidate.voxels * self.working.voxel_mm3
        if self.mirror is not None or not low <= volume_mm3 <= high:
            return False
        native = self.division.solid
        box, mask = candidate.box, candidate.mask
        return in_front_of_bone(box, mask, self.body, native, self.working).is_kneecap


def survey(
    scene: Scene,
    settings: SegmentSettings,
    *,
    body: Bool,
    closed: Shells,
    marrow: Marrow,
    mirror: Mirror | None,
    bone_depth: BoneDepth,
    division: Division,
    given: Bool | None,
    fresh: Bool,
) -> Survey:
    """Prepare the maps of one exam; see :class:`Survey` for what goes in."""
    working = scene.working
    spacing = working.spacing_zyx_mm
    return Survey(
        working=working,
        body=body,
        streaks=scene.streaks,
        metal=scene.metal,
        parted=scene.parted,
        closed=closed,
        bone_depth=bone_depth,
        near_lumen=dilate_mm(scene.lumen, 3.0, spacing),
        division=division,
        marrow=marrow,
        mirror=mirror,
        given_mm=None if given is None else distance_mm(given, spacing),
        fresh=fresh,
        soft=scene.soft,
        contrast=scene.contrast,
        settings=settings,
        around=surroundings(working, body),
    )


def metal_near_mm(metal: Bool, mask: Bool, spacing_zyx_mm: Sequence[float]) -> float:
    """Distance of a candidate to metal, mm; inf where there is none within ``METAL_MM``.

    Args:
        metal: Metal in the candidate's box.
        mask: The candidate, at least one voxel, in the same box.
        spacing_zyx_mm: Spacing.
    """
    if not metal.any():  # as in most boxes
        return float("inf")
    near = bounding_box(mask, margin_voxels(METAL_MM, spacing_zyx_mm))
    if near is None or not metal[near].any():
        return float("inf")
    away = float(distance_mm(mask[near], spacing_zyx_mm)[metal[near]].min())
    return away if away <= METAL_MM else float("inf")
