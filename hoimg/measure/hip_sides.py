"""The pelvic and the femoral side of a hip, told apart across the joint.

The head's sphere is cut out of the skeleton. What is left falls apart: the piece round most of the
sphere is the pelvis, the one that leaves it to the lateral side is the femur. Where it does not
fall apart, even when the joint is opened by a voxel or two, the hip is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid
from hoimg.measure.femoral_head import RAYS, Head, directions
from hoimg.measure.relation import values_at

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Side = Literal["left", "right"]

PELVIS, FEMUR = 1, 2

WORK_MM = 1.5
"""Coarsest voxel on which the sides are told apart, unless the exam's own are coarser: the joint
space is 3-5 mm wide."""

AROUND_MM = 110.0
"""Bone this far from the head's middle is told apart: hemipelvis and proximal femur, and never the
other femur, whose head lies 160-190 mm away."""

JOINT_CUT_MM = 1.5
"""The sphere is cut out with this much more: into the joint space, short of the socket."""

MIN_VIEW = 0.85
"""Share of the directions 15 mm beyond the head's surface that the scan must show."""

MIN_SOCKET = 0.25
"""A socket covers at least this share of the sphere: an acetabulum covers about 0.4, a glenoid with
its acromion below 0.2 (from their usual sizes)."""

MIN_CAP = 0.25
"""The socket lies on one side: the mean of the unit vectors to it is at least this long. A cap like
an acetabulum gives 0.5, the discs above and below a vertebral body cancel out. Where the joint
space is narrower than a voxel a real socket gave 0.29, and vertebrae up to 0.29 (one patient
each)."""

MIN_UPWARD = 0.4
"""The socket lies above the head, whatever the hip's position: the part of its mean direction that
points to the patient's head is at least this. 0.66-0.95 in real hips."""

MIN_SOCKET_EDGE = 0.4
"""HU falls before the socket in at least this share of the directions that meet it; a neck seen
from the trochanter has no such edge."""

MIN_NECK = 0.03
"""A neck leaves the sphere over at least this share; usual necks take 0.08-0.15."""

NECK_LENGTH_MM = 20.0
"""The femur must be in view this far beyond the head's surface."""

MIN_LATERAL = 0.3
"""Least lateral part of the unit vector from socket to neck, and medial part of that to the socket;
about 0.7 in a hip at rest."""

SURELY_A_HEAD = 0.6
"""Only a sphere seen in this share of directions, with its socket to one side, is reported as a hip
when it is refused."""


@dataclass(frozen=True, eq=False)
class HipSides:
    """Native bone round one hip by side.

    Attributes:
        head: The femoral head.
        side: The patient's.
        labels: uint8 over ``box`` in steps of ``step``: 1 pelvis, 2 femur, 0 anything else. The
            head belongs to the femur. Empty when refused.
        box: Where it lies in the exam's array.
        step: Voxels of the exam per voxel of ``labels``, zyx.
        reason: ``hip_not_in_view`` or ``hip_not_separable``, or None.
    """

    head: Head
    side: Side
    labels: NDArray[np.uint8]
    box: Box
    step: tuple[int, int, int]
    reason: str | None = None

    @property
    def ball_mm(self) -> float:
        """Radius of the sphere that was cut out, mm."""
        return self.head.radius_mm + JOINT_CUT_MM

    def at(self, box: Box) -> NDArray[np.uint8]:
        """Sides over a box of the exam's own voxels, 0 beyond ``self.box``.

        Every voxel takes the label of the nearest one that was looked at; a rim one such voxel wide
        is added first, so that thin bone between two of them keeps its side.
        """
        from scipy import ndimage

        wide = self.labels
        if max(self.step) > 1:
            wide = np.where(wide > 0, wide, ndimage.grey_dilation(wide, size=(3, 3, 3)))
        picks = []
        inside = []
        for s, own, k, n in zip(box, self.box, self.step, wide.shape, strict=True):
            index = np.rint((np.arange(s.start, s.stop) - own.start) / k).astype(int)
            inside.append((index >= 0) & (index < n))
            picks.append(np.clip(index, 0, n - 1))
        out = wide[np.ix_(*picks)]
        out[~(inside[0][:, None, None] & inside[1][:, None] & inside[2])] = 0
        return np.asarray(out, np.uint8)


