#!/usr/bin/env python3
"""Score outlines and measures on a made set: ``run.py FOLDER -o OUT`` writes ``table.md``.

Each lesion on each film gets the region that a reader might draw: a box or a polygon round its true
shadow with a margin of 4-12 mm on each side, drawn from the seed of the case. There is a file of
facts for each case; it is not made again when it is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import films_of
from score import table

from hoimg.dicom import load_radiograph
from hoimg.image import Radiograph
from hoimg.measure.film import FilmMeasurement, measure_on_film
from hoimg.segment.film_outline import outline_in_region
from hoimg.settings import Settings

MARGIN_MM = (4.0, 12.0)
"""At the detector."""
REGIONS = ("box", "polygon")
Facts = dict[str, Any]
Bools = NDArray[np.bool_]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--region", choices=REGIONS, default="box")
    args = parser.parse_args()
    folders = sorted(p.parent for p in args.folder.glob("*/case.json"))
    if not folders:
        raise SystemExit(f"{args.folder}: no case.json below it; make cases with make.py")
    out = args.output / args.region
    out.mkdir(parents=True, exist_ok=True)
    facts: list[Facts] = []
    for folder in folders:
        file = out / f"{folder.name}.json"
        if not file.exists():
            made = list(case_facts(folder, args.region))
            file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            print(folder.name, file=sys.stderr, flush=True)
        facts += json.loads(file.read_text(encoding="utf-8"))
    text = table(facts, args.folder.name, args.region)
    (out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def case_facts(folder: Path, kind: str) -> Iterator[Facts]:
    """One record for each lesion on each film of a case."""
    from PIL import Image

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    settings = Settings()
    for number, exam in enumerate(case["exams"]):
        found = films_of(folder, exam, settings)
        for place, (entry, info) in enumerate(zip(exam["films"], found, strict=True)):
            film = load_radiograph(info)
            labels = np.asarray(Image.open(folder / entry["labelmap"]))
            for lesion in case["lesions"]:
                for seen in lesion["observations"]:
                    if (seen["exam"], seen["film"]) != (number, place):
                        continue
                    shadow = labels == seen["label"]
                    half = seen.get("exposure")
                    if half is not None:
                        middle = shadow.shape[1] // 2
                        shadow[:, middle:] &= half == 1
                        shadow[:, :middle] &= half == 0
                    base = {
                        "case": folder.name,
                        "family": case["family"],
                        "traits": case.get("traits", []),
                        "lesion": lesion["id"],
                        "where": lesion["where"],
                        "exam": number,
                        "film": place,
                        "view": entry["view"],
                        "processing": entry["processing"],
                        "truth": seen,
                    }
                    if shadow.any():
                        yield base | _tried(film, shadow, entry, seen, case["seed"], kind, settings)


def _tried(
    film: Radiograph,
    shadow: Bools,
    entry: Facts,
    seen: Facts,
    seed: int,
    kind: str,
    settings: Settings,
) -> Facts:
    """Outline, measure and compare."""
    pixel = entry["spacing_detector_mm"]
    key = [seed, seen["label"], seen["exam"], seen["film"], REGIONS.index(kind)]
    region = draw_region(shadow, pixel, kind, np.random.default_rng(key))
    start = time.perf_counter()
    outline = outline_in_region(film, region, settings.film)
    made = measure_on_film(film, outline, settings.film)
    seconds = time.perf_counter() - start
    drawn = float(shadow.sum()) * pixel**2
    facts: Facts = {
        # A pixel under two lesions belongs to the denser one: the other's map has a bite.
        "overlapped": drawn < 0.97 * seen["area_detector_mm2"],
        "reason": outline.reason,
        "flags": list(made.flags),
        "cnr": outline.contrast_to_noise,
        "edge_cost": outline.edge_cost,
        "seconds": round(seconds, 3),
        "dice": None,
    }
    if outline.inside_yx is None:
        return facts
    both = float((outline.inside_yx & shadow).sum())
    facts["dice"] = 2 * both / float(outline.inside_yx.sum() + shadow.sum())
    return facts | _numbers(made, shadow, entry, seen)


def _numbers(made: FilmMeasurement, shadow: Bools, entry: Facts, seen: Facts) -> Facts:
    """Measured and true numbers in the same unit: mm where the film gives them, else pixels."""
    names = ("corticated_fraction", "edge_ratio", "density_index")
    facts: Facts = {"spacing_source": made.spacing_source}
    for name in names:
        facts[name] = getattr(made, name)
        facts[f"{name}_ci95"] = getattr(made, f"{name}_ci95")
    pixel = entry["spacing_detector_mm"]
    facts["area_true_px2"] = float(shadow.sum())
    facts["area_px2"], facts["area_ci95_px2"] = made.area_px2, made.area_ci95_px2
    if made.area_mm2 is None:
        return facts
    at_detector = made.spacing_source == "detector_uncorrected"
    return facts | {
        "area_mm2": made.area_mm2,
        "area_ci95_mm2": made.area_ci95_mm2,
        "length_mm": made.length_mm,
        "length_ci95_mm": made.length_ci95_mm,
        "area_true_mm2": seen["area_detector_mm2" if at_detector else "area_mm2"],
        "length_true_mm": seen["length_detector_mm" if at_detector else "length_mm"],
        "corrected": not at_detector,
        "pixel_mm": pixel,
    }


def draw_region(
    shadow: Bools, pixel_mm: float, kind: str, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A reader's region round a shadow.

    Args:
        shadow: Bool ``[y, x]``, not empty.
        pixel_mm: At the detector.
        kind: ``box``, each side with its own margin; ``polygon``: the convex hull of the shadow,
            each corner moved outwards by its own margin.
        rng: Draws the margins, 4-12 mm.
    """
    from scipy.spatial import ConvexHull
    from skimage.draw import polygon2mask

    if kind == "box":
        rows, columns = (np.flatnonzero(shadow.any(axis=1 - axis)) for axis in (0, 1))
        top, bottom, left, right = np.round(rng.uniform(*MARGIN_MM, 4) / pixel_mm).astype(int)
        region = np.zeros(shadow.shape, bool)
        region[
            max(rows[0] - top, 0) : rows[-1] + 1 + bottom,
            max(columns[0] - left, 0) : columns[-1] + 1 + right,
        ] = True
        return region
    # The margin as a ring of points round each pixel of the hull, so that no side cuts it.
    points = np.argwhere(shadow).astype(float)
    corners = points[ConvexHull(points).vertices] if len(points) > 3 else points
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.sin(angles), np.cos(angles)], 1)
    margins = rng.uniform(*MARGIN_MM, len(corners)) / pixel_mm
    cloud = (corners[:, None, :] + margins[:, None, None] * ring[None]).reshape(-1, 2)
    hull = cloud[ConvexHull(cloud).vertices]
    return np.asarray(polygon2mask(shadow.shape, hull))


if __name__ == "__main__":
    sys.exit(main())
