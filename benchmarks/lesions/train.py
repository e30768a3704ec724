#!/usr/bin/env python3
"""Grow the classifier of candidates from made cases: ``train.py FOLDER [FOLDER]``.

Runs every route on the cases of the *tuning*, *training* and *varied* sets, compares each candidate
with the truth, and grows boosted trees towards the overlap. Writes
``hoimg/segment/classifier.json`` and prints what the trees make of cases that they were not grown
on (cross-validated by case). Needs scikit-learn; hoimg itself does not. See
``docs/methods/segment.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).resolve().parents[2] / "hoimg" / "segment" / "classifier.json"
FIRST_REPORTING_SEED = 5000
LOW, SPAN = 0.15, 0.5
"""An overlap (Dice) up to ``LOW`` counts as none, from ``LOW + SPAN`` on as full."""
GROWTH = {
    "learning_rate": 0.08,
    "max_iter": 400,
    # On cases held out, depth 5 made a third fewer false ones than depth 3 at the same sensitivity.
    "max_depth": 5,
    "min_samples_leaf": 20,
    # Splits choose among a part of the features: on anatomy that was held out as a whole this
    # found 7 % more lesions at the same number of false ones.
    "max_features": 0.3,
}
MODELS = 3
"""Their mean answers; one model alone depends on its random features."""
FOLDS = 6


@dataclass(frozen=True)
class Sample:
    """One candidate: its case, its features and its overlap (Dice) with the truth nearest."""

    case: str
    vector: tuple[float, ...]
    dice: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+", help="what make.py has written")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    folders = sorted(path.parent for made in args.folder for path in made.glob("*/case.json"))
    for folder in folders:
        if json.loads((folder / "case.json").read_text())["seed"] >= FIRST_REPORTING_SEED:
            raise SystemExit(f"{folder.name} is a reporting case: the classifier may not see it")
    samples: list[Sample] = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for number, found in enumerate(pool.map(samples_of, folders), start=1):
            samples += found
            print(f"{number}/{len(folders)}", file=sys.stderr, end="\r", flush=True)
    values = np.array([s.vector for s in samples])
    overlap = np.array([s.dice for s in samples])
    target = np.clip((overlap - LOW) / SPAN, 0.0, 1.0)
    check(values, target, np.array([s.case for s in samples]))
    TARGET.write_text(json.dumps(exported(grown(values, target), len(folders))))
    print(f"{len(samples)} candidates of {len(folders)} cases: {TARGET.name} written")
    return 0


def samples_of(folder: Path) -> list[Sample]:
    """All candidates of one case that can be judged at all."""
    import SimpleITK as sitk

    from hoimg.dicom import load_volume, read_patient
    from hoimg.image import resample_mask
    from hoimg.segment.classifier import vector
    from hoimg.segment.division import divide_unaided, standing_out
    from hoimg.segment.exclude import hard_exclusion
    from hoimg.segment.marrow import native_marrow
    from hoimg.segment.parts import bone_depth
    from hoimg.segment.routes import propose
    from hoimg.segment.scene import look
    from hoimg.segment.shells import closed_shells
    from hoimg.segment.survey import survey
    from hoimg.segment.symmetry import mirror_skeleton
    from hoimg.settings import SegmentSettings
    from hoimg.validate.cases import read_case
    from hoimg.validate.run import truth_of

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    settings = SegmentSettings()
    case = read_case(folder)
    exam = read_patient([folder / case.exams[0].folder]).exams[0]
    volume = load_volume(exam, children=1)
    contrast = bool(exam.acquisition.contrast)
    scene = look(volume, settings, kvp=exam.acquisition.kvp, contrast=contrast)
    working, body, metal = scene.working, scene.body, scene.metal
    solid = metal | scene.streaks | scene.lumen
    closed = closed_shells(scene.parted, working, body, solid, settings)
    shells = closed.labels > 0
    mirror = mirror_skeleton(working, body, metal, shells)
    marrow = native_marrow(scene.parted, scene.dense, shells, working)
    none = np.zeros_like(shells)
    standing = standing_out(scene.dense & body, shells, marrow, working, settings)
    division = divide_unaided(standing, working, settings, marrow=marrow, mirror=mirror, fresh=none)
    maps = survey(
        scene,
        settings,
        body=body,
        closed=closed,
        marrow=marrow,
        mirror=mirror,
        bone_depth=bone_depth(standing.bone, marrow, shells, working),
        division=division,
        given=None,
        fresh=none,
    )
    truth = resample_mask(truth_of(folder, case, 0, volume.grid), working.grid).array
    sizes = np.bincount(truth.ravel())
    out = []
    for candidate in propose(maps):
        features, place, around = maps.of(candidate)
        if hard_exclusion(features, place, settings) is not None:
            continue
        shared = np.bincount(truth[candidate.box][candidate.mask], minlength=len(sizes))
        size = int(candidate.mask.sum())
        dice = max((2 * shared[k] / (sizes[k] + size) for k in range(1, len(sizes))), default=0.0)
        out.append(Sample(folder.name, tuple(vector(features, place, around)), float(dice)))
    return out


def grown(values: NDArray[np.float64], target: NDArray[np.float64]) -> list[Any]:
    """Boosted trees; a candidate counts for and against by its overlap."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from hoimg.segment.classifier import FEATURES

    weights = np.concatenate([target, 1.0 - target])
    labels = np.concatenate([np.ones(len(target)), np.zeros(len(target))])
    counted = weights > 0
    both = np.concatenate([values, values])
    models = []
    for number in range(MODELS):
        model = HistGradientBoostingClassifier(
            **GROWTH,
            l2_regularization=3.0,
            monotonic_cst=list(FEATURES.values()),
            early_stopping=False,
            random_state=number,
        )
        models.append(model.fit(both[counted], labels[counted], sample_weight=weights[counted]))
    return models


