"""How far soft tissue goes with each bone of a bent joint, as a lattice of shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.serial.surface import Points

STIFF_MM, FREE_MM = 6.0, 8.0
"""Up to the first distance from bone everything goes with the bones; from the second with the
tissue. Muscle is anchored where it lies on bone, and so is ossification there."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """Shares of the parts' motions that tissue follows, read from the images.

    Attributes:
        grid: The lattice of nodes in the fixed exam.
        shares: ``(parts, z, y, x)``: share of each accepted part at the nodes, sums to 1.
        trust: ``(z, y, x)``: 1 where the images told it, 0 where the blend by distance stands.
    """

    grid: Grid
    shares: NDArray[np.float64]
    trust: NDArray[np.float64]

    def mended(
        self, points_lps_mm: Points, weights: NDArray[np.float64], away_mm: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weights by distance, put right where the images tell.

        Args:
            points_lps_mm: Fixed points ``(n, 3)``.
            weights: Weights of the accepted parts there by distance, ``(parts, n)``.
            away_mm: Distance of each point to the nearest bone, placed or not, ``(n,)``.

        Returns:
            Weights ``(parts, n)``: unchanged up to ``STIFF_MM`` from bone, outside of the lattice
            and where it is not trusted; continuous everywhere.
        """
        from scipy.ndimage import map_coordinates

        index = self.grid.to_index_zyx(points_lps_mm).T

        def at(nodes: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
            found: NDArray[np.float64] = map_coordinates(nodes, index, order=1, mode=mode)
            return found

        far = np.clip((away_mm - STIFF_MM) / (FREE_MM - STIFF_MM), 0, 1)
        trust = far**2 * (3 - 2 * far) * at(self.trust, "grid-constant")
        told = np.stack([at(share, "nearest") for share in self.shares])
        mended: NDArray[np.float64] = (1 - trust) * weights + trust * told
        return mended
