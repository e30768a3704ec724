"""Which lesion of one exam lies where a lesion of another exam lay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, label_boxes, margin_voxels, widened
from hoimg.image import Mask
from hoimg.serial.placement import Registration
from hoimg.serial.surface import Matrix4, Points, inside, move, thin
from hoimg.settings import SerialSettings

MOST_POINTS = 4000
"""A lesion is carried by at most this many of its voxels, evenly chosen."""
COVERED = 0.9
"""Fraction of a lesion that verified parts must carry, or else it is not carried at all."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """A lesion as points: an even choice of its voxel centres, LPS mm, and its box in the map."""

    label: int
    points_lps_mm: Points
    voxels: int
    box: Box

    @property
    def centroid_lps_mm(self) -> Points:
        """Mean of the points."""
        mean: Points = self.points_lps_mm.mean(axis=0)
        return mean


@dataclass
class Matches:
    """The outcome of :func:`match`.

    Attributes:
        same: Earlier index to later label, one to one.
        merged: Earlier index to the later label it lies in, where another lesion already is.
        split: Later label to the earlier index it lies in, where another lesion already is.
    """

    same: dict[int, int] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    split: dict[int, int] = field(default_factory=dict)


def clouds(lesions: Mask) -> dict[int, Cloud]:
    """Every label of a label map as points; one pass over the map, then crops."""
    found: dict[int, Cloud] = {}
    for label, box in label_boxes(lesions.array).items():
        index = np.argwhere(lesions.array[box] == label)
        start = np.array([s.start for s in box])
        points = lesions.grid.to_lps_mm(thin(index, MOST_POINTS) + start)
        found[label] = Cloud(label, points, len(index), box)
    return found


def lattice(
    lesions: Mask, lesion: Cloud, step_mm: float, reach_mm: float
) -> tuple[Points, NDArray[np.float64]]:
    """Points of an even lattice in and round one lesion, whatever the voxels.

    Args:
        lesions: Label map.
        lesion: One of its :func:`clouds`.
        step_mm: Distance of the points along the map's axes.
        reach_mm: How far out of the lesion they reach, within the map.

    Returns:
        The points, LPS mm ``(n, 3)``, and how far each lies from the lesion, mm; 0 inside.
    """
    from scipy.ndimage import distance_transform_edt

    margin = margin_voxels(reach_mm, lesions.grid.spacing_zyx_mm)
    box = widened(lesion.box, margin, lesions.grid.size_zyx)
    own, grid = lesions.array[box] == lesion.label, lesions.grid.crop(box)
    away = distance_transform_edt(~own, sampling=grid.spacing_zyx_mm)
    axes = [
        np.arange(0, n - 1 + 1e-9, step_mm / s)
        for n, s in zip(grid.size_zyx, grid.spacing_zyx_mm, strict=True)
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    far = away[tuple(np.rint(index).astype(int).T)]
    kept = far <= reach_mm
    return grid.to_lps_mm(index[kept]), far[kept]


@dataclass(frozen=True, eq=False)
class Way:
    """How points of one exam reach another one: accepted registrations one after the other.

    Attributes:
        steps: The registrations; none from an exam to itself.
        between: The views of the exams passed through.
    """

    steps: tuple[Registration, ...] = ()
    between: tuple[Grid, ...] = ()

    def carry(self, points_lps_mm: Points) -> Points:
        """Where the points of a lesion of the first exam lie in the last one, LPS mm."""
        for step in self.steps:
            points_lps_mm = step.carry_body(points_lps_mm)
        return points_lps_mm

    def motion(self, points_lps_mm: Points) -> Matrix4:
        """The rigid motion, 4x4, LPS mm, by which :meth:`carry` moves these points."""
        whole: Matrix4 = np.eye(4)
        for step in self.steps:
            whole = step.body_motion(move(whole, points_lps_mm)) @ whole
        return whole

    def covers(self, points_lps_mm: Points) -> bool:
        """Whether points may be carried: nearly all by verified parts, and in view throughout."""
        good = np.ones(len(points_lps_mm), dtype=bool)
        for step, view in zip_longest(self.steps, self.between):
            good &= step.covers(points_lps_mm)
            if view is not None:
                points_lps_mm = step.carry_body(points_lps_mm)
                good &= inside(view, points_lps_mm)
        return bool(good.mean() >= COVERED)

    def by_own_part(self, points_lps_mm: Points) -> bool:
        """Whether most points go with a bone that moved on its own, in any of the steps."""
        for step in self.steps:
            if np.count_nonzero(step.nearest_part(points_lps_mm)) > len(points_lps_mm) / 2:
                return True
            points_lps_mm = step.carry_body(points_lps_mm)
        return False


def way_between(
    start: str,
    end: str,
    registrations: Mapping[tuple[str, str], Registration],
    views: Mapping[str, Grid],
) -> Way | None:
    """How points of one exam reach another one through accepted registrations.

    Registrations may be used backwards and chained; the path with the fewest of them is taken.

    Args:
        start: Exam of the points.
        end: Exam that they are carried into.
        registrations: By fixed and moving exam.
        views: Grid of each exam.

    Returns:
        The way, or None when no accepted registration connects the two.
    """
    if start == end:
        return Way((), ())
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_nodes_from((start, end))
    for (fixed, moving), found in registrations.items():
        if found.accepted:
            graph.add_edge(fixed, moving, step=found)
            if (moving, fixed) not in registrations:
                graph.add_edge(moving, fixed, step=found.inverse())
    try:
        path = nx.shortest_path(graph, start, end)
    except nx.NetworkXNoPath:
        return None
    return Way(
        tuple(graph.edges[a, b]["step"] for a, b in pairwise(path)),
        tuple(views[exam] for exam in path[1:-1]),
    )


def fraction_outside(view: Grid, points_lps_mm: Points) -> float:
    """Fraction of points that fall outside an exam's view."""
    return float(1 - inside(view, points_lps_mm).mean())


