"""Plant lesions with known truth into a CT volume.

A lesion is built once on its own fine grid in the *patient's* frame (:class:`LesionModel`) and its
truth is integrated there. Each exam then sees the same object: sampled on a grid three times finer
than the scan, blurred by the stated point spread, averaged inside each voxel, and added to the
scan in place of the soft tissue that it replaces. See ``docs/methods/simulate.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Box, Grid, bounding_box
from hoimg.image import CTVolume, Mask
from hoimg.simulate.noise import block_mean, blur, correlated_noise
from hoimg.simulate.shapes import Scaled, Shape, evaluate_on_cube
from hoimg.simulate.texture import SOFT_HU, Texture

FINE_MM = 0.4
"""Spacing of the grid on which a lesion is built and its truth is integrated, mm."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class PlantSpec:
    """One lesion at one date.

    Attributes:
        label: Value in the label map, 1 or more.
        center_lps_mm: Where the form's origin lies, in the patient's frame.
        shape: The form; it is scaled until its volume outside native bone is ``volume_mm3``.
        volume_mm3: Wanted volume of the filled envelope outside native bone.
        stage: 0 (faint, no rim) to 1 (cortical shell, marrow core).
        seed: Seed of the texture; keep it over the dates of one lesion.
        where: ``free``, ``near`` or ``attached`` (a note; the form's place decides).
        shell_mm: Thickness of the mature shell, mm.
        shell_hu: HU of the mature shell.
        manner: Kind of texture, one of :data:`hoimg.simulate.texture.MANNERS`.
    """

    label: int
    center_lps_mm: Point
    shape: Shape
    volume_mm3: float
    stage: float
    seed: int = 0
    where: str = "free"
    shell_mm: float = 1.5
    shell_hu: float = 1150.0
    manner: str = "zonal"


@dataclass(frozen=True, eq=False)
class LesionModel:
    """A lesion on its own fine grid in the patient's frame.

    Attributes:
        spec: What it was built from.
        grid: Fine grid, aligned with LPS.
        occupancy: Part of each fine voxel inside the envelope and outside native bone, 0..1.
        hu: HU inside, float32 (without meaning where the occupancy is 0).
        volume_mm3: Sum of the occupancy: the truth.
        excess_hu_mm3: Integral of ``hu - 50`` over the envelope: the true mineral mass (it can be
            reduced by marrow below 50 HU).
    """

    spec: PlantSpec
    grid: Grid
    occupancy: NDArray[np.float32]
    hu: NDArray[np.float32]
    volume_mm3: float
    excess_hu_mm3: float


@dataclass(frozen=True)
class Truth:
    """What is true of a planted lesion in one exam.

    Attributes:
        label: Value in the label map.
        volume_mm3: Filled envelope outside native bone, integrated on the fine grid.
        stage: 0 to 1.
        where: ``free``, ``near`` or ``attached``.
        centroid_lps_mm: Centre of mass of the envelope in the *exam's* frame.
        excess_hu_mm3: Integral of HU above 50 over the envelope, at 120 kVp.
        gap_to_bone_mm: Smallest distance between envelope and native bone; None without a mask.
    """

    label: int
    volume_mm3: float
    stage: float
    where: str
    centroid_lps_mm: Point
    excess_hu_mm3: float
    gap_to_bone_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Planted:
    """What :func:`plant` gives: the scan, the label map on its grid, and the truths by label."""

    volume: CTVolume
    labelmap: Mask
    truths: dict[int, Truth]


