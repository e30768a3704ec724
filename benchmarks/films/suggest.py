#!/usr/bin/env python3
"""Score suggestions on a made set: ``suggest.py FOLDER -o OUT`` writes ``suggest.md``.

Scored are films of both sides (families ``pelvis``, ``knees``, ``real``). A lesion is suggested
where a suggestion's region holds the middle of its shadow or a third of it; a suggestion is false
where it is on no lesion at all, large, small or faint. ``suggest.json`` holds a line for each film.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import films_of

from hoimg.dicom import load_radiograph
from hoimg.segment.film_suggest import suggest_on_film
from hoimg.settings import Settings

FAMILIES = ("pelvis", "knees", "real")
LARGE_MM2, CLEAR_CNR = 200.0, 3.0
Facts = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    folders = [
        p.parent for kind in FAMILIES for p in sorted(args.folder.glob(f"{kind}-*/case.json"))
    ]
    if not folders:
        raise SystemExit(f"{args.folder}: no film of both sides below it; make them with make.py")
    args.output.mkdir(parents=True, exist_ok=True)
    facts: list[Facts] = []
    for folder in folders:
        facts.append(film_facts(folder))
        print(folder.name, file=sys.stderr, flush=True)
    (args.output / "suggest.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    text = table(facts, args.folder.name)
    (args.output / "suggest.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def film_facts(folder: Path) -> Facts:
    """What was suggested on the first film of a case, and what was there."""
    from PIL import Image

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    settings = Settings()
    exam = case["exams"][0]
    entry = exam["films"][0]
    film = load_radiograph(films_of(folder, exam, settings)[0])
    labels = np.asarray(Image.open(folder / entry["labelmap"]))
    said = suggest_on_film(film, settings.film)
    regions = [s.region_yx for s in said.found]
    lesions = []
    for lesion in case["lesions"]:
        for seen in lesion["observations"]:
            if seen["exam"] == seen["film"] == 0:
                hit = [k for k, r in enumerate(regions) if is_on(r, labels == seen["label"])]
                lesions.append(
                    {"area_mm2": seen["area_mm2"], "cnr": seen["cnr"], "suggested": bool(hit)}
                )
    on_any = [any(is_on(r, labels == v) for v in np.unique(labels) if v) for r in regions]
    return {
        "case": folder.name,
        "agreement": said.agreement,
        "reason": said.reason,
        "scores": [s.score for s in said.found],
        "true": on_any,
        "lesions": lesions,
    }


def is_on(region: np.ndarray, lesion: np.ndarray) -> bool:
    """Whether a suggestion is on a lesion."""
    if not lesion.any():
        return False
    middle = tuple(np.rint(np.argwhere(lesion).mean(0)).astype(int))
    return bool(region[middle]) or bool(region[lesion].mean() >= 1 / 3)


def table(facts: list[Facts], name: str) -> str:
    """Lesions suggested and false suggestions, by family."""
    lines = [
        f"Suggestions, set `{name}`. Large: over 2 cm2; clear: contrast to noise of 3 or more.",
        "",
        "| films | large, clear | clear, 1-2 cm2 | other lesions | false a film | not compared |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (*FAMILIES, ""):
        some = [f for f in facts if f["case"].startswith(kind)]
        if not some:
            continue
        groups: dict[str, list[bool]] = {"large": [], "clear": [], "other": []}
        for lesion in (one for f in some for one in f["lesions"]):
            groups[_group(lesion)].append(lesion["suggested"])
        false = sum(not t for f in some for t in f["true"])
        cells = [f"{sum(g)} of {len(g)}" for g in groups.values()]
        blind = sum(f["reason"] is not None for f in some)
        lines.append(
            f"| {kind or 'all'} ({len(some)}) | {' | '.join(cells)} | {false / len(some):.2f} | "
            f"{blind} |"
        )
    return "\n".join(lines) + "\n"


def _group(lesion: Facts) -> str:
    if (lesion["cnr"] or 0.0) < CLEAR_CNR or lesion["area_mm2"] < 100.0:
        return "other"
    return "large" if lesion["area_mm2"] >= LARGE_MM2 else "clear"


if __name__ == "__main__":
    sys.exit(main())
