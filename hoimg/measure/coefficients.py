"""Tabulated attenuation: what tissues and hydroxyapatite read at one photon energy.

Mass attenuation coefficients with coherent scattering, cm2/g, from the NIST tables (J. H. Hubbell
and S. M. Seltzer, NISTIR 5632, 2004 edition; the elements are XCOM's). Compounds are mixed by mass
fraction: water; adipose tissue (density 0.95) and skeletal muscle (1.05) as in ICRU report 44;
hydroxyapatite Ca10(PO4)6(OH)2 with its crystal's density of 3.16 g/cm3.

CT is not monochromatic. An effective energy is the one at which a table reads as the scanner does.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HYDROXYAPATITE_G_CM3 = 3.16
"""Density of the crystal: what a mass of mineral displaces of the tissue that it lies in."""

ENERGY_KEV = (30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)

_ELEMENTS: dict[str, tuple[float, ...]] = {
    "H": (0.3570, 0.3458, 0.3355, 0.3260, 0.3091, 0.2944, 0.2651),
    "C": (0.2562, 0.2076, 0.1871, 0.1753, 0.1610, 0.1514, 0.1347),
    "N": (0.3066, 0.2288, 0.1980, 0.1817, 0.1639, 0.1529, 0.1353),
    "O": (0.3779, 0.2585, 0.2132, 0.1907, 0.1678, 0.1551, 0.1361),
    "Na": (0.7197, 0.3969, 0.2804, 0.2268, 0.1796, 0.1585, 0.1335),
    "P": (1.700, 0.8096, 0.4916, 0.3494, 0.2324, 0.1865, 0.1432),
    "S": (2.113, 0.9872, 0.5849, 0.4053, 0.2585, 0.2020, 0.1506),
    "Cl": (2.425, 1.117, 0.6483, 0.4395, 0.2696, 0.2050, 0.1480),
    "K": (3.413, 1.541, 0.8679, 0.5678, 0.3251, 0.2345, 0.1582),
    "Ca": (4.080, 1.830, 1.019, 0.6578, 0.3656, 0.2571, 0.1674),
}

# Mass fractions, and density in g/cm3.
_MATERIALS: dict[str, tuple[dict[str, float], float]] = {
    "water": ({"H": 0.1119, "O": 0.8881}, 1.0),
    "adipose": (
        {"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001, "Cl": 0.001},
        0.95,
    ),
    "muscle": (
        {
            "H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "Na": 0.001, "P": 0.002, "S": 0.003,
            "Cl": 0.001, "K": 0.004,
        },
        1.05,
    ),
    "hydroxyapatite": (
        {"H": 0.0020, "O": 0.4141, "P": 0.1850, "Ca": 0.3989},
        HYDROXYAPATITE_G_CM3,
    ),
}  # fmt: skip


def mass_attenuation(material: str, kev: Floats) -> Floats:
    """Mass attenuation coefficient, cm2/g; a cubic in log-log joins the tabulated energies.

    Args:
        material: ``water``, ``adipose``, ``muscle`` or ``hydroxyapatite``.
        kev: Photon energies, 30 to 150 keV.

    Returns:
        One value for each energy; within 0.1 % of XCOM between the tabulated ones.
    """
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.log(ENERGY_KEV), np.log(_tabulated(material)))
    return np.exp(np.asarray(curve(np.log(kev)), np.float64))


def tissue_hu(material: str, kev: Floats) -> Floats:
    """HU of a material at photon energies: ``1000 (mu / mu_water - 1)``."""
    density = _MATERIALS[material][1]
    ratio = mass_attenuation(material, kev) / mass_attenuation("water", kev)
    return np.asarray(1000.0 * (ratio * density - 1.0))


def hydroxyapatite_slope(kev: Floats) -> Floats:
    """HU that 1 mg of hydroxyapatite per cm3 adds in place of water.

    ``(mu/rho) / (mu/rho)_water - 1 / 3.16``: what the mineral attenuates, less what the water in
    its place did. For other tissue see :func:`hoimg.measure.calibration.slope_in`.

    Args:
        kev: Photon energies, 30 to 150 keV.
    """
    ratio = mass_attenuation("hydroxyapatite", kev) / mass_attenuation("water", kev)
    return np.asarray(ratio - 1.0 / HYDROXYAPATITE_G_CM3)


@cache
def _tabulated(material: str) -> tuple[float, ...]:
    fractions = _MATERIALS[material][0]
    table = np.array([_ELEMENTS[element] for element in fractions])
    return tuple(np.asarray(list(fractions.values())) @ table)
