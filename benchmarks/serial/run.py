#!/usr/bin/env python3
"""Score hoimg on a made set: ``run.py FOLDER -o OUT`` writes ``table.md`` and what lies behind it.

Each patient is analysed in a worker process, without help and once more with the true outlines
given at every exam. What is there already is not done again; remove its file for that.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from facts import analyse, planted_failure
from make import RECIPE
from score import (
    ROWS,
    active,
    changes,
    clear_cut,
    last_label,
    measure,
    pairs,
    red_flags,
    swaps,
    thirty,
    unchanged,
)

ROOT = Path(__file__).resolve().parents[2]
MODES = ("none", "mask")
BATCH = 16
"""Tasks that one pool of processes does."""
Facts = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", choices=MODES, action="append")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2, help="patients analysed twice")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    folders = sorted(p.parent for p in args.folder.glob("*/case.json"))
    if not folders:
        raise SystemExit(f"{args.folder}: no case.json below it; make cases with make.py")
    modes = tuple(args.only or MODES)
    todo = [
        (_task, (f, mode, args.output / f"{f.name}-{mode}.json"), f"{f.name} {mode}")
        for mode in modes
        for f in folders
    ]
    todo += [
        (_failure, (*f, args.output / f"failure-{n:02d}.json"), f"{f[0]} {f[1].name}")
        for n, f in enumerate(_failures(folders))
    ]
    todo += [
        (_twice, (f, args.output / f"twice-{f.name}.json"), f"{f.name} twice")
        for f in folders[: args.repeat]
    ]
    todo = [t for t in todo if not t[1][-1].exists()]
    # One bad patient ends nothing but itself: each task catches what goes wrong. When a process
    # dies the rest of its batch is done one by one, which shows whose it was. New processes for
    # each batch keep memory small (max_tasks_per_child can hang: python/cpython issue 115634).
    while todo:
        left = _worked(todo[:BATCH], args.jobs)
        while left:
            left = _worked(left, 1)
        todo = todo[BATCH:]
    text = table(args.output, folders[0].parent.name, modes)
    (args.output / "table.md").write_text(text, encoding="utf-8")
    (args.output / "patients.md").write_text(
        "\n".join(per_patient(p) for p in read(args.output)[0]), encoding="utf-8"
    )
    print(text)
    return 0


def _worked(todo: list[Any], jobs: int) -> list[Any]:
    """Work on tasks in processes; what is left when a process has died."""
    left = {t[1][-1]: t for t in todo}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(work, *given): (given, words) for work, given, words in todo}
        for done in as_completed(running):
            given, words = running[done]
            try:
                took = done.result()
            except Exception as error:  # a process died, and all that waited with it
                waiting = [t for path, t in left.items() if not path.exists()]
                if jobs == 1:  # in order, so the first without a file was its
                    _, culprit, name = waiting.pop(0)
                    said = {"failed": f"process: {error!r}", "case": name}
                    culprit[-1].write_text(json.dumps(said), encoding="utf-8")
                return waiting
            left.pop(given[-1], None)
            print(f"{words}: {took:.0f} s", file=sys.stderr, flush=True)
    return []


def _task(folder: Path, mode: str, path: Path) -> float:
    return _kept(path, folder.name, lambda: analyse(folder, mode))


def _failure(kind: str, one: Path, other: Path, path: Path) -> float:
    return _kept(path, one.name, lambda: planted_failure(kind, one, other))


def _kept(path: Path, name: str, work: Any) -> float:
    start = time.perf_counter()
    try:
        made = work()
    except Exception:
        made = {"failed": traceback.format_exc(), "case": name}
    took = time.perf_counter() - start
    made["seconds"] = round(took, 1)
    path.write_text(json.dumps(made), encoding="utf-8")
    return took


def _twice(folder: Path, path: Path) -> float:
    """The same case by the command line on one thread and on two."""

    def work() -> Facts:
        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        paths = [str(folder / e["folder"]) for e in case["exams"]]
        reports = []
        with tempfile.TemporaryDirectory() as scratch:
            for threads in ("1", "2"):
                names = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
                out = Path(scratch) / threads
                subprocess.run(
                    [sys.executable, str(ROOT / "cli.py"), "report", *paths, "-o", str(out)],
                    env=os.environ | dict.fromkeys(names, threads),
                    check=True,
                    capture_output=True,
                )
                reports.append((out / "report.json").read_bytes())
        return {"case": folder.name, "identical": reports[0] == reports[1]}

    return _kept(path, folder.name, work)


def _failures(folders: Sequence[Path]) -> list[tuple[str, Path, Path]]:
    """Pairs that no registration may accept, spread over the set."""
    first = json.loads((folders[0] / "case.json").read_text(encoding="utf-8"))
    count = int(RECIPE["failures"][first["set"]])
    family = lambda f: f.name.split("-")[0]  # noqa: E731
    out: list[tuple[str, Path, Path]] = []
    step = max(1, len(folders) // count)
    for one in folders[::step][:count]:
        out += [("mirrored", one, one), ("no overlap", one, one)]
        # Another person: of the same kind where limbs differ, else of another part of the body.
        limbs = [f for f in folders if f != one and family(f) == family(one)]
        others = [f for f in folders if family(f) != family(one)]
        like = family(one) in ("hip", "arm") and limbs
        if like or others:
            out.append(("another patient", one, (limbs if like else others)[0]))
    return out


def read(output: Path) -> tuple[list[Facts], list[Facts], list[Facts]]:
    """Facts of patients, of planted failures and of repeats that are there."""

    def some(pattern: str) -> list[Facts]:
        return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(output.glob(pattern))]

    patients = [p for mode in MODES for p in some(f"*-{mode}.json")]
    return patients, some("failure-*.json"), some("twice-*.json")


def table(output: Path, name: str, modes: Sequence[str]) -> str:
    """The Markdown table: a row for each goal, a column for each way of running."""
    patients, failures, twice = read(output)
    good = [p for p in patients if "failed" not in p]
    lines = [
        f"Set *{name}*, {dt.date.today().isoformat()}, commit {_commit()}, "
        f"{len({p['case'] for p in good})} patients. Brackets: 95 % interval, bootstrap over "
        "patients.",
        "",
        "| | goal | " + " | ".join({"none": "no help", "mask": "true outlines"}[m] for m in modes),
        "|---|---|" + "---|" * len(modes),
    ]
    lines[2] += " |"
    for row in ROWS:
        cells = []
        for mode in modes:
            value, low, high, count = measure(row, [p for p in good if p["mode"] == mode])
            if value is None:
                cells.append("no data")
                continue
            digits = 2 if row.unit == "mm" else 1 if row.unit == "%" else 0
            verdict = "" if row.met is None else " goal" if row.met(value) else " **below**"
            cells.append(
                f"{value:.{digits}f}{' ' if row.unit else ''}{row.unit} "
                f"({low:.{digits}f}–{high:.{digits}f}; of {count}){verdict}"
            )
        lines.append(f"| {row.words} | {row.goal} | " + " | ".join(cells) + " |")
    caught = [not f["accepted"] for f in failures if "accepted" in f]
    kinds = Counter(f["kind"] for f in failures if f.get("accepted"))
    lines.append(
        f"| planted registration failures caught | all | {sum(caught)} of {len(caught)}"
        f"{' ' + str(dict(kinds)) if kinds else ''} |" + " |" * (len(modes) - 1)
    )
    same = [t["identical"] for t in twice if "identical" in t]
    lines.append(
        f"| the same input twice, one thread or two: identical | all | {sum(same)} of {len(same)} |"
        + " |" * (len(modes) - 1)
    )
    bad = [x for x in (*patients, *failures, *twice) if "failed" in x]
    lines += ["", f"Failed: {'; '.join(str(x.get('case')) for x in bad) or 'none'}.", ""]
    lines += [x["failed"] for x in bad]
    return "\n".join(lines)


def per_patient(patient: Facts) -> str:
    """What went wrong in one patient, in a few lines."""
    if "failed" in patient:
        return f"## {patient.get('case')}: failed\n```\n{patient['failed']}\n```\n"
    lines = [f"## {patient['case']} ({patient['mode']}, {patient['event']})"]
    for r in patient["registrations"]:
        mm = [v for e in r["errors"] for v in e["mm"]]
        worst = f"{max(mm):.1f} mm at worst" if mm else "no lesion in both"
        bends = " ".join(f"{b['joint']} {b['degrees_xyz']}" for b in r["bends"])
        said = "accepted" if r["accepted"] else f"rejected ({r['reason']})"
        if not r["accepted"] or (mm and max(mm) > 2.0):
            lines.append(f"- registration {r['fixed']}>{r['moving']}: {said}, {worst} {bends}")
    for name, lesion, a, b, right in pairs(patient):
        if not right:
            tracks = [lesion["seen"][k]["track"] for k in (a, b)]
            lines.append(f"- {name} ({lesion['story']}): exams {a},{b} are {tracks}")
    if sum(swaps(patient)):
        lines.append(f"- identity swaps: {sum(swaps(patient)):.0f}")
    for words, category in changes(patient, unchanged):
        if category != "no_detectable_change":
            lines.append(f"- {words}: unchanged, but {category} {_sizes(patient, words)}")
    for words, category in changes(patient, thirty):
        if category != "enlarging":
            lines.append(f"- {words}: +30 %, but {category} {_sizes(patient, words)}")
    for lesion in patient["lesions"]:
        label, reasons = last_label(patient, lesion)
        if active(lesion) and label == "mature":
            lines.append(f"- {lesion['id']} ({lesion['story']}) is active but called mature")
    for lesion, label, reasons in clear_cut(patient):
        if label != lesion["label"]:
            lines.append(
                f"- {lesion['id']} ({lesion['story']}, {lesion['where']}, stage "
                f"{lesion['seen'][-1]['stage']}): {lesion['label']}, but {label}: {reasons}"
            )
    if any(v == 0 for v in red_flags(patient)):
        lines.append("- a reverse zoning without red flag")
    return "\n".join(lines) + "\n"


def _sizes(patient: Facts, words: str) -> str:
    """True and measured volumes of a change, mm3."""
    name, exams = words.split()
    a, b = (int(k) for k in exams.split(">"))
    seen = next(x for x in patient["lesions"] if x["id"] == name)["seen"]
    return ", ".join(f"{seen[k]['volume_mm3']:.0f}/{seen[k]['measured_mm3']}" for k in (a, b))


def _commit() -> str:
    made = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
