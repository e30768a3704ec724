#!/usr/bin/env python3
"""First-order and shape values against another implementation of the IBSI definitions.

    pip install mirp; python benchmarks/ibsi.py [--count 12] [-o FILE]

Bodies of known form (``physics_objects.py``) are given to ``mirp`` (Zwanenburg et al.) and to hoimg
as the same voxels and the same mask, so that nothing but the definitions differs. Prints a table
ready for ``docs/validation.md``.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from physics import drawn
from physics_objects import Scanned, scanned

FIRST_SEED = 9801
THRESHOLD_HU = 150.0


@dataclass(frozen=True)
class Pair:
    """One value of one body by both programs."""

    name: str
    hoimg: float
    mirp: float


NAMES = {
    "volume (RNU0), mm³": "morph_volume",
    "surface (C0JK), mm²": "morph_area_mesh",
    "sphericity (QCFX)": "morph_sphericity",
    "largest diameter (L0JK), mm": "morph_diam",
    "mean (Q4LE), HU": "stat_mean",
    "SD (root of ECT3), HU": "stat_var",
    "median (Y12H), HU": "stat_median",
}
WHY = {
    "volume (RNU0), mm³": "mirp's mesh cuts voxels' corners off, most where they are few and thick",
    "largest diameter (L0JK), mm": "hoimg's mesh is smooth, mirp's reaches out to voxels' faces",
    "surface (C0JK), mm²": "mirp's mesh has the voxels' stairs",
    "sphericity (QCFX)": "the same stairs",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    pairs, spheres = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + args.count):
        thing, scan = drawn(seed)
        seen = scanned(thing, scan)
        found = both(seen)
        pairs += found
        if thing.form == "sphere":
            true = np.pi * thing.diameter_mm**2
            area = next(p for p in found if p.name.startswith("surface"))
            spheres.append((100 * (area.hoimg / true - 1), 100 * (area.mirp / true - 1)))
    lines = ["| | median difference, % | largest, % | |", "|---|---|---|---|"]
    for name in NAMES:
        off = np.array([100 * (p.hoimg / p.mirp - 1) for p in pairs if p.name == name])
        why = WHY.get(name, "")
        lines.append(f"| {name} | {np.median(off):+.2f} | {np.abs(off).max():.2f} | {why} |")
    if spheres:
        own, other = np.median(np.array(spheres), axis=0)
        lines.append(
            f"| surface of the {len(spheres)} balls against πd² | hoimg {own:+.1f}, "
            f"mirp {other:+.1f} | | |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    return 0


def both(seen: Scanned) -> list[Pair]:
    """All values of a body by both programs, from its true mask."""
    from hoimg.measure.density import DepthMap, density_of
    from hoimg.measure.shape import shape_of
    from hoimg.measure.surface import mesh_of_mask

    spacing, mask = seen.scan.spacing, seen.inside
    mesh = mesh_of_mask(mask, spacing)
    if mesh is None:
        raise RuntimeError("a body holds no voxel")
    shape = shape_of(mesh)
    index = np.argwhere(mask)
    plain = np.zeros(len(index))
    density = density_of(
        DepthMap(index, seen.hu[mask].astype(float), plain, plain == 0, plain),
        float(np.prod(spacing)),
        background_hu=0.0,
        threshold_hu=THRESHOLD_HU,
    )
    form = by_mirp(seen.hu, mask, spacing)
    mineral = by_mirp(seen.hu, mask & (seen.hu >= THRESHOLD_HU), spacing)
    own = (
        shape.volume_mm3,
        shape.surface_area_mm2,
        shape.sphericity,
        shape.max_diameter_mm,
        density.mean_hu,
        density.sd_hu,
        density.median_hu,
    )
    out = []
    for (name, key), value in zip(NAMES.items(), own, strict=True):
        other = float((form if key.startswith("morph") else mineral)[key])
        if value is not None:
            out.append(Pair(name, float(value), other**0.5 if key == "stat_var" else other))
    return out


def by_mirp(
    hu: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]
) -> dict[str, float]:
    """What mirp says of a mask, by its own names."""
    import SimpleITK as sitk
    from mirp import extract_features

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, array in (("image", hu.astype(np.float32)), ("mask", mask.astype(np.uint8))):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(spacing[::-1])
            paths.append(f"{folder}/{name}.nii.gz")
            sitk.WriteImage(image, paths[-1])
        made = extract_features(
            image=paths[0],
            mask=paths[1],
            base_feature_families=["morphological", "statistical"],
            base_discretisation_method="none",
        )
    return dict(made[0].iloc[0])


if __name__ == "__main__":
    raise SystemExit(main())
