"""The native skeleton: what is normal bone, on the working grid, before any lesion is called.

Providers, in the order in which they decide: a *given* mask; *symmetry* (the mirrored scan) where
the scan has a usable other side; otherwise *shape* (large, or cut by the field of view).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.given import divide_by_given
from hoimg.segment.morphology import close_mm, dilate_mm, fill_holes, label_components
from hoimg.segment.prior import Prior
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

GIVEN_HALO_MM = 1.5
"""A given skeleton is known to a voxel or so; what is guessed is known less well."""


@dataclass(frozen=True, eq=False)
class Native:
    """Dense voxels divided into native bone, its suspicious outgrowths and free pieces.

    Attributes:
        bone: Dense voxels that belong to the native skeleton.
        solid: Native bone with its marrow, and where the other side expects bone.
        core: Where native bone certainly is; an outgrowth grows back to it and no further.
        dense: All dense voxels, native or not.
        residual: Dense voxels joined to native bone but outside of where bone is expected.
        free: Dense voxels of components that are no native bone.
        explained: Native small pieces with a partner on the other side, listed as ``native_bone``.
        provider: Which provider decided, in words.
        lacking: Bones that a given skeleton lacks (part of ``bone``); None without one.
        halo_mm: Faint mineral is looked for farther than this from native bone, mm.
    """

    bone: Bool
    solid: Bool
    core: Bool
    dense: Bool
    residual: Bool
    free: Bool
    explained: Bool
    provider: str
    lacking: Bool | None = None
    halo_mm: float = 2.5


def divide(
    dense: Bool, given: Bool, working: Working, settings: SegmentSettings, shells: Bool
) -> Native:
    """Divide dense voxels by a skeleton that somebody gave.

    Args:
        dense: Voxels above the mineral threshold, without metal.
        given: The skeleton on the working grid.
        working: The working grid.
        settings: Section ``segment``.
        shells: Lesions with a closed shell, known by their form: never native.
    """
    found = divide_by_given(dense & ~shells, given, working, settings)
    solid = _solid(found.bone, working.spacing_zyx_mm) & (found.near | found.bone) | found.core
    return Native(
        found.bone,
        solid & ~shells,
        found.core & ~shells,
        dense,
        found.residual,
        found.free | shells,
        np.zeros_like(dense),
        "given",
        found.lacking,
        GIVEN_HALO_MM,
    )


def with_fresh(native: Native, fresh: Bool, prior: Prior, working: Working) -> Native:
    """The division with what an earlier exam did not have: suspect, whoever explains it.

    Args:
        native: As divided without the earlier exam.
        fresh: From :func:`hoimg.segment.prior.fresh_bone`.
        prior: The earlier bone.
        working: The working grid.
    """
    if not fresh.any():
        return native
    spacing = working.spacing_zyx_mm
    # Round about, native bone is what was there before, and nothing that it was closed with.
    about = dilate_mm(fresh, 8.0, spacing)
    earlier = prior.distance_mm <= 0.5
    alone = fresh & native.explained
    labels, count = label_components(fresh)
    on_bone = np.zeros(count + 1, dtype=bool)
    on_bone[np.unique(labels[native.bone & ~native.explained])] = True
    on_bone[0] = False
    joined = on_bone[labels] & ~alone & ~native.free
    return replace(
        native,
        bone=native.bone & ~fresh,
        solid=native.solid & ~fresh & (earlier | ~about),
        core=native.core & ~fresh & (earlier | ~about),
        residual=native.residual | joined,
        free=native.free | alone,
        explained=native.explained & ~fresh,
    )


def _solid(bone: Bool, spacing: tuple[float, float, float]) -> Bool:
    return fill_holes(close_mm(bone, 3.0, spacing), per_slice=True)
