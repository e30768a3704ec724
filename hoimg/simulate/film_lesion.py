"""A planted lesion on a film: what it adds along the rays, and what is true of its shadow.

Nothing here is shared with what measures films: shadows come from the lesion's own fine grid, and
the contrast-to-noise ratio from films of the same body with and without the lesion.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.simulate.film_beam import HU_PER_MG_CM3, HYDROXYAPATITE_G_CM3
from hoimg.simulate.film_exposure import (
    Exposure,
    Floats,
    Paths,
    attenuation,
    blur_mm,
    detect,
    penumbra_mm,
    primary,
)
from hoimg.simulate.film_geometry import FilmGeometry
from hoimg.simulate.film_project import Pixels, peak, project
from hoimg.simulate.plant import LesionModel
from hoimg.simulate.texture import SOFT_HU

MINERAL_FLOOR_HU_MM = 100.0
"""A pixel of the envelope's shadow belongs to the mineral's where the integral of HU above soft
tissue along its ray exceeds this: half a millimetre of faint mineral (250 HU), below anything that
can be seen."""
AROUND_MM = 8.0
"""Background is looked at this far round a shadow, at the detector, mm."""
NOISE_FWHM_MM = 1.0
"""Noise is taken after a blur of this width: what is finer hides no outline."""
COARSE_FWHM_MM = 10.0
"""What is broader than this is no noise: soft tissue that gets thicker, the middle of a bone."""


@dataclass(frozen=True, eq=False)
class Shadow:
    """What a lesion adds along the rays of a box of pixels.

    Attributes:
        model: The lesion.
        box: Rows and columns.
        silhouette: Highest part of a voxel inside the envelope that each ray meets, 0..1.
        excess_hu_mm: Integral of HU above soft tissue (marrow counts negative).
        mineral_g_cm2: Hydroxyapatite.
        water_mm: Change of the water-equivalent path: marrow and displaced tissue, negative.
    """

    model: LesionModel
    box: Pixels
    silhouette: Floats
    excess_hu_mm: Floats
    mineral_g_cm2: Floats
    water_mm: Floats

    @property
    def mineral(self) -> NDArray[np.bool_]:
        """The mineral's shadow in the box, holes filled."""
        inside = self.envelope & (self.excess_hu_mm > MINERAL_FLOOR_HU_MM)
        filled: NDArray[np.bool_] = ndimage.binary_fill_holes(inside)
        return filled

    @property
    def envelope(self) -> NDArray[np.bool_]:
        """The envelope's shadow in the box."""
        return np.asarray(self.silhouette >= 0.5)


@dataclass(frozen=True)
class FilmTruth:
    """What is true of a lesion on one film.

    Attributes:
        area_detector_mm2: Of the mineral's shadow at the detector.
        area_mm2: That, divided by the square of the lesion's magnification.
        envelope_area_mm2: The same of the envelope's shadow.
        length_detector_mm: Longest dimension of the mineral's shadow at the detector.
        length_mm: That, divided by the lesion's magnification.
        magnification: Of the lesion's centre of mass.
        centroid_yx: Of the mineral's shadow, pixels.
        signal: Mean over the mineral's shadow of ``-ln`` (film) less that without the lesion.
        noise: Typical unevenness, ``-ln``, of the film without the lesion over the shadow and 8 mm
            round it, after a blur of 1 mm and less the local mean over 10 mm: 1.4826 times the
            median deviation, which is a standard deviation where no edge of bone stands out. Air
            and what the collimator covers do not count.
        noise_sd: The same as a plain standard deviation: it grows with every edge of bone there.
        quantum_noise: The part that quanta and read-out make, standard deviation.
        cnr: ``signal / noise``.
        cnr_sd: ``signal / noise_sd``.
        in_field: Part of the lesion's mass that lies on the film and in the open field.
    """

    area_detector_mm2: float
    area_mm2: float
    envelope_area_mm2: float
    length_detector_mm: float
    length_mm: float
    magnification: float
    centroid_yx: tuple[float, float] | None
    signal: float | None
    noise: float | None
    noise_sd: float | None
    quantum_noise: float | None
    cnr: float | None
    cnr_sd: float | None
    in_field: float


