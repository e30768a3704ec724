#!/usr/bin/env python3
"""The pictures of ``docs/methods/measure.md``, drawn from measurements of bodies of known form.

    pip install matplotlib; python benchmarks/pictures.py

Writes ``docs/images/measure_*.png``. Nothing is drawn by hand: each curve and outline is what
``hoimg.measure`` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from physics_objects import Scan, Thing, scanned

mpl.use("Agg")
ROOT = Path(__file__).resolve().parents[1]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
"""Okabe and Ito's colours, told apart by the colour-blind."""


def main() -> int:
    seen = scanned(Thing("sphere", 18.0, 950.0, 1.8, 40.0, seed=4), Scan(1.0, 0.6, 1.1, 12.0))
    parts = measured(seen)
    envelope(seen, parts)
    profile(parts)
    regions(seen, parts)
    return 0


def measured(seen: Any) -> dict[str, Any]:
    """The surface, profiles and depths of a body, as ``measure_lesion`` has them."""
    from hoimg.measure.background import local_background
    from hoimg.measure.density import depth_map
    from hoimg.measure.size import half_maximum_envelope
    from hoimg.measure.surface import mesh_of_mask
    from hoimg.measure.view import view_of_arrays

    scan = seen.scan
    view = view_of_arrays(seen.hu, scan.spacing, seen.inside)
    start = mesh_of_mask(seen.inside, scan.spacing)
    background = local_background(view)
    found = half_maximum_envelope(
        view,
        start,
        background_hu=background.hu,
        fwhm_zyx_mm=(scan.slice_mm, scan.fwhm_mm, scan.fwhm_mm),
        noise_hu=scan.noise_hu,
    )
    depths = depth_map(view, found.mesh, found.sigma_mm)
    return {"envelope": found, "depths": depths, "background": background}


def envelope(seen: Any, parts: dict[str, Any]) -> None:
    """One slice with the fixed threshold and the half-maximum envelope."""
    dz, dy, dx = seen.scan.spacing
    k = seen.hu.shape[0] // 2
    figure, axes = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    extent = (0, seen.hu.shape[2] * dx, seen.hu.shape[1] * dy, 0)
    axes.imshow(seen.hu[k], cmap="gray", vmin=-150, vmax=900, extent=extent)
    rows, columns = (np.arange(n) + 0.5 for n in seen.hu.shape[1:])
    axes.contour(columns * dx, rows * dy, seen.hu[k], [150.0], colors=ORANGE, linestyles="--")
    points = parts["envelope"].mesh.points
    near = points[np.abs(points[:, 0] - k * dz) < 0.35]
    angle = np.argsort(np.arctan2(*(near[:, 1:] - near[:, 1:].mean(0)).T))
    ring = near[np.append(angle, angle[:1])]
    axes.plot(ring[:, 2] + dx / 2, ring[:, 1] + dy / 2, color=BLUE)
    axes.plot([], [], "--", color=ORANGE, label="150 HU")
    axes.plot([], [], color=BLUE, label="half-maximum envelope")
    axes.legend(loc="upper right", fontsize=8)
    axes.set(xlabel="mm", ylabel="mm", title="Shell of 18 mm, 1.8 mm thick")
    save(figure, "measure_envelope")


def profile(parts: dict[str, Any]) -> None:
    """One profile across the surface with what is read from it."""
    from hoimg.measure.profiles import DISTANCES_MM

    found = parts["envelope"]
    typical = np.flatnonzero(found.seen)
    one = typical[np.abs(found.edges.peak_hu[typical] - np.median(found.edges.peak_hu)).argmin()]
    times = found.read_mesh.rounds_for(1.2)
    line = found.read_mesh.average(found.profiles, times)[one]
    edges = found.edges
    base, peak, half = edges.base_hu[one], edges.peak_hu[one], edges.half_mm[one]
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    axes.plot(DISTANCES_MM, line, color=GREY)
    axes.axhline(base, color=GREEN, linewidth=1, linestyle=":")
    axes.axhline(peak, color=ORANGE, linewidth=1, linestyle=":")
    axes.plot([half], [(base + peak) / 2], "o", color=BLUE)
    for part in (0.1, 0.9):
        axes.axhline(base + part * (peak - base), color=GREY, linewidth=0.5)
    axes.annotate("peak: RIM", (-4.6, peak + 20), color=ORANGE)
    axes.annotate("soft tissue outside", (1.6, base + 14), color=GREEN)
    axes.annotate("half height: the boundary", (half + 0.25, (base + peak) / 2), color=BLUE)
    axes.annotate(
        f"10-90 %: {edges.width_mm[one]:.1f} mm (EDGE)", (1.6, base + 0.7 * (peak - base))
    )
    axes.set(
        xlim=(-5, 5),
        ylim=(0, 1.12 * peak),
        xlabel="mm from the surface, outside to the right",
        ylabel="HU",
        title="A profile along the normal",
    )  # fmt: skip
    save(figure, "measure_profile")


def regions(seen: Any, parts: dict[str, Any]) -> None:
    """Which voxels outer zone, core, mass and background rest on."""
    from hoimg.measure.background import GAP_MM, REACH_MM
    from hoimg.settings import MeasureSettings

    settings, depths = MeasureSettings(), parts["depths"]
    k = seen.hu.shape[0] // 2
    kind = np.full(seen.hu.shape[1:], np.nan)
    here = depths.index[:, 0] == k
    row, column = depths.index[here, 1], depths.index[here, 2]
    depth, sigma = depths.depth_mm[here], depths.sigma_mm[here]
    kind[row, column] = np.where(depth < -2 * sigma - 0.25, np.nan, 0.0)
    zone = (depth >= 0) & (depth <= settings.rim_depth_mm)
    kind[row[zone], column[zone]] = 1.0
    core = depth >= settings.core_depth_mm
    kind[row[core], column[core]] = 2.0
    from scipy import ndimage

    _, dy, dx = seen.scan.spacing
    away = ndimage.distance_transform_edt(~seen.inside, sampling=seen.scan.spacing)[k]
    kind[(away > GAP_MM) & (away <= REACH_MM)] = 3.0
    figure, axes = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
    extent = (0, seen.hu.shape[2] * dx, seen.hu.shape[1] * dy, 0)
    axes.imshow(seen.hu[k], cmap="gray", vmin=-150, vmax=900, extent=extent)
    colours = mpl.colors.ListedColormap([GREY, ORANGE, BLUE, GREEN])
    axes.imshow(kind, cmap=colours, vmin=-0.5, vmax=3.5, alpha=0.55, extent=extent)
    words = ("mass, with the rest inside", "outer zone (ZONE)", "core (ZONE, CORE)", "background")
    for colour, word in zip(colours.colors, words, strict=True):
        axes.plot([], [], "s", color=colour, label=word)
    axes.legend(loc="upper right", fontsize=7)
    axes.set(xlabel="mm", ylabel="mm", title="Where each number is read")
    save(figure, "measure_regions")


def save(figure: Any, name: str) -> None:
    """Write one picture."""
    figure.savefig(ROOT / "docs" / "images" / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
