"""Whether a candidate is an ossification: boosted trees on physical features, and why.

The trees were grown by ``benchmarks/lesions/train.py`` on the tuning and training cases (planted
lesions and the anatomy round them; never the reporting ones) and lie beside this file as plain
numbers. Where physics says which way a feature must speak (gas around speaks against, soft tissue
all round speaks for), the trees were held to it, so that an anatomy nobody trained on cannot turn
it round.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp, isnan, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.around import Around
from hoimg.segment.exclude import Place
from hoimg.segment.features import Features

FEATURES: dict[str, int] = {
    "volume_mm3": 0,
    "inscribed_mm": 0,
    "length_mm": 0,
    "breadth_mm": 0,
    "thickness_mm": 0,
    "length_ratio": 0,
    "flat": 0,
    "fill": 0,
    "soft_shell": 1,
    "muscle_near": 1,
    "fat_near": 0,
    "gas_near": -1,
    "gas_wide": -1,
    "fat_wide": 0,
    "bone_wide": 0,
    "surround_hu": 0,
    "mean_hu": 0,
    "peak_hu": 0,
    "rim_hu": 0,
    "core_hu": 0,
    "centre_hu": 0,
    "core_sd_hu": 0,
    "rise": 0,
    "core_rim": 0,
    "even": 0,
    "bright": 0,
    "texture_hu": 0,
    "attached": 0,
    "shell": 1,
    "contact": 0,
    "standing": 1,
    "cortex_known": 0,
    "mirror_mm": 1,
    "mirrored": -1,
    "agreed": 0,
    "faint_partner": -1,
    "unpaired": 1,
    "lumen": -1,
    "streaked": -1,
    "wide_gas": -1,
    "wide_fat": 0,
    "wide_muscle": 1,
    "wide_enhanced": -1,
    "wide_bone": 0,
}
"""What the classifier looks at, and which way it must speak: 1 for, -1 against, 0 free."""


@dataclass(frozen=True)
class Opinion:
    """What the classifier says of one candidate.

    Attributes:
        probability: 0..1, trained towards the overlap with a planted lesion; it is no probability
            of disease.
        weights: Feature to its part in the log odds, the strongest first; they add up to the whole
            less the trees' common start.
    """

    probability: float
    weights: tuple[tuple[str, float, float], ...]

    def words(self, count: int = 3) -> str:
        """The strongest reasons against, with their values."""
        against = [(n, v) for n, v, w in self.weights if w < 0][:count]
        said = ", ".join(f"{name} {value:.3g}" for name, value in against)
        return f"score {self.probability:.2f}: {said}" if said else f"{self.probability:.2f}"


def vector(f: Features, p: Place, a: Around) -> NDArray[np.float64]:
    """The features in the order of :data:`FEATURES`; nan where something is not known."""
    made = {
        "length_ratio": f.length_mm / max(f.breadth_mm, 1.0),
        "flat": f.thickness_mm / max(f.breadth_mm, 1.0),
        "fill": f.volume_mm3 / (4 / 3 * pi * max(f.inscribed_mm, 0.5) ** 3),
        "core_rim": f.core_hu / max(f.rim_hu, 1.0),
        "even": f.core_sd_hu / max(f.core_hu, 1.0),
        "rise": f.mean_hu - (50.0 if isnan(f.surround_hu) else f.surround_hu),
    }
    known = {**vars(f), **vars(p), **vars(a), **made}
    return np.array([float(known[name]) for name in FEATURES])


def opinions(described: Sequence[tuple[Features, Place, Around]]) -> list[Opinion]:
    """Score candidates and say which features decided.

    A feature's weight is the change of the trees' mean answer at the splits that asked for it
    (Saabas 2014); the weights and the start add up to the log odds.
    """
    if not described:
        return []
    trees = stored_trees()
    values = np.array([vector(*one) for one in described])
    rows = np.arange(len(values))[:, None]
    node = np.tile(trees.root, (len(values), 1))
    total = np.zeros(values.shape)
    # All trees take a step together until each has come to a leaf, which leads to itself.
    for _ in range(trees.depth):
        asked = trees.feature[node]
        value = values[rows, asked]
        left = np.where(np.isnan(value), trees.missing_left[node], value <= trees.threshold[node])
        child = np.where(left, trees.left[node], trees.right[node])
        change = trees.value[child] - trees.value[node]
        at = rows * values.shape[1] + asked
        total += np.bincount(at.ravel(), change.ravel(), minlength=total.size).reshape(total.shape)
        node = child
    names = tuple(FEATURES)
    out = []
    for own, parts in zip(values, total, strict=True):
        odds = trees.start + float(trees.value[trees.root].sum() + parts.sum())
        order = np.argsort(-np.abs(parts), kind="stable")
        weights = tuple((names[k], float(own[k]), float(parts[k])) for k in order)
        out.append(Opinion(1.0 / (1.0 + exp(-odds)), weights))
    return out


@dataclass(frozen=True, eq=False)
class Trees:
    """The nodes of all trees in a row; a leaf asks for the first feature and leads to itself.

    Attributes:
        start: Log odds before any question.
        depth: Questions on the longest way.
        root: Each tree's first node.
        feature: Per node, the place in :data:`FEATURES` of what it asks for.
        threshold: Values up to this go left.
        missing_left: Whether nan goes left.
        left: Next node there.
        right: Next node to the right.
        value: Mean answer of what comes to the node, log odds.
    """

    start: float
    depth: int
    root: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: NDArray[np.float64]


@cache
def stored_trees() -> Trees:
    """The trees as they lie beside this file, read once."""
    text = files("hoimg.segment").joinpath("classifier.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    if stored["features"] != list(FEATURES):
        raise RuntimeError("classifier.json was trained on other features; train it anew")
    trees = stored["trees"]
    root = np.cumsum([0, *(len(tree["feature"]) for tree in trees)])

    def laid(name: str, dtype: type) -> NDArray[Any]:
        return np.array([x for tree in trees for x in tree[name]], dtype=dtype)

    feature = laid("feature", np.intp)
    leaf = feature < 0
    own = np.arange(len(feature))
    first = np.repeat(root[:-1], np.diff(root))
    left = np.where(leaf, own, first + laid("left", np.intp))
    right = np.where(leaf, own, first + laid("right", np.intp))
    depth, at = 0, root[:-1]
    while not leaf[at].all():
        depth, at = depth + 1, np.unique(np.concatenate([left[at], right[at]]))
    return Trees(
        stored["start"],
        depth,
        root[:-1],
        np.where(leaf, 0, feature),
        laid("threshold", np.float64),
        laid("missing_left", np.bool_),
        left,
        right,
        laid("value", np.float64),
    )