def cast_shadow(model: LesionModel, geometry: FilmGeometry) -> Shadow | None:
    """Project a lesion at the detector's own pixels; None when it misses the film."""
    corners = geometry.to_pixel_yx(model.grid.to_lps_mm(model.grid.corners_zyx()))
    low = np.maximum(np.floor(corners.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + 3, geometry.shape_yx)
    if (low >= high).any():
        return None
    box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    excess = model.occupancy * (model.hu - np.float32(SOFT_HU))

    def along(values: Floats) -> Floats:
        return project(values, model.grid, geometry, pixels=box)

    outline = peak(model.occupancy, model.grid, geometry, pixels=box)
    above = along(np.clip(excess, 0, None))
    below = along(np.clip(excess, None, 0))
    # HU x mm to g/cm2: 1 mg/cm3 is HU_PER_MG_CM3, and 10 mm are a centimetre.
    mineral = above * np.float32(1e-4 / HU_PER_MG_CM3)
    water = below * np.float32(1e-3) - mineral * np.float32(10.0 / HYDROXYAPATITE_G_CM3)
    return Shadow(model, box, outline, above + below, mineral, water)


def add_shadows(paths: Paths, shadows: list[Shadow]) -> Paths:
    """Path lengths with lesions in the body."""
    water, mineral = paths.water_mm.copy(), paths.mineral_g_cm2.copy()
    for shadow in shadows:
        water[shadow.box] += shadow.water_mm
        mineral[shadow.box] += shadow.mineral_g_cm2
    return Paths(np.maximum(water, 0), mineral, paths.metal_mm)


def film_truth(
    shadow: Shadow,
    others: list[Shadow],
    bare: Paths,
    scatter: Floats,
    geometry: FilmGeometry,
    exposure: Exposure,
) -> FilmTruth:
    """Measure a lesion's shadow on the film it is on.

    Args:
        shadow: The lesion.
        others: The film's other lesions; they belong to the background.
        bare: The body without any lesion.
        scatter: Scattered radiation of the film.
        geometry: Of the film.
        exposure: Of the film.
    """
    model = shadow.model
    center = model.grid.to_lps_mm(np.array(ndimage.center_of_mass(model.occupancy)))
    magnification = float(geometry.magnification(center[None])[0])
    mineral = shadow.mineral
    pixel = geometry.spacing_mm**2
    area = float(mineral.sum()) * pixel
    length = longest_mm(mineral, geometry.spacing_mm)
    place = None
    signal: float | None = None
    noises: tuple[float | None, float | None, float | None] = (None, None, None)
    if mineral.any():
        rows, columns = np.nonzero(mineral)
        place = (
            float(rows.mean()) + shadow.box[0].start,
            float(columns.mean()) + shadow.box[1].start,
        )
        signal, noises = _contrast(shadow, others, bare, scatter, geometry, exposure)
    typical, sd, quantum = noises
    return FilmTruth(
        area,
        area / magnification**2,
        float(shadow.envelope.sum()) * pixel / magnification**2,
        length,
        length / magnification,
        magnification,
        place,
        signal,
        typical,
        sd,
        quantum,
        signal / typical if signal is not None and typical else None,
        signal / sd if signal is not None and sd else None,
        _in_field(model, geometry, exposure),
    )


def longest_mm(mask: NDArray[np.bool_], spacing_mm: float) -> float:
    """Largest distance between two pixels of a mask, with their own width, mm; 0 for none."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    edge = mask & ~ndimage.binary_erosion(mask)
    points = np.argwhere(edge).astype(float)
    if len(points) == 0:
        return 0.0
    if len(points) > 3:
        with suppress(QhullError):  # raised when all lie on one line
            points = points[ConvexHull(points).vertices]
    far = float(pdist(points).max()) if len(points) > 1 else 0.0
    return (far + 1.0) * spacing_mm


def _contrast(
    shadow: Shadow,
    others: list[Shadow],
    bare: Paths,
    scatter: Floats,
    geometry: FilmGeometry,
    exposure: Exposure,
) -> tuple[float, tuple[float | None, float | None, float | None]]:
    """Signal; and typical noise, its standard deviation and that of the quanta; all ``-ln``."""
    margin = round((AROUND_MM + 3.0) / geometry.spacing_mm)
    low = [max(s.start - margin, 0) for s in shadow.box]
    high = [min(s.stop + margin, n) for s, n in zip(shadow.box, geometry.shape_yx, strict=True)]
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    inner = tuple(slice(s.start - a, s.stop - a) for s, a in zip(shadow.box, low, strict=True))
    without = add_shadows(bare, others).crop(box)
    water, mineral = without.water_mm.copy(), without.mineral_g_cm2.copy()
    water[inner] += shadow.water_mm
    mineral[inner] += shadow.mineral_g_cm2
    with_it = Paths(np.maximum(water, 0), mineral, without.metal_mm)
    center = shadow.model.grid.to_lps_mm([(n - 1) / 2 for n in shadow.model.grid.size_zyx])
    penumbra = penumbra_mm(geometry, exposure, center)
    part = _cropped(exposure, box)

    def film(paths: Paths, seed: list[int] | None) -> Floats:
        beam = primary(paths, part)
        return attenuation(
            detect(beam, scatter[box], part, geometry.spacing_mm, penumbra, noise_seed=seed)
        )

    clean = film(without, None)
    foot = np.zeros(clean.shape, bool)
    foot[inner] = shadow.mineral
    signal = float((film(with_it, None) - clean)[foot].mean())
    noisy = film(without, [exposure.seed, 92])
    distance = ndimage.distance_transform_edt(~foot, sampling=geometry.spacing_mm)
    near = distance <= AROUND_MM
    known = without.water_mm > 10.0
    if part.field_yx is not None:
        top, bottom, left, right = part.field_yx
        opened = np.zeros(foot.shape, bool)
        opened[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        known &= opened
    if (known & near).sum() < 30:
        return signal, (None, None, None)
    smooth = blur_mm(noisy, NOISE_FWHM_MM, geometry.spacing_mm)
    grain = blur_mm(noisy - clean, NOISE_FWHM_MM, geometry.spacing_mm)
    fine = _fine(smooth, known, geometry.spacing_mm)[known & near]
    typical = 1.4826 * float(np.median(np.abs(fine - np.median(fine))))
    return signal, (typical, float(fine.std()), float(grain[known & near].std()))


def _fine(values: Floats, known: NDArray[np.bool_], spacing: float) -> Floats:
    """What is finer than :data:`COARSE_FWHM_MM`; the local mean is that of ``known`` pixels."""
    weight = known.astype(np.float32)
    total = blur_mm(weight, COARSE_FWHM_MM, spacing)
    mean = blur_mm(np.where(known, values, 0), COARSE_FWHM_MM, spacing) / np.maximum(total, 1e-3)
    return np.asarray(values - mean, np.float32)


def _cropped(exposure: Exposure, box: Pixels) -> Exposure:
    """The exposure with its open field counted from a box's corner."""
    from dataclasses import replace

    if exposure.field_yx is None:
        return exposure
    top, bottom, left, right = exposure.field_yx
    y, x = box[0].start, box[1].start
    shifted = (max(top - y, 0), max(bottom - y, 0), max(left - x, 0), max(right - x, 0))
    return replace(exposure, field_yx=shifted)


def _in_field(model: LesionModel, geometry: FilmGeometry, exposure: Exposure) -> float:
    """Part of a lesion's volume whose rays end on the film, in the open field."""
    step = max(1, round(1.0 / model.grid.spacing_zyx_mm[0]))
    index = np.argwhere(model.occupancy[::step, ::step, ::step] > 0.5) * step
    if len(index) == 0:
        return 0.0
    at = geometry.to_pixel_yx(model.grid.to_lps_mm(index))
    rows, columns = geometry.shape_yx
    top, bottom, left, right = exposure.field_yx or (0, rows, 0, columns)
    ok = (at >= (top - 0.5, left - 0.5)) & (at < (bottom - 0.5, right - 0.5))
    return float(ok.all(axis=1).mean())
