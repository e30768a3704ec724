#!/usr/bin/env python3
"""Score hip grades on a made set: ``hips.py FOLDER -o OUT`` writes ``hips.md``.

Lesions are the true label maps (``--outlines true``), or what is outlined in boxes that a reader
might draw (``--outlines regions``, as in ``run.py``); landmarks are found on the film. Scored are
frontal films of the family ``graded``. ``hips.json`` holds a line for each hip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import films_of

from hoimg.dicom import load_radiograph
from hoimg.maturity.film_hip import grade_film_hip
from hoimg.measure.film_hips import FilmHip, hips_on_film
from hoimg.segment.film_landmarks import find_hip_landmarks
from hoimg.settings import Settings

Facts = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--outlines", choices=("true", "regions"), default="true")
    args = parser.parse_args()
    folders = sorted(p.parent for p in args.folder.glob("graded-*/case.json"))
    if not folders:
        raise SystemExit(f"{args.folder}: no graded case below it; make them with make.py")
    args.output.mkdir(parents=True, exist_ok=True)
    facts: list[Facts] = []
    for folder in folders:
        facts += list(case_facts(folder, args.outlines))
        print(folder.name, file=sys.stderr, flush=True)
    (args.output / "hips.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    text = table(facts, args.folder.name, args.outlines)
    (args.output / "hips.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def case_facts(folder: Path, outlines: str) -> Iterator[Facts]:
    """One record for each graded hip on a frontal film."""
    from PIL import Image

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    settings = Settings()
    for exam in case["exams"]:
        found = films_of(folder, exam, settings)
        for entry, info in zip(exam["films"], found, strict=True):
            if info.plane != "frontal" or not entry.get("hips"):
                continue
            film = load_radiograph(info)
            labels = np.asarray(Image.open(folder / entry["labelmap"]))
            if outlines == "regions":
                labels = _outlined(labels, film, entry, case["seed"], settings)
            marks = find_hip_landmarks(film, info.side, info.plane, labels, settings.film)
            hips = hips_on_film(film, info.plane, labels, marks, settings.film)
            by_side = {hip.side[0]: hip for hip in hips}
            for truth in entry["hips"]:
                yield _fact(folder.name, entry, truth, by_side.get(truth["side"]), settings)


def _outlined(truth: Any, film: Any, entry: Facts, seed: int, settings: Settings) -> Any:
    """What is outlined in a box round each true shadow; where nothing is, no lesion is."""
    from run import draw_region

    from hoimg.segment.film_outline import outline_in_region

    out = np.zeros(truth.shape, np.uint8)
    for value in (int(v) for v in np.unique(truth) if v):
        rng = np.random.default_rng([seed, value, 7])
        region = draw_region(truth == value, entry["spacing_detector_mm"], "box", rng)
        outline = outline_in_region(film, region, settings.film)
        if outline.inside_yx is not None:
            out[outline.inside_yx] = value
    return out


def _fact(name: str, entry: Facts, truth: Facts, hip: FilmHip | None, settings: Settings) -> Facts:
    fact = {
        "case": name,
        "processing": entry["processing"],
        "gap_true_mm": truth["gap_mm"],
        "borderline_true": truth["borderline"],
        "brooker_true": truth["brooker"],
        "della_valle_true": truth["della_valle"],
        "found": hip is not None,
    }
    if hip is None:
        return fact | {"right": False}
    grades = grade_film_hip(hip, None, settings.maturity, settings.film)
    return fact | {
        "spacing": hip.spacing_source,
        "gap_mm": hip.gap_mm,
        "gap_ci95_mm": hip.gap_ci95_mm,
        "brooker": grades.brooker,
        "della_valle": grades.della_valle,
        "right": is_right(truth, grades.brooker, grades.della_valle),
        "flags": [*hip.flags, *grades.reasons],
    }


def is_right(truth: Facts, brooker: str | None, della_valle: str | None) -> bool:
    """Both grades are the true ones; between 8 and 12 mm both are borderline."""
    if truth["borderline"]:
        return brooker == "borderline II/III" and della_valle == "borderline B/C"
    said = None if brooker is None else brooker.removesuffix(" (apparent)")
    return said == truth["brooker"] and della_valle == truth["della_valle"]


def table(facts: list[Facts], name: str, outlines: str) -> str:
    """Right and wrong by kind of hip, the error of the gap, and what was wrong."""
    kinds = {
        "nothing": lambda f: f["brooker_true"] == "0",
        "islands": lambda f: f["brooker_true"] == "I",
        "gap below 8 mm": lambda f: f["brooker_true"] in ("III", "IV") and not f["borderline_true"],
        "gap 8-12 mm": lambda f: f["borderline_true"],
        "gap above 12 mm": lambda f: f["brooker_true"] == "II" and not f["borderline_true"],
    }
    lines = [
        f"Hip grades, set `{name}`, outlines: {outlines}, landmarks found.",
        "",
        "| hips | right (Brooker and Della Valle) |",
        "|---|---|",
    ]
    for kind, belongs in kinds.items():
        some = [f for f in facts if belongs(f)]
        lines.append(f"| {kind} | {sum(f['right'] for f in some)} of {len(some)} |")
    # Facing surfaces of head and socket are left out here and not in the truth of wide gaps.
    near = [
        f
        for f in facts
        if f.get("gap_mm") is not None
        and 0 < (f["gap_true_mm"] or 0) < 18
        and f["spacing"] != "detector_uncorrected"
    ]
    if near:
        error = np.array([f["gap_mm"] - f["gap_true_mm"] for f in near])
        inside = sum(f["gap_ci95_mm"][0] <= f["gap_true_mm"] <= f["gap_ci95_mm"][1] for f in near)
        lines += [
            "",
            f"Gaps of 0-18 mm with corrected spacing: error {np.median(error):+.2f} mm (median), "
            f"{np.abs(error).max():.2f} mm at most; interval holds {inside} of {len(near)}.",
        ]
    lines += [
        f"- {f['case']}: said {f.get('brooker')}, {f.get('della_valle')}; "
        f"true {f['brooker_true']}, {f['della_valle_true']}, gap {f['gap_true_mm']} mm"
        for f in facts
        if not f["right"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
