"""Lesions laid on each other by their outlines, where their images are too unlike.

A lesion that tripled looks like no part of its old self. Where it is outlined in both exams, and
neither outline has found another partner, the form of the outlines shows the place: the distance to
the surface, inside and outside, is alike for bodies about one middle, whatever their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, margin_voxels, widened
from hoimg.image import Mask
from hoimg.serial.body import Body, common, owner
from hoimg.serial.body_search import correlation, searched
from hoimg.serial.matching import Cloud, clouds, lattice
from hoimg.serial.placement import Registration
from hoimg.serial.surface import Matrix4, Points, move
from hoimg.settings import SerialSettings

STEP_MM, ROUND_MM = 2.0, 5.0
"""Distances are compared on a lattice this fine, up to this far round a lesion."""
FAR_MM = 8.0
"""Distances from an outline count no farther."""
NOISE_MM = 1.0
"""Variation of distances that says nothing."""


@dataclass(frozen=True, eq=False)
class _Form:
    """Signed distance to a lesion's surface, negative inside, mm, near it."""

    grid: Grid
    away_mm: NDArray[np.float32]

    def at(self, points_lps_mm: Points) -> NDArray[np.float64]:
        from scipy.ndimage import map_coordinates

        index = self.grid.to_index_zyx(points_lps_mm).T
        found: NDArray[np.float64] = map_coordinates(
            self.away_mm, index, order=1, cval=FAR_MM, output=np.float64
        )
        return found


def by_outlines(
    fixed: Mask,
    moving: Mask,
    bodies: Sequence[Body],
    found: Registration,
    settings: SerialSettings,
) -> list[Body]:
    """Lesions of both exams that have no partner yet and are alike in form at one place.

    Args:
        fixed: Label map of the fixed exam's lesions.
        moving: The same of the moving exam.
        bodies: What was placed already: neither they nor what they lie on are asked.
        found: The registration by bones and tissue.
        settings: ``min_outline_correlation``, ``min_lesion_lead``, ``min_lesion_gain``.

    Returns:
        New bodies; none for a lesion that is like several of the other exam, or like one that
        another lesion is like too or comes to lie on by bones and tissue.
    """
    moved = [body.inverse() for body in bodies]
    left = [c for c in clouds(fixed).values() if owner(bodies, c.points_lps_mm) is None]
    free = [c for c in clouds(moving).values() if owner(moved, c.points_lps_mm) is None]
    forms = [_form(moving, cloud) for cloud in free]
    by_bones = [found.carry_body(cloud.points_lps_mm) for cloud in left]
    pairs = []
    for a, cloud in enumerate(left):
        around, _ = lattice(fixed, cloud, STEP_MM, ROUND_MM)
        own = _form(fixed, cloud).at(around)
        for b, form in enumerate(forms):
            alike = partial(_likeness, around, own, form)
            least = settings.min_outline_correlation
            body = searched(cloud.points_lps_mm, alike, found, least, settings)
            if body is not None:
                pairs.append((a, b, body))
    return [
        body
        for a, b, body in pairs
        if sum(a == other or b == partner for other, partner, _ in pairs) == 1
        and not any(
            common(place, free[b].points_lps_mm) >= settings.min_match
            for other, place in enumerate(by_bones)
            if other != a
        )
    ]


def _form(lesions: Mask, lesion: Cloud) -> _Form:
    from scipy.ndimage import distance_transform_edt

    spacing = lesions.grid.spacing_zyx_mm
    box = widened(lesion.box, margin_voxels(FAR_MM, spacing), lesions.grid.size_zyx)
    own = lesions.array[box] == lesion.label
    away = distance_transform_edt(~own, sampling=spacing)
    away -= distance_transform_edt(own, sampling=spacing)
    return _Form(lesions.grid.crop(box), np.clip(away, -FAR_MM, FAR_MM).astype(np.float32))


def _likeness(around: Points, own: NDArray[np.float64], form: _Form, motion: Matrix4) -> float:
    """Correlation of the distances where a motion lays the points."""
    return correlation(own, form.at(move(motion, around)), np.ones(len(own)), NOISE_MM)
