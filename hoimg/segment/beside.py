"""The search beside a skeleton that somebody gave: what is mineral and not on it, by rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.candidates import Candidate, find_candidates
from hoimg.segment.exclude import Place, exclusion
from hoimg.segment.features import features_of
from hoimg.segment.morphology import dilate_mm, distance_mm
from hoimg.segment.native import Native
from hoimg.segment.unaided import Found
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]


def search_beside(
    judge: Judge,
    body: Bool,
    metal: Bool,
    shells: NDArray[np.int32],
    wanted: Callable[[Candidate], bool] | None = None,
) -> Found:
    """Propose and judge.

    Args:
        judge: The exam's maps and rules.
        body: The patient, and any region that a reader gave.
        metal: Metal.
        shells: Closed shells, labelled.
        wanted: Guided use, as in :func:`hoimg.segment.unaided.search`.
    """
    out = Found([], [])
    for candidate in find_candidates(
        judge.working, judge.native, body, metal, judge.streaks, shells, judge.settings
    ):
        if wanted is not None and wanted(candidate):
            out.called.append(candidate)
            continue
        verdict = judge.verdict(candidate)
        if wanted is not None and verdict is None:
            verdict = ("unassessed", "outside of the region or seeds that were given")
        if verdict is None:
            out.called.append(candidate)
        else:
            out.left.append((candidate.mask, candidate.box, *verdict))
    return out


class Judge:
    """Measures a candidate's place and features and asks the exclusion rules."""

    def __init__(
        self,
        working: Working,
        body: Bool,
        metal: Bool,
        streaks: Bool,
        lumen: Bool,
        native: Native,
        given: Bool,
        fresh: Bool,
        contrast: bool,
        settings: SegmentSettings,
    ) -> None:
        self.fresh, self.contrast = fresh, contrast
        self.working, self.body, self.streaks = working, body, streaks
        self.given_mm = distance_mm(given, working.spacing_zyx_mm)
        self.native, self.settings = native, settings
        self.metal_mm = distance_mm(metal, working.spacing_zyx_mm)
        self.near_lumen = dilate_mm(lumen, 3.0, working.spacing_zyx_mm)

    def verdict(self, candidate: Candidate) -> tuple[str, str] | None:
        """Reason and numbers of an exclusion; None for a lesion."""
        box, mask = candidate.box, candidate.mask
        ignore = self.native.bone[box] | (self.streaks[box] & ~mask)
        features = features_of(self.working.hu[box], mask, ignore, self.working.spacing_zyx_mm)
        return exclusion(features, self._place(candidate), self.settings)

    def _place(self, candidate: Candidate) -> Place:
        box, mask = candidate.box, candidate.mask
        step = self.working.spacing_zyx_mm[0]
        slices = np.flatnonzero(mask.any(axis=(1, 2))) + box[0].start
        last = self.working.hu.shape[0] - 1
        from_start, from_end = slices[0] * step, (last - slices[-1]) * step
        inward = slices[-1] * step if from_start <= from_end else (last - slices[0]) * step
        return Place(
            attached=candidate.attached,
            shell=candidate.shell,
            metal_mm=float(self.metal_mm[box][mask].min()),
            scan_end_mm=float(min(from_start, from_end)),
            inward_mm=float(inward),
            mirror_mm=float("nan"),
            mirrored=0.0,
            agreed=1.0,
            outside_body=float((~self.body[box][mask]).mean()),
            contrast=self.contrast,
            lumen=float(self.near_lumen[box][mask].mean()),
            streaked=float(self.streaks[box][mask].mean()),
            given_mm=float(self.given_mm[box][mask].min()),
            fresh=float(self.fresh[box][mask].mean()),
        )
