"""95 % intervals: how far each number could be off by noise, blur, background and outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.measure.background import Background
from hoimg.measure.density import DepthMap
from hoimg.measure.size import FWHM_PER_SIGMA, Envelope
from hoimg.settings import MeasureSettings

Interval = tuple[float, float]

Z95 = 1.96

SPILLED = 0.0085
"""Of a step edge this part of sigma, times the step, lies more than two sigma outside: the normal
distribution's density there less twice its tail."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What the intervals of one lesion rest on.

    Attributes:
        envelope: Its surface.
        spacing_zyx_mm: Voxel spacing.
        fwhm_zyx_mm: Point spread.
        noise_hu: Noise SD of a voxel.
        background: Its local soft tissue.
        settings: Section ``measure``.
    """

    envelope: Envelope
    spacing_zyx_mm: Triple
    fwhm_zyx_mm: Triple
    noise_hu: float
    background: Background
    settings: MeasureSettings

    @cached_property
    def outline_sd_mm(self) -> float:
        """SD of the boundary's place where the image does not show it, mm over the whole surface.

        On bone it is ``contact_sd_mm`` times the square root of the share of the surface that lies
        there: what was wrongly taken for bone or for lesion reaches beyond a small patch. Where the
        mask alone gives the boundary it is ``segmentation_sd_voxels`` by the share.
        """
        on_bone = self._over_surface(self.envelope.contact)
        mask_only = self._over_surface(~self.envelope.seen & ~self.envelope.contact)
        voxel_mm = math.prod(self.spacing_zyx_mm) ** (1 / 3)
        return math.hypot(
            self.settings.contact_sd_mm * math.sqrt(on_bone),
            self.settings.segmentation_sd_voxels * voxel_mm * mask_only,
        )

    @cached_property
    def boundary_sd_mm(self) -> float:
        """SD of the boundary's place, mm, the mean over the surface.

        Independent errors, added in quadrature:

        - where the image shows an edge: ``boundary_sd_fraction`` of the point spread and the voxel
          taken together (model of the edge; the same everywhere, so it does not average out);
        - ``correction_sd_fraction`` of what was taken back for blur at a thin rim or a curved
          surface: the larger the correction, the less it is known;
        - noise: ``noise / gradient`` of the edge, over independent patches of one point spread
          squared;
        - :attr:`outline_sd_mm`.
        """
        mesh, seen, edges = self.envelope.mesh, self.envelope.seen, self.envelope.edges
        share = self._over_surface(seen)
        fwhm = math.prod(self.fwhm_zyx_mm) ** (1 / 3)
        voxel = math.prod(self.spacing_zyx_mm) ** (1 / 3)
        model = self.settings.boundary_sd_fraction * math.hypot(fwhm, voxel) * share
        corrected = self._over_surface(self.envelope.corrected_mm)
        contrast = (edges.peak_hu - edges.base_hu)[seen]
        noise = 0.0
        if contrast.size:
            gradient = float(np.median(contrast)) / (fwhm / FWHM_PER_SIGMA * math.sqrt(2 * math.pi))
            patches = max(mesh.area_mm2 * share / fwhm**2, 1.0)
            noise = self.noise_hu / max(gradient, 1.0) / math.sqrt(patches) * share
        return math.hypot(
            model, self.settings.correction_sd_fraction * corrected, noise, self.outline_sd_mm
        )

    def _over_surface(self, per_vertex: NDArray[Any]) -> float:
        """Mean over the surface, by area; of flags their share."""
        weights = self.envelope.mesh.vertex_area
        return float((weights * per_vertex).sum() / max(weights.sum(), 1e-9))

    @property
    def volume_mm3(self) -> Interval:
        """Of V_env: ``V exp(+-1.96 A s / V)``, which never falls below zero."""
        mesh = self.envelope.mesh
        return self._scaled(mesh.volume_mm3, mesh.area_mm2 / mesh.volume_mm3)

    @property
    def surface_area_mm2(self) -> Interval:
        """Of the surface, which goes with the volume to the power of 2/3."""
        mesh = self.envelope.mesh
        return self._scaled(mesh.area_mm2, 2 / 3 * mesh.area_mm2 / mesh.volume_mm3)

    def _scaled(self, value: float, per_mm: float) -> Interval:
        spread = Z95 * self.boundary_sd_mm * per_mm
        return value * math.exp(-spread), value * math.exp(spread)

    def max_diameter_mm(self, diameter_mm: float) -> Interval:
        """Of the largest diameter: both of its ends lie on the boundary."""
        spread = Z95 * math.sqrt(2) * self.boundary_sd_mm
        return max(diameter_mm - spread, 0.0), diameter_mm + spread

    def mass_sd_hu_mm3(self, mass: float, depths: DepthMap, voxel_mm3: float) -> float:
        """SD of the error of the integrated excess.

        Independent errors: that of the background over all voxels summed; noise over independent
        voxels; a boundary that may lie elsewhere where the image does not show it, with the
        lesion's mean excess there (where it does show it, the mass is not cut there); and what blur
        carries farther out than is summed, ``SPILLED`` of its sigma.
        """
        count = int(np.count_nonzero(depths.region))
        mesh = self.envelope.mesh
        elsewhere_mm = math.hypot(
            self.outline_sd_mm, SPILLED * self._over_surface(self.envelope.sigma_mm)
        )
        return math.hypot(
            self.background.sd_hu * count * voxel_mm3,
            self.noise_hu * voxel_mm3 * math.sqrt(count * self._correlated),
            elsewhere_mm * mesh.area_mm2 * mass / mesh.volume_mm3,
        )

    def mineral_mass_hu_mm3(self, mass: float, depths: DepthMap, voxel_mm3: float) -> Interval:
        """Of the integrated excess."""
        spread = Z95 * self.mass_sd_hu_mm3(mass, depths, voxel_mm3)
        return mass - spread, mass + spread

    def mean_hu(self, mean: float, depths: DepthMap, *, threshold_hu: float) -> Interval:
        """Of D_min: noise, and what the mean becomes when the boundary is moved by its own SD."""
        moved = [
            depths.mineral_hu(threshold_hu, shift)
            for shift in (self.boundary_sd_mm, -self.boundary_sd_mm)
        ]
        outer, inner = (float(hu.mean()) if hu.size else mean for hu in moved)
        count = max(depths.mineral_hu(threshold_hu).size, 1)
        sd = math.hypot((outer - inner) / 2, self.noise_hu * math.sqrt(self._correlated / count))
        return mean - Z95 * sd, mean + Z95 * sd

    def threshold_volume_mm3(
        self, volume_mm3: float, depths: DepthMap, voxel_mm3: float, *, threshold_hu: float
    ) -> Interval:
        """Of V_min: noise carries voxels across the threshold, and the outline cuts it off."""
        above = _normal((depths.hu[depths.region] - threshold_hu) / max(self.noise_hu, 1e-3))
        crossing = math.sqrt(float((above * (1 - above)).sum()) * self._correlated) * voxel_mm3
        mesh = self.envelope.mesh
        cut = self.outline_sd_mm * mesh.area_mm2 * min(volume_mm3 / mesh.volume_mm3, 1.0)
        sd = math.hypot(crossing, cut)
        return max(volume_mm3 - Z95 * sd, 0.0), volume_mm3 + Z95 * sd

    @property
    def grain_mm3(self) -> float:
        """Volume in which voxels are not independent: a point spread, at least a voxel."""
        return max(math.prod(self.fwhm_zyx_mm), math.prod(self.spacing_zyx_mm))

    @property
    def _correlated(self) -> float:
        """Voxels that share one grain of noise."""
        return self.grain_mm3 / math.prod(self.spacing_zyx_mm)

    def fraction(self, value: float, independent: float) -> Interval:
        """Wilson's interval of a fraction of so many independent readings (Wilson 1927)."""
        n = max(independent, 1.0)
        middle = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * math.sqrt(value * (1 - value) / n + (Z95 / (2 * n)) ** 2) / (1 + Z95**2 / n)
        return max(min(middle - half, value), 0.0), min(max(middle + half, value), 1.0)

    def difference(
        self, value: float, one: tuple[float, float], other: tuple[float, float]
    ) -> Interval:
        """Of a difference of two means, each with its SD and its number of independent readings."""
        sd = math.hypot(*(spread / math.sqrt(max(n, 1.0)) for spread, n in (one, other)))
        return value - Z95 * sd, value + Z95 * sd

    def median_ranks(self, independent: float) -> tuple[float, float, float]:
        """Ranks (0 to 1) of a median's lower limit, of itself and of its upper limit."""
        half = min(0.5 * Z95 / math.sqrt(max(independent, 1.0)), 0.5)
        return 0.5 - half, 0.5, 0.5 + half

    @property
    def independent_profiles(self) -> float:
        """How many profiles of the free surface are independent: one for a point spread squared."""
        area = float(self.envelope.mesh.vertex_area[self.envelope.free].sum())
        return area / math.prod(self.fwhm_zyx_mm) ** (2 / 3)


def _normal(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative normal distribution."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z))