def fraction_near(mask: Mask, points_lps_mm: Points, reach_mm: float) -> float:
    """Fraction of points within a mask or less than ``reach_mm`` from it."""
    return float((away_from(mask, points_lps_mm, reach_mm) < reach_mm).mean())


def away_from(mask: Mask, points_lps_mm: Points, reach_mm: float) -> NDArray[np.float64]:
    """Distance of the voxel of each point to the nearest of a mask, mm; 0 inside.

    It is computed in the points' crop alone: what lies farther than ``reach_mm`` may be read too
    far, or infinitely far, as is what lies outside of the mask's grid.
    """
    from scipy.ndimage import distance_transform_edt

    index = np.rint(mask.grid.to_index_zyx(points_lps_mm)).astype(int)
    margin = margin_voxels(reach_mm, mask.grid.spacing_zyx_mm)
    size = np.asarray(mask.grid.size_zyx)
    low = np.clip(index.min(axis=0) - margin, 0, size)
    high = np.clip(index.max(axis=0) + margin + 1, 0, size)
    part = mask.array[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] > 0
    away = np.full(len(index), np.inf)
    if not part.any():
        return away
    distance = distance_transform_edt(~part, sampling=mask.grid.spacing_zyx_mm)
    held = index - low
    seen = ((held >= 0) & (held < part.shape)).all(axis=1)
    away[seen] = distance[tuple(held[seen].T)]
    return away


def match(
    earlier: Sequence[Points],
    later: Iterable[Cloud],
    settings: SerialSettings,
) -> Matches:
    """Match lesions one to one by overlap, then find merges and splits among what is left.

    Args:
        earlier: Lesions seen before: points of each, carried into the later exam, LPS mm.
        later: Lesions of the later exam.
        settings: ``max_match_gap_mm``, ``min_match``, ``min_part``.

    Returns:
        Matches. A point counts fully where it falls onto the other lesion and less with distance
        up to ``max_match_gap_mm``; the overlap of two lesions is the larger of the two fractions,
        so that a lesion that grew round its old self still matches.
    """
    targets = list(later)
    found = Matches()
    if not earlier or not targets:
        return found
    from scipy.optimize import linear_sum_assignment

    forward = np.zeros((len(earlier), len(targets)))
    back = np.zeros_like(forward)
    for i, moved in enumerate(earlier):
        for j, target in enumerate(targets):
            forward[i, j], back[i, j] = _overlaps(moved, target.points_lps_mm, settings)
    score = np.maximum(forward, back)
    # A tie between a fragment and the main part goes to the larger common part.
    weight = score * (score >= settings.min_match) + 0.5 * np.minimum(forward, back)
    for i, j in zip(*linear_sum_assignment(-weight), strict=True):
        if score[i, j] >= settings.min_match:
            found.same[int(i)] = targets[j].label
    taken = {label: i for i, label in found.same.items()}
    for i in range(len(earlier)):
        j = int(forward[i].argmax())
        inside_it = forward[i, j] >= settings.min_part
        if i not in found.same and inside_it and targets[j].label in taken:
            found.merged[i] = targets[j].label
    for j, target in enumerate(targets):
        i = int(back[:, j].argmax())
        if target.label not in taken and back[i, j] >= settings.min_part and i in found.same:
            found.split[target.label] = i
    return found


def _overlaps(moved: Points, target: Points, settings: SerialSettings) -> tuple[float, float]:
    from scipy.spatial import cKDTree

    gap = settings.max_match_gap_mm
    low, high = moved.min(axis=0), moved.max(axis=0)
    if (target.min(axis=0) > high + gap).any() or (target.max(axis=0) < low - gap).any():
        return 0.0, 0.0
    return _share(cKDTree(target), moved, gap), _share(cKDTree(moved), target, gap)


def _share(tree: Any, points: Points, gap_mm: float) -> float:
    # Points are a thinned lesion: distances within it count as none, hence half the gap is free.
    distance, _ = tree.query(points, distance_upper_bound=gap_mm)
    weight = np.clip(2 - 2 * distance / gap_mm, 0, 1)
    return float(np.where(np.isfinite(distance), weight, 0.0).mean())