def score(models: list[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean log odds of the models."""
    return np.mean([model.decision_function(values) for model in models], axis=0)


def check(
    values: NDArray[np.float64], target: NDArray[np.float64], cases: NDArray[np.str_]
) -> None:
    """Print how well trees that have not seen a case part its candidates."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    odds = np.zeros(len(target))
    for kept, held in GroupKFold(FOLDS).split(values, target, cases):
        odds[held] = score(grown(values[kept], target[kept]), values[held])
    sure = (target == 0) | (target > 0.5)
    area = roc_auc_score(target[sure] > 0, odds[sure])
    print(f"area under the curve, held out by case: {area:.4f}")


def exported(models: list[Any], cases: int) -> dict[str, Any]:
    """The trees as plain numbers, in the form that ``hoimg.segment.classifier`` reads."""
    from hoimg.segment.classifier import FEATURES

    trees = []
    # scikit-learn has no public way to its trees.
    for (predictor,) in (one for model in models for one in model._predictors):
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        trees.append(
            {
                "feature": [
                    -1 if end else int(k) for end, k in zip(leaf, nodes["feature_idx"], strict=True)
                ],
                "threshold": [
                    0.0 if end else float(f"{t:.7g}")
                    for end, t in zip(leaf, nodes["num_threshold"], strict=True)
                ],
                "missing_left": [bool(m) for m in nodes["missing_go_to_left"]],
                "left": [int(k) for k in nodes["left"]],
                "right": [int(k) for k in nodes["right"]],
                # Leaves are shrunk by the learning rate already, what lies above them is not.
                "value": [
                    round(float(v) * (1.0 if end else GROWTH["learning_rate"]) / len(models), 6)
                    for end, v in zip(leaf, nodes["value"], strict=True)
                ],
            }
        )
    return {
        "features": list(FEATURES),
        "cases": cases,
        "start": float(np.mean([model._baseline_prediction.ravel()[0] for model in models])),
        "trees": trees,
    }


if __name__ == "__main__":
    raise SystemExit(main())