def build_lesion(
    spec: PlantSpec, native_bone: Mask | None = None, *, fine_mm: float = FINE_MM
) -> LesionModel:
    """Build a lesion on its fine grid, scaled so that its volume outside bone is as asked.

    Args:
        spec: The lesion.
        native_bone: Native skeleton in the patient's frame; the part of the form inside it does
            not count and is left as it is. None: nothing is cut off.
        fine_mm: Spacing of the fine grid, mm.

    Raises:
        ValueError: for a stage outside 0..1, a volume or label that is not positive, or a form
            that lies wholly inside bone.
    """
    if not 0.0 <= spec.stage <= 1.0 or spec.volume_mm3 <= 0 or spec.label < 1:
        raise ValueError(
            f"need 0 <= stage <= 1, volume > 0, label >= 1; got stage {spec.stage}, "
            f"volume {spec.volume_mm3} mm3, label {spec.label}"
        )
    inside, step = _coarse(spec.shape)
    factor = _scale_for(spec, native_bone, inside, step)
    # Two coarse voxels of margin: the search cube is mostly empty.
    radius = (np.abs(np.argwhere(inside) - inside.shape[0] // 2).max() + 2) * step
    for _ in range(6):
        grid, points = _lattice(
            spec.center_lps_mm, int(np.ceil(factor * radius / fine_mm)), fine_mm
        )
        scaled = Scaled(spec.shape, factor)
        field = evaluate_on_cube(scaled, points, grid.size_zyx[0], fine_mm)
        depth = -_as_distance(field, fine_mm)
        occupancy = np.clip(0.5 + depth / fine_mm, 0.0, 1.0).astype(np.float32)
        if native_bone is not None:
            occupancy *= 1.0 - _sample(native_bone.array, native_bone.grid, grid)
        volume = float(occupancy.sum(dtype=np.float64)) * fine_mm**3
        if abs(volume / spec.volume_mm3 - 1.0) < 0.002:
            break
        factor *= (spec.volume_mm3 / volume) ** (1 / 3)
    filled = occupancy.ravel() > 0
    hu = np.zeros(occupancy.size, np.float32)
    texture = Texture(spec.stage, spec.seed, spec.shell_mm, spec.shell_hu, spec.manner)
    hu[filled] = texture.hu(points[filled], depth.ravel()[filled])
    hu = hu.reshape(grid.size_zyx)
    excess = float(((hu - SOFT_HU) * occupancy).sum(dtype=np.float64)) * fine_mm**3
    box = bounding_box(occupancy > 0, (2, 2, 2))
    if box is None:
        raise ValueError("the lesion lies wholly inside native bone")
    return LesionModel(spec, grid.crop(box), occupancy[box], hu[box], volume, excess)


def plant(
    volume: CTVolume,
    specs: Sequence[PlantSpec | LesionModel],
    *,
    psf_fwhm_mm: Sequence[float] = (1.5, 1.0, 1.0),
    noise_sd_hu: float = 0.0,
    noise_fwhm_mm: float = 1.5,
    seed: int = 0,
    native_bone: Mask | None = None,
    exam_to_patient_lps: NDArray[Any] | Mapping[int, NDArray[Any]] | None = None,
    mineral_scale: float = 1.0,
    supersample: int = 3,
) -> Planted:
    """Plant lesions into a scan.

    Args:
        volume: The scan; it is not changed.
        specs: Lesions, or models made before by :func:`build_lesion`. Envelopes may not overlap.
        psf_fwhm_mm: Full width at half maximum of the scanner's point spread along z, y, x, mm,
            applied before the averaging inside a voxel.
        noise_sd_hu: Standard deviation of noise added to the whole scan, HU.
        noise_fwhm_mm: Width of the noise's smoothing kernel, mm.
        seed: Seed of the noise.
        native_bone: Native skeleton in the *patient's* frame (see :func:`build_lesion`).
        exam_to_patient_lps: 4x4 rigid matrix from the exam's LPS points to the patient's, or one
            for each lesion by label (a limb that moved on its own); None when they are the same.
        mineral_scale: Factor on HU above soft tissue, for another tube voltage (1 at 120 kVp).
        supersample: Fine voxels per scan voxel along each axis.

    Returns:
        Scan (int16 in, int16 out), label map (uint16; a voxel is labelled when at least half of it
        lies in the envelope) and truths.

    Raises:
        ValueError: when a label is used twice or a lesion does not reach into the scan.
    """
    models = [s if isinstance(s, LesionModel) else build_lesion(s, native_bone) for s in specs]
    used = [m.spec.label for m in models]
    if len(set(used)) != len(used):
        raise ValueError(f"labels must differ, got {used}")
    ways: dict[int, NDArray[Any]] = {label: np.eye(4) for label in used}
    if isinstance(exam_to_patient_lps, Mapping):
        ways = {label: np.asarray(exam_to_patient_lps[label]) for label in used}
    elif exam_to_patient_lps is not None:
        ways = {label: np.asarray(exam_to_patient_lps) for label in used}
    hu = volume.hu.astype(np.float32)
    labels = np.zeros(hu.shape, np.uint16)
    best = np.zeros(hu.shape, np.float32)
    truths = {}
    for model in models:
        to_patient = ways[model.spec.label]
        box = _scan_box(model, volume.grid, to_patient, psf_fwhm_mm)
        weight, content = _render(model, volume.grid.crop(box), to_patient, supersample)
        tissue = _soft_tissue(volume, box)
        replaced = np.repeat(
            np.repeat(np.repeat(tissue, supersample, 0), supersample, 1), supersample, 2
        )
        # `content` is already multiplied by the occupancy; soft tissue below it is taken away.
        change = content * mineral_scale + weight * (SOFT_HU - replaced)
        if mineral_scale != 1.0:
            low = np.minimum(content, 0.0)  # marrow is no mineral: its HU stays
            change += low * (1.0 - mineral_scale)
        fine_spacing = [s / supersample for s in volume.grid.spacing_zyx_mm]
        hu[box] += block_mean(blur(change, psf_fwhm_mm, fine_spacing), supersample)
        share = block_mean(weight, supersample)
        mine = (share >= 0.5) & (share > best[box])
        labels[box][mine] = model.spec.label
        best[box] = np.maximum(best[box], share)
        truths[model.spec.label] = _truth(model, to_patient, native_bone)
    if noise_sd_hu > 0:
        hu += correlated_noise(
            volume.hu.shape, volume.grid.spacing_zyx_mm, noise_sd_hu, noise_fwhm_mm, [seed, 41]
        )
    if volume.hu.dtype == np.int16:
        hu = np.clip(np.rint(hu), -32768, 32767).astype(np.int16)
    return Planted(CTVolume(hu, volume.grid, volume.valid), Mask(labels, volume.grid), truths)


def _scale_for(spec: PlantSpec, bone: Mask | None, inside: NDArray[np.bool_], step: float) -> float:
    """Scale at which the form has about the wanted volume outside bone, on a coarse grid.

    A form free of bone scales with the cube; where bone cuts it, the cube root of the missing part
    is applied again and again.
    """
    factor = float((spec.volume_mm3 / (inside.sum() * step**3)) ** (1 / 3))
    if bone is None:
        return factor
    for _ in range(12):
        # The same voxels, enlarged: only the bone under them has to be looked up again.
        placed, _ = _lattice(spec.center_lps_mm, inside.shape[0] // 2, step * factor)
        part = inside * (1.0 - _sample(bone.array, bone.grid, placed))
        volume = float(part.sum()) * (step * factor) ** 3
        if volume < 0.02 * spec.volume_mm3:
            raise ValueError("the lesion lies wholly inside native bone")
        if abs(volume / spec.volume_mm3 - 1.0) < 0.01:
            break
        factor *= (spec.volume_mm3 / volume) ** (1 / 3)
    return factor


def natural_volume_mm3(shape: Shape) -> float:
    """Volume of a form at its own size, mm3 (to about 1 %)."""
    inside, step = _coarse(shape)
    return float(inside.sum()) * step**3


def _coarse(shape: Shape) -> tuple[NDArray[np.bool_], float]:
    """The form on a cube of about 43 voxels a side, and their size in mm."""
    step = shape.reach_mm / 20
    grid, points = _lattice((0.0, 0.0, 0.0), 22, step)
    return (shape(points) < 0).reshape(grid.size_zyx), step


def _lattice(center_lps_mm: Point, half: int, step: float) -> tuple[Grid, NDArray[np.float32]]:
    """A cube of ``2 half + 1`` voxels a side about a centre, and offsets ``(n, 3)``, LPS mm.

    Voxel centres are whole multiples of ``step`` from the centre, so that the texture of an
    unchanged lesion is the same at every date.
    """
    axis = np.arange(-half, half + 1, dtype=np.float32) * np.float32(step)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    cx, cy, cz = center_lps_mm
    grid = Grid(
        (axis.size,) * 3, (step,) * 3, (cx - half * step, cy - half * step, cz - half * step)
    )
    return grid, points


def _as_distance(field: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """First-order distance of an implicit function: value over its gradient's length."""
    parts = np.gradient(field, step)
    length = np.sqrt(sum(p * p for p in parts))
    return np.asarray(field / np.clip(length, 0.4, None), np.float32)


def _sample(
    array: NDArray[Any], source: Grid, target: Grid, matrix: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Linear interpolation of an array at another grid's voxels (0 outside).

    ``matrix`` (4x4) maps the target's LPS points into the source's frame.
    """
    whole = np.linalg.inv(source.affine_xyz_to_lps)
    if matrix is not None:
        whole = whole @ matrix
    whole = whole @ target.affine_xyz_to_lps
    # scipy wants a zyx-to-zyx matrix.
    linear, offset = whole[:3, :3][::-1, ::-1], whole[:3, 3][::-1]
    corners = target.corners_zyx() @ linear.T + offset
    low = np.maximum(np.floor(corners.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + 3, array.shape)
    if (low >= high).any():
        return np.zeros(target.size_zyx, np.float32)
    part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    out: NDArray[np.float32] = ndimage.affine_transform(
        part, linear, offset - low, target.size_zyx, np.float32, order=1, mode="constant"
    )
    return out


def _render(
    model: LesionModel, grid: Grid, to_patient: NDArray[Any], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Occupancy and occupancy x (HU - soft) on the supersampled grid of a scan's crop."""
    fine = Grid(
        (grid.size_zyx[0] * factor, grid.size_zyx[1] * factor, grid.size_zyx[2] * factor),
        _triple(s / factor for s in grid.spacing_zyx_mm),
        _triple(grid.to_lps_mm([(1 / factor - 1) / 2] * 3)),
        grid.direction,
    )
    weight = _sample(model.occupancy, model.grid, fine, to_patient)
    content = _sample(model.occupancy * (model.hu - SOFT_HU), model.grid, fine, to_patient)
    return weight, content


def _scan_box(
    model: LesionModel, grid: Grid, to_patient: NDArray[Any], psf_fwhm_mm: Sequence[float]
) -> Box:
    """The part of the scan that a lesion and its blur can reach."""
    corners = model.grid.to_lps_mm(model.grid.corners_zyx())
    exam = np.linalg.inv(to_patient)
    index = grid.to_index_zyx(corners @ exam[:3, :3].T + exam[:3, 3])
    # Four standard deviations of the blur are 1.7 times its full width at half maximum.
    margin = np.array([1.7 * f for f in psf_fwhm_mm]) / grid.spacing_zyx_mm + 2
    low = np.maximum(np.floor(index.min(0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(index.max(0) + margin).astype(int) + 1, grid.size_zyx)
    if (low >= high).any():
        raise ValueError(f"lesion {model.spec.label} lies outside the scan")
    return (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))


def _soft_tissue(volume: CTVolume, box: Box) -> NDArray[np.float32]:
    """What soft tissue is round each voxel: Gaussian mean (2.5 mm) of -150..130 HU voxels.

    Bone, gas and metal beside the lesion have no weight: their partial volume is already in the
    scan and stays there when the lesion's blurred excess is added.
    """
    part = volume.hu[box].astype(np.float32)
    weight = ((part > -150) & (part < 130)).astype(np.float32)
    sigma = [2.5 / s for s in volume.grid.spacing_zyx_mm]
    total = ndimage.gaussian_filter(weight, sigma, mode="nearest")
    mean = ndimage.gaussian_filter(weight * part, sigma, mode="nearest") / np.maximum(total, 1e-3)
    return np.asarray(np.where(total > 0.02, mean, SOFT_HU), np.float32)


def _truth(model: LesionModel, to_patient: NDArray[Any], bone: Mask | None) -> Truth:
    """Volume, centre and gap of a model."""
    index = np.array(ndimage.center_of_mass(model.occupancy))
    exam = np.linalg.inv(to_patient)
    centre = exam[:3, :3] @ model.grid.to_lps_mm(index) + exam[:3, 3]
    return Truth(
        label=model.spec.label,
        volume_mm3=model.volume_mm3,
        stage=model.spec.stage,
        where=model.spec.where,
        centroid_lps_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
        excess_hu_mm3=model.excess_hu_mm3,
        gap_to_bone_mm=None if bone is None else gap_to_bone_mm(model, bone),
    )


def gap_to_bone_mm(model: LesionModel, bone: Mask, reach_mm: float = 20.0) -> float:
    """Smallest distance from a lesion's envelope to native bone, mm; ``reach_mm`` when farther."""
    step = 0.8
    low = np.asarray(model.grid.origin_lps_mm) - reach_mm
    high = model.grid.to_lps_mm([n - 1 for n in model.grid.size_zyx]) + reach_mm
    size = np.ceil((high - low) / step).astype(int)[::-1]
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), (step,) * 3, _triple(low))
    solid = _sample(bone.array, bone.grid, grid) >= 0.5
    lesion = _sample(model.occupancy, model.grid, grid) >= 0.5
    if not solid.any() or not lesion.any():
        return reach_mm
    distance = ndimage.distance_transform_edt(~solid, sampling=step)
    # Half a voxel on both sides lies between a voxel's centre and its surface.
    return float(min(max(distance[lesion].min() - step, 0.0), reach_mm))


def _triple(values: Iterable[float]) -> Point:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