def tell_sides(
    head: Head, bone: Bools, grid: Grid, *, valid: Bools | None = None
) -> HipSides | None:
    """The two sides of the hip that ``head`` may belong to.

    Args:
        head: A sphere that bone ends in.
        bone: Native bone and metal in it, without the lesions, filled.
        grid: Of the exam.
        valid: False where the scan shows nothing; None: it shows all.

    Returns:
        The sides; refused with a reason where the head is surely one; None where it is no hip's.
    """
    spacing = np.asarray(grid.spacing_zyx_mm)
    step = np.maximum(1, (WORK_MM / spacing).astype(int))
    box = _box_round(head.centre_mm, spacing, bone.shape)
    cut = tuple(slice(s.start, s.stop, int(k)) for s, k in zip(box, step, strict=True))
    near = bone[cut]
    start = np.array([s.start for s in box]) * spacing
    scale = spacing * step
    steps = (int(step[0]), int(step[1]), int(step[2]))
    centre = head.centre_mm - start
    radius = head.radius_mm + JOINT_CUT_MM
    shell = centre + _RAYS[:, None] * (radius + np.arange(1.0, 10.0))[:, None]
    covered = (values_at(near, shell, scale) > 0).any(axis=1)
    socket = covered & head.edge
    if covered.mean() < MIN_SOCKET or not socket.any():
        return None
    towards = _RAYS[socket].mean(axis=0)
    inward = _lps(_unit(towards), grid)
    if np.linalg.norm(towards) < MIN_CAP or inward[2] < MIN_UPWARD:
        return None
    ball = _ball(near.shape, centre, radius, scale)
    around = near & ~ball

    def refused(reason: str) -> HipSides | None:
        side = _side_of_socket(inward)
        if head.seen < SURELY_A_HEAD or side is None:
            return None
        return HipSides(head, side, np.zeros((0, 0, 0), np.uint8), box, steps, reason)

    if _share_in_view(head, grid, valid) < MIN_VIEW:
        return refused("hip_not_in_view")
    for open_by in range(3):
        pieces = _pieces(around, open_by)
        hit = _first_hit(pieces, shell, scale)
        told = _femur_and_pelvis(hit, head.edge)
        if told is not None:
            break
    else:
        return refused("hip_not_separable")
    femur, pelvis = told
    across = _unit(_RAYS[hit == femur].mean(axis=0)) - _unit(_RAYS[hit == pelvis[0]].mean(axis=0))
    lateral = float(_lps(_unit(across), grid)[0])
    if abs(lateral) < MIN_LATERAL:
        return None
    labels = np.zeros(near.shape, np.uint8)
    labels[np.isin(pieces, pelvis)] = PELVIS
    labels[(pieces == femur) | (near & ball)] = FEMUR
    far = np.argwhere(pieces[::2, ::2, ::2] == femur) * 2 * scale
    away = np.linalg.norm(far - centre, axis=1)
    if away.max() < radius + NECK_LENGTH_MM:
        return refused("hip_not_in_view")
    return HipSides(head, "left" if lateral > 0 else "right", labels, box, steps)


_RAYS = directions(RAYS)


def _femur_and_pelvis(hit: NDArray[np.int64], edge: Bools) -> tuple[int, list[int]] | None:
    """Number of the femur's piece and those of the pelvis, largest first; None where not told.

    A socket covers much of the sphere and HU falls before it; a neck covers little, and HU goes on.
    """
    count = np.bincount(hit)
    count[0] = 0
    order = [int(k) for k in np.argsort(-count) if count[k] >= 0.01 * RAYS]
    if not order or count[order[0]] < MIN_SOCKET * RAYS:
        return None
    socket = order[0]
    necks = [k for k in order[1:] if count[k] >= MIN_NECK * RAYS]
    if not necks or edge[hit == socket].mean() < MIN_SOCKET_EDGE:
        return None
    femur = min(necks, key=lambda k: float(edge[hit == k].mean()) - count[k] / RAYS)
    return femur, [k for k in order if k != femur]


def _pieces(bone: Bools, open_by: int) -> NDArray[np.int32]:
    """Pieces of bone that do not join by a face; with ``open_by``, after so many voxels are taken
    off, which are then given back to the nearest piece."""
    import cc3d
    from scipy import ndimage

    if open_by == 0:
        return np.asarray(cc3d.connected_components(bone, connectivity=6), np.int32)
    thin = ndimage.binary_erosion(bone, iterations=open_by, border_value=1)
    pieces = np.asarray(cc3d.connected_components(thin, connectivity=6), np.int32)
    near = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    given: NDArray[np.int32] = np.where(bone, pieces[tuple(near)], 0)
    return given


def _first_hit(pieces: NDArray[np.int32], shell: Floats, scale: Floats) -> NDArray[np.int64]:
    """Number of the piece that each ray meets first beyond the sphere, 0 for none."""
    met = values_at(pieces, shell, scale)
    first: NDArray[np.int64] = met[np.arange(len(met)), (met > 0).argmax(axis=1)]
    return first


def _ball(shape: tuple[int, ...], centre: Floats, radius: float, scale: Floats) -> Bools:
    z, y, x = (
        ((np.arange(n) * d - c) ** 2).astype(np.float32)
        for n, d, c in zip(shape, scale, centre, strict=True)
    )
    inside: Bools = z[:, None, None] + y[:, None] + x < radius**2
    return inside


def _box_round(centre: Floats, spacing: Floats, shape: tuple[int, ...]) -> Box:
    parts = [
        slice(max(int((c - AROUND_MM) / d), 0), min(int((c + AROUND_MM) / d) + 2, n))
        for c, d, n in zip(centre, spacing, shape, strict=True)
    ]
    return (parts[0], parts[1], parts[2])


def _share_in_view(head: Head, grid: Grid, valid: Bools | None) -> float:
    """Share of directions in which the scan shows 15 mm beyond the head."""
    points = head.centre_mm + _RAYS * (head.radius_mm + 15.0)
    if valid is None:
        index = np.rint(points / np.asarray(grid.spacing_zyx_mm))
        return float(((index >= 0) & (index < grid.size_zyx)).all(axis=1).mean())
    return float(values_at(valid, points, grid.spacing_zyx_mm).mean())


def _side_of_socket(inward: Floats) -> Side | None:
    """Side of a hip by its socket, medial to the head; None where it lies straight above."""
    return None if abs(inward[0]) < MIN_LATERAL else "left" if inward[0] < 0 else "right"


def _lps(vector: Floats, grid: Grid) -> Floats:
    """A vector of the array's frame (mm zyx) in the patient's."""
    turned: Floats = np.asarray(grid.direction) @ vector[::-1]
    return turned


def _unit(vector: Floats) -> Floats:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
