"""Two lesions that become one, and one that falls into two."""

from __future__ import annotations

import numpy as np

from hoimg.simulate.plans import LesionPlan
from hoimg.simulate.plant import PlantSpec, natural_volume_mm3
from hoimg.simulate.shapes import Lobulated, Scaled, Union


def merging(
    spec: PlantSpec, exams: int, seed: int, names: tuple[str, str], at: int | None = None
) -> list[LesionPlan]:
    """Two neighbours that grow and are one from exam ``at`` on (None: at the last).

    Args:
        spec: A place that is free for the whole.
        exams: Number of exams.
        seed: Of form and texture.
        names: Of the two; the first is the whole's.
        at: First exam of the whole, 1 or more.
    """
    at = exams - 1 if at is None else at
    apart, whole = 0.09, 1.0
    parts = [apart / 1.4 ** (at - 1 - e) for e in range(at)]
    stages = [0.8 - 0.08 * min(exams - 1 - e, 6) for e in range(exams)]
    return _pair(
        spec, parts + [whole] * (exams - at), list(range(at)), stages, seed, names, "merging"
    )


def splitting(
    spec: PlantSpec, exams: int, seed: int, names: tuple[str, str], at: int | None = None
) -> list[LesionPlan]:
    """A mature lesion of which two parts are left from exam ``at`` on (None: at the last)."""
    at = exams - 1 if at is None else at
    sizes = [1.0] * at + [0.16] * (exams - at)
    return _pair(spec, sizes, list(range(at, exams)), [1.0] * exams, seed, names, "splitting")


def _pair(
    spec: PlantSpec,
    sizes: list[float],
    apart: list[int],
    stages: list[float],
    seed: int,
    names: tuple[str, str],
    story: str,
) -> list[LesionPlan]:
    """Both lesions; ``sizes`` are parts of the whole's volume, ``apart`` the exams with two."""
    # Each of the two is a plain form that overlaps the other in the whole only.
    radius = float((3 * spec.volume_mm3 / 2.2 / (4 * np.pi)) ** (1 / 3))
    side = np.random.default_rng([seed, 73]).standard_normal(3)
    side *= 0.95 * radius / np.linalg.norm(side)
    forms = [Lobulated(seed + n, 0.04, lobes=0) for n in (0, 1)]
    joined = Union(
        Scaled(forms[0], radius, (side[0], side[1], side[2])),
        Scaled(forms[1], radius, (-side[0], -side[1], -side[2])),
        4.0,
    )
    united = Scaled(joined, 1.0, (-side[0], -side[1], -side[2]))
    volume = natural_volume_mm3(united)
    centre = np.asarray(spec.center_lps_mm)
    plans = []
    for number, sign in enumerate((1.0, -1.0)):
        at = centre + sign * side
        whole = volume if number == 0 else None
        plans.append(
            LesionPlan(
                names[number],
                "free",
                "indeterminate",
                (at[0], at[1], at[2]),
                seed + number,
                [volume * s if e in apart else whole for e, s in enumerate(sizes)],
                stages,
                [forms[number] if e in apart or number else united for e in range(len(sizes))],
                merged_into=names[0] if number and story == "merging" else None,
                split_from=names[0] if number and story == "splitting" else None,
                story=story,
            )
        )
    return plans
