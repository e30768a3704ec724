#!/usr/bin/env python3
"""Score serial films on a made set: ``serial.py FOLDER -o OUT`` writes ``table.md``.

Families unchanged, grown, grown_seen and projection: each lesion gets the region that a reader
might draw, on both films, or with ``--first-only`` on the earlier one alone, from where hoimg
carries it over (``carried_regions_count``).
There is a file of facts for each case; it is not made again when it is there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from run import draw_region

from hoimg import read_patient
from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis, analyze_film
from hoimg.films.series import changes_on_films
from hoimg.films.tie import CARRIED, key_of, tied_films
from hoimg.settings import FilmSettings, Settings

FAMILIES = ("unchanged", "grown", "grown_seen", "projection")
LEAST_CNR = 3.0
Facts = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--first-only", action="store_true", help="no region on the later film")
    args = parser.parse_args()
    folders = sorted(
        p.parent for f in FAMILIES for p in args.folder.glob(f"{f}-*/case.json") if p.is_file()
    )
    if not folders:
        raise SystemExit(f"{args.folder}: no pairs below it; make them with make.py")
    out = args.output / ("first" if args.first_only else "both")
    out.mkdir(parents=True, exist_ok=True)
    facts: list[Facts] = []
    for folder in folders:
        file = out / f"{folder.name}.json"
        if not file.exists():
            made = case_facts(folder, args.first_only)
            file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            print(folder.name, file=sys.stderr, flush=True)
        facts.append(json.loads(file.read_text(encoding="utf-8")))
    text = table(facts, args.folder.name, args.first_only)
    (out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def case_facts(folder: Path, first_only: bool) -> Facts:
    """What was said of a pair of films, and what is true."""
    from PIL import Image

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    settings = Settings(film=FilmSettings(carried_regions_count=first_only))
    exams = {e.film.sop_uid: e for e in read_patient(folder).radiographs if e.film is not None}
    films: list[FilmAnalysis] = []
    start = time.perf_counter()
    for number, entry in enumerate(case["exams"]):
        film = entry["films"][0]
        shadow = np.asarray(Image.open(folder / film["labelmap"])) == 1
        rng = np.random.default_rng([case["seed"], number])
        region = draw_region(shadow, film["spacing_detector_mm"], "box", rng)
        given = [] if number and first_only else [PlacedRegion(1, region, "label:1")]
        films.append(analyze_film(exams[film["sop_instance_uid"]], given, settings))
    before, after = tied_films(films, settings)
    seen = [(f, r) for f in (before, after) for r in f.regions if key_of(f, r) == "label:1"]
    changes, placed = changes_on_films(seen, settings.film)
    change = changes[0] if changes else None
    truth = case["lesions"][0]["observations"]
    return {
        "case": folder.name,
        "family": case["family"],
        "cnr": min(o["cnr"] for o in truth),
        "true_pct": 100 * (truth[1]["area_mm2"] / truth[0]["area_mm2"] - 1),
        "measured": [f.observations[r.label].status == "measured" for f, r in seen],
        "carried": any(CARRIED in r.flags for _, r in seen),
        "compared": change is not None and change.comparable,
        "category": None if change is None else change.category,
        "pct": None if change is None else change.area_change_pct,
        "rc": None if change is None else change.area_rc_pct,
        "flags": [] if change is None else change.flags,
        "residual_mm": placed[0].residual_mm if placed else None,
        "view": [e["films"][0]["view"] for e in case["exams"]],
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(facts: Sequence[Facts], name: str, first_only: bool) -> str:
    """Markdown, ready for ``docs/validation.md``."""
    where = "the earlier film only" if first_only else "both films"
    lines = [
        f"Set *{name}*, a box on {where}, {dt.date.today().isoformat()}. *Seen*: contrast-to-noise "
        f"ratio of at least {LEAST_CNR:g} on both films.",
        "",
        "| family | pairs | compared | called enlarging | called shrinking | projection changed | "
        "not placed | no two outlines in one view | median change (true) | median RC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        own = [f for f in facts if f["family"] == family]
        for words, some in (
            (family, own),
            (f"{family}, seen", [f for f in own if f["cnr"] >= LEAST_CNR]),
        ):
            lines.append(f"| {words} | {' | '.join(_cells(some))} |")
    slowest = max((f["seconds"] for f in facts), default=0.0)
    return "\n".join([*lines, "", f"Slowest pair {slowest:.1f} s.", ""])


def _cells(some: Sequence[Facts]) -> list[str]:
    compared = [f for f in some if f["compared"]]
    flags = [set(f["flags"]) for f in some]
    changes = [(f["pct"], f["true_pct"], f["rc"]) for f in compared if f["pct"] is not None]
    middle = np.median(np.array(changes), axis=0) if changes else None
    return [
        str(len(some)),
        str(len(compared)),
        str(sum(f["category"] == "enlarging" for f in some)),
        str(sum(f["category"] == "shrinking" for f in some)),
        str(sum(bool(f & {"projection_changed", "projection_not_checked"}) for f in flags)),
        str(sum(any(x.startswith("film_registration") for x in f) for f in flags)),
        str(sum(f["category"] is None for f in some)),
        "–" if middle is None else f"{middle[0]:+.0f} % ({middle[1]:+.0f} %)",
        "–" if middle is None else f"{middle[2]:.0f} %",
    ]


if __name__ == "__main__":
    sys.exit(main())
