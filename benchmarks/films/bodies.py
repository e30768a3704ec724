"""The bodies of the film benchmark: digital ones, and one real pelvis; each is made once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from hoimg.geometry import Triple
from hoimg.image import CTVolume, Mask, from_sitk, resample_mask
from hoimg.simulate.film_anatomy import Body, make_body
from hoimg.simulate.film_render import Scene, make_scene
from hoimg.simulate.places import Site, prepare

ROOT = Path(__file__).resolve().parents[2]
BONES = (*range(25, 51), *range(69, 79), *range(92, 118))
"""TotalSegmentator's classes that are bone."""


@dataclass(frozen=True, eq=False)
class Source:
    """A body as the benchmark uses it.

    Attributes:
        part: ``HIP``, ``PELVIS``, ``KNEE``, ``THIGH`` or ``ELBOW``.
        side: ``R``, ``L`` or ``B``.
        scene: What the rays go through.
        site: Where lesions can lie.
        aim: Where the central ray goes.
        centers: Lesions lie near one of these.
        near_mm: So near.
        size_mm: Height and width of the film at the detector.
        kvp: Usual tube voltage.
        photons: Usual quanta per mm2 in the open beam.
        scatter: Usual scatter to primary behind the grid.
        pixels: Detectors that are used, mm.
        body: For grading and prostheses; None elsewhere.
    """

    part: str
    side: str
    scene: Scene
    site: Site
    aim: Triple
    centers: tuple[Triple, ...]
    near_mm: float
    size_mm: tuple[float, float]
    kvp: float
    photons: float
    scatter: float
    pixels: tuple[float, ...]
    body: Body | None = None
    hips: tuple[str, ...] = field(default=())


@cache
def source(name: str, person: int) -> Source:
    """A body by its name: ``hip``, ``pelvis``, ``knees``, ``thigh``, ``elbow`` or ``real``."""
    return _MAKERS[name](person)


def data_folder() -> Path:
    """Folder of the TotalSegmentator sample data."""
    home = Path(os.environ.get("HOIMG_REAL_DATA") or ROOT.parent / "shared" / "data")
    return home / "totalsegmentator"


def _hip(person: int) -> Source:
    side = "rl"[person % 2]
    body = make_body("pelvis", seed=person, side=side)
    out = 1.0 if side == "l" else -1.0
    x, y, z = body.points[f"head_{side}"]
    outer = (x + 30 * out, y, z + 20)
    return Source(
        "HIP", side.upper(), make_scene(body.volume), prepare(body.volume, body.native_bone),
        (x + 12 * out, y, z), (outer, (x + 8 * out, y - 15, z - 30)), 45.0, (262.0, 215.0), 75.0,
        2e7, 0.35, (0.139, 0.148, 0.16), body, (side,),
    )  # fmt: skip


def _pelvis(person: int) -> Source:
    body = make_body("pelvis", seed=person)
    (rx, ry, rz), (lx, _, _) = body.points["head_r"], body.points["head_l"]
    return Source(
        "PELVIS", "B", make_scene(body.volume), prepare(body.volume, body.native_bone),
        (0.0, ry, rz), ((rx - 22, ry, rz + 8), (lx + 22, ry, rz + 8)), 55.0, (360.0, 430.0), 77.0,
        2e7, 0.4, (0.19, 0.2), body,
    )  # fmt: skip


def _knees(person: int) -> Source:
    body = make_body("knees", seed=person)
    points = [body.points[f"{place}_{s}"] for s in "rl" for place in ("knee", "thigh")]
    (_, y, z) = points[0]
    return Source(
        "KNEE", "B", make_scene(body.volume), prepare(body.volume, body.native_bone),
        (0.0, y, z + 40), tuple((p[0], p[1], p[2] + 25) for p in points), 55.0, (300.0, 380.0),
        64.0, 3e6, 0.15, (0.175, 0.19), body,
    )  # fmt: skip


def _limb(kind: str, person: int) -> Source:
    from hoimg.simulate.limb import make_limb

    made = make_limb(kind, spacing_zyx_mm=(0.9, 0.75, 0.75), seed=person)
    grid, hu, bone = made.volume.grid, made.volume.hu.copy(), made.native_bone.array.copy()
    if kind == "elbow":
        # The arm alone: the trunk beside it ends at 10 mm.
        x = grid.origin_lps_mm[0] + np.arange(grid.size_zyx[2]) * grid.spacing_zyx_mm[2]
        hu[:, :, x < 11.0] = -1000
        bone[:, :, x < 11.0] = False
    volume = CTVolume(hu, grid)
    middle = grid.to_lps_mm([(n - 1) / 2 for n in grid.size_zyx])
    at = (62.0, 0.0, float(middle[2])) if kind == "elbow" else (4.0, -5.0, float(middle[2]))
    low = kind == "elbow"
    return Source(
        kind.upper(), "L" if low else "R", make_scene(volume), prepare(volume, Mask(bone, grid)),
        at, (at,), 45.0, (158.0, 150.0) if low else (165.0, 205.0), 58.0 if low else 66.0,
        1e6 if low else 4e6, 0.1 if low else 0.2, (0.139, 0.15),
    )  # fmt: skip


def _real(_: int) -> Source:
    import SimpleITK as sitk

    from hoimg.simulate.exam import outside_body
    from hoimg.simulate.resample import regrid, resample

    folder = data_folder()
    array, grid = from_sitk(sitk.ReadImage(str(folder / "example_ct.nii.gz")))
    marks, marks_grid = from_sitk(
        sitk.ReadImage(str(folder / "example_seg_fast_force_split.nii.gz"))
    )
    hu = np.clip(array, -1024, 3071).astype(np.int16)
    hu[outside_body(CTVolume(hu, grid))] = -1000
    volume = CTVolume(hu, grid)
    # 3 mm voxels joined by cubic splines, or their steps would show.
    volume = resample(volume, regrid(grid, (1.5,) * 3))
    grid = volume.grid
    bone = resample_mask(Mask(np.isin(marks, BONES), marks_grid), grid)
    right, left = (marks_grid.to_lps_mm(_top(marks == label)) for label in (76, 75))
    at = (right + left) / 2
    # The scan ends just below the trochanters; the film ends above that.
    at[2] = grid.origin_lps_mm[2] + 130.0
    return Source(
        "PELVIS", "B", make_scene(volume), prepare(volume, bone), _point(at),
        (_point(right), _point(left)), 60.0, (290.0, 430.0), 77.0, 2e7, 0.4, (0.19, 0.2),
    )  # fmt: skip


def _point(values: np.ndarray) -> Triple:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _top(mask: np.ndarray) -> np.ndarray:
    """Middle of the uppermost 40 mm of a femur, index zyx (3 mm voxels, z upwards)."""
    index = np.argwhere(mask)
    return index[index[:, 0] > index[:, 0].max() - 14].mean(0)


_MAKERS = {
    "hip": _hip,
    "pelvis": _pelvis,
    "knees": _knees,
    "thigh": lambda person: _limb("thigh", person),
    "elbow": lambda person: _limb("elbow", person),
    "real": _real,
}
