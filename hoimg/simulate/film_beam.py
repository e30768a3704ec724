"""What a diagnostic X-ray beam does: its spectrum, and what water, mineral and metal let through.

Simple and stated. The spectrum is Kramers' (photon fluence falls as ``kVp / E - 1``) behind 3 mm of
aluminium, in steps of 5 keV from 30 keV on; softer photons do not get through a body. Mass
attenuation coefficients with coherent scattering are NIST's (J. H. Hubbell and S. M. Seltzer,
NISTIR 5632), joined by a cubic in log-log between the tabulated energies; hydroxyapatite is mixed
by mass fraction from the elements. Metal is cobalt-chromium, taken as iron (atomic number 26 beside
24 and 27) of 8.3 g/cm3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TABLE_KEV = (30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
MASS_ATTENUATION_CM2_G = {
    "water": (0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707),
    "hydroxyapatite": (2.0992, 0.9876, 0.5865, 0.4067, 0.2590, 0.2013),
    "metal": (8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717),
    "aluminium": (1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704),
}
"""Mass attenuation coefficients at :data:`TABLE_KEV`."""

METAL_G_CM3 = 8.3
HYDROXYAPATITE_G_CM3 = 3.16
FILTER_CM = 0.3
ALUMINIUM_G_CM3 = 2.70

HU_PER_MG_CM3 = 1.4
"""HU that 1 mg of hydroxyapatite per cm3 adds at 120 kVp (1.2 to 1.7 in the literature)."""
SOFT_HU = 60.0
"""HU above which a voxel counts as soft tissue with mineral in it; below, as diluted water."""


def mass_attenuation(material: str, kev: Floats) -> Floats:
    """Mass attenuation coefficient, cm2/g, of a material of the table at 30 to 100 keV."""
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.log(TABLE_KEV), np.log(MASS_ATTENUATION_CM2_G[material]))
    return np.exp(np.asarray(curve(np.log(kev)), np.float64))


@dataclass(frozen=True)
class Beam:
    """A spectrum as it leaves the tube, weighted by what an energy-integrating detector counts.

    Attributes:
        kvp: Tube voltage, 45 to 100 kV.
    """

    kvp: float = 70.0

    def bins(self) -> tuple[Floats, Floats]:
        """Photon energies, keV, and their share of the detected energy in air (sum 1)."""
        if not 45 <= self.kvp <= 100:
            raise ValueError(f"the beam is modelled for 45 to 100 kVp, got {self.kvp}")
        kev = np.arange(32.5, self.kvp, 5.0)
        fluence = (self.kvp / kev - 1.0) * np.exp(
            -mass_attenuation("aluminium", kev) * ALUMINIUM_G_CM3 * FILTER_CM
        )
        energy = fluence * kev
        return kev, energy / energy.sum()

    def transmitted(
        self,
        water_mm: NDArray[np.float32],
        mineral_g_cm2: NDArray[np.float32],
        metal_mm: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Detected energy behind an object, as a share of that in air (Beer and Lambert per bin).

        Args:
            water_mm: Water-equivalent path, mm.
            mineral_g_cm2: Hydroxyapatite along the ray, g/cm2.
            metal_mm: Metal along the ray, mm; None for none.
        """
        out = np.zeros(np.shape(water_mm), np.float32)
        for kev, weight in zip(*self.bins(), strict=True):
            at = np.array([kev])
            depth = water_mm * np.float32(0.1 * mass_attenuation("water", at)[0])
            depth += mineral_g_cm2 * np.float32(mass_attenuation("hydroxyapatite", at)[0])
            if metal_mm is not None:
                cm2_g = float(mass_attenuation("metal", at)[0])
                depth += metal_mm * np.float32(0.1 * METAL_G_CM3 * cm2_g)
            out += np.float32(weight) * np.exp(-depth)
        return out


def water_and_mineral(hu: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a voxel of a CT is made of.

    Below :data:`SOFT_HU` water of density ``1 + HU / 1000`` (fat and gas as diluted water); above
    it soft tissue with hydroxyapatite that takes the place of its own volume.

    Args:
        hu: CT numbers at 120 kVp.

    Returns:
        Water-equivalent density (1 is water) and hydroxyapatite, g/cm3.
    """
    mineral = np.clip(hu - np.float32(SOFT_HU), 0, None) * np.float32(1e-3 / HU_PER_MG_CM3)
    water = np.clip(1.0 + np.minimum(hu, np.float32(SOFT_HU)) * np.float32(1e-3), 0, None)
    water -= mineral * np.float32(1.0 / HYDROXYAPATITE_G_CM3)
    return np.asarray(water, np.float32), np.asarray(mineral, np.float32)
