"""What an ossification of a given stage is made of: HU on a fine grid, before any blur.

The stages follow the published time course of myositis ossificans (see
``docs/methods/simulate.md``): faint floccules, then mineral that gathers at the periphery, at
last a cortical shell round marrow. The numbers are the simulator's own, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.simulate.noise import SmoothField

SOFT_HU = 50.0
"""HU of the matrix between clumps (muscle-like)."""

MARROW_HU = -20.0
"""HU of the marrow of a mature lesion between its trabeculae (fatty, some red marrow)."""


MANNERS = ("zonal", "cloud", "solid", "spongy", "reverse")
"""Kinds of texture: rim first (``zonal``, the published course); a haze that thins towards its
edge (``cloud``); dense throughout without a core (``solid``); a complete rim round spongy bone in
place of fatty marrow (``spongy``); a dense centre under a faint edge, as some sarcomas have it
(``reverse``)."""


@dataclass(frozen=True)
class Texture:
    """Makes the HU inside a lesion from depth below the surface and position.

    Attributes:
        stage: 0 (faint, no rim) to 1 (cortical shell, marrow core).
        seed: Draws clumps, gaps and trabeculae; the same seed keeps them in place over time.
        shell_mm: Thickness of the complete shell, mm (1 to 2 is realistic).
        shell_hu: HU of the complete shell.
        manner: One of :data:`MANNERS`.
    """

    stage: float
    seed: int
    shell_mm: float = 1.5
    shell_hu: float = 1150.0
    manner: str = "zonal"

    def hu(self, offsets_mm: NDArray[Any], depth_mm: NDArray[Any]) -> NDArray[np.float32]:
        """HU at points inside the lesion.

        Args:
            offsets_mm: Offsets from the lesion's centre, LPS mm, ``(n, 3)``.
            depth_mm: Depth below the surface, mm, ``(n,)``, positive inside.

        Returns:
            float32 ``(n,)``.
        """
        s = float(self.stage)
        if self.manner == "cloud":
            return self._cloud(offsets_mm, depth_mm, s)
        if self.manner == "solid":
            grain = SmoothField([self.seed, 32], 1.5)(offsets_mm)
            level = 350.0 + 600.0 * s * s
            return np.asarray(level * (1.0 + 0.06 * np.clip(grain, -2, 2)), np.float32)
        if self.manner == "reverse":
            # No number is published: the edge and how far the centre exceeds it are drawn.
            edge, rise = np.random.default_rng([self.seed, 40]).uniform((180, 250), (420, 600))
            grain = SmoothField([self.seed, 39], 2.2)(offsets_mm)
            dense = edge + rise * _step(depth_mm, 1.5, 4.5)
            return np.asarray(dense * (1.0 + 0.1 * np.clip(grain, -2, 2)), np.float32)
        core = self._spongy(offsets_mm) if self.manner == "spongy" else self._core(offsets_mm, s)
        cover, rim_hu, rim_mm = self._rim(offsets_mm, s)
        # The rim's inner face is diffuse while immature and sharp at the end.
        inner = np.float32(max(1.6 * (1.0 - s), 0.3))
        in_rim = np.clip((rim_mm - depth_mm) / inner + 0.5, 0.0, 1.0) * cover
        return np.asarray(core + in_rim * (rim_hu - core), np.float32)

    def _cloud(
        self, offsets_mm: NDArray[Any], depth_mm: NDArray[Any], s: float
    ) -> NDArray[np.float32]:
        """Mineral in soft clouds of 4 mm, a little denser half-way out, thinning at the edge."""
        clouds = SmoothField([self.seed, 36], 4.0)(offsets_mm)
        haze = np.clip(0.75 + 0.45 * clouds, 0.1, 1.8)
        edge = _step(depth_mm, -0.4, 1.8)
        zone = 1.0 + 0.35 * np.exp(-(((depth_mm - 3.0) / 2.0) ** 2))
        rise = (90.0 + 230.0 * s) * haze * edge * zone
        return np.asarray(SOFT_HU + rise, np.float32)

    def _spongy(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Trabeculae of 1-2 mm with red marrow between, 100-350 HU on the average."""
        struts = SmoothField([self.seed, 37], 1.1)(offsets_mm)
        level = 130.0 + 120.0 * float(np.random.default_rng([self.seed, 38]).random())
        return np.asarray(level + 110.0 * np.clip(struts, -1.5, 2.0), np.float32)

    def _core(self, offsets_mm: NDArray[Any], s: float) -> NDArray[np.float32]:
        """Floccules on soft tissue that give way to marrow with trabeculae."""
        clumps = SmoothField([self.seed, 31], 2.6)(offsets_mm)
        grain = SmoothField([self.seed, 32], 1.5)(offsets_mm)
        # Clumps of 120-300 HU fill a little over half of a faint lesion.
        strength = _step(clumps, -0.5, 0.4)
        peak = 170.0 + 180.0 * s + 55.0 * np.clip(grain, -1.0, 2.2)
        floccular = SOFT_HU + strength * (peak - SOFT_HU)
        if s <= 0.4:
            return np.asarray(floccular, np.float32)
        struts = 1.0 - _step(np.abs(SmoothField([self.seed, 33], 2.0)(offsets_mm)), 0.25, 0.55)
        marrow = MARROW_HU + 40.0 * np.clip(clumps, -1, 1) + 240.0 * struts
        turn = float(_step(np.array([s]), 0.4, 0.95)[0])
        return np.asarray(floccular * (1.0 - turn) + marrow * turn, np.float32)

    def _rim(
        self, offsets_mm: NDArray[Any], s: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Cover (0..1), HU and thickness of the peripheral mineral."""
        # A unit-variance field exceeds its threshold on a part of the surface that rises from
        # about 0 at stage 0.15 over one half at 0.5 to everything at 0.9.
        threshold = 2.2 - 4.4 * np.clip((s - 0.15) / 0.75, 0.0, 1.0)
        patches = SmoothField([self.seed, 34], 6.0)(offsets_mm)
        cover = _step(patches, threshold - 0.3, threshold + 0.3)
        if s >= 0.9:
            cover = np.ones_like(cover)
        level = 260.0 + (self.shell_hu - 260.0) * float(_step(np.array([s]), 0.1, 1.0)[0])
        unevenness = SmoothField([self.seed, 35], 3.0)(offsets_mm)
        hu = level * (1.0 + 0.08 * np.clip(unevenness, -2, 2))
        thickness = self.shell_mm + 1.2 * (1.0 - s)
        return cover, np.asarray(hu, np.float32), float(thickness)


def _step(x: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Smoothstep from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
