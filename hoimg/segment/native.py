"""The native skeleton: what is normal bone, on the working grid, before any lesion is called.

Providers, in the order in which they decide: a *given* mask; *symmetry* (the mirrored scan) where
the scan has a usable other side; otherwise *shape* (large, or cut by the field of view).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.features import extents_mm
from hoimg.segment.given import divide_by_given
from hoimg.segment.morphology import close_mm, dilate_mm, fill_holes, label_components
from hoimg.segment.prior import Prior
from hoimg.segment.symmetry import Mirror
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
    dense: Bool,
    working: Working,
    settings: SegmentSettings,
    *,
    mirror: Mirror | None,
    given: Bool | None,
    shells: Bool | None = None,
) -> Native:
    """Divide dense voxels into native skeleton, residual outgrowths and free pieces.

    Args:
        dense: Voxels above the mineral threshold, without metal.
        working: The working grid.
        settings: Section ``segment``.
        mirror: The mirrored skeleton, or None.
        given: A skeleton mask from the user on the working grid, or None.
        shells: Lesions with a closed shell, known by their form: never native.
    """
    if shells is not None and shells.any():
        rest = divide(dense & ~shells, working, settings, mirror=mirror, given=given)
        return replace(
            rest,
            solid=rest.solid & ~shells,
            core=rest.core & ~shells,
            dense=dense,
            free=rest.free | shells,
        )
    spacing = working.spacing_zyx_mm
    if given is not None:
        return _by_given(dense, given, working, settings)
    if mirror is not None:
        # The mirrored bone is known no better than about one and a half voxels.
        tolerance = max(settings.mirror_tolerance_mm, 1.5 * max(spacing))
        near = mirror.distance_mm <= tolerance
        loose = mirror.distance_mm <= settings.mirror_loose_mm
        words = f"symmetry (mirrored bone explains {100 * mirror.agreement:.0f} %)"
        core = mirror.distance_mm <= 0.5
        return _by_expectation(dense, near, loose, core, working, settings, words, mirror)
    return _by_shape(dense, working, settings)


def _by_expectation(
    dense: Bool,
    near: Bool,
    loose: Bool,
    core: Bool,
    working: Working,
    settings: SegmentSettings,
    provider: str,
    mirror: Mirror | None,
) -> Native:
    spacing = working.spacing_zyx_mm
    labels, _ = label_components(dense)
    counts = np.bincount(labels.ravel())
    total = np.maximum(counts, 1)
    explained = np.bincount(labels.ravel(), weights=near.ravel()) / total
    loosely = np.bincount(labels.ravel(), weights=loose.ravel()) / total
    volume = counts * working.voxel_mm3
    native = (volume >= settings.skeleton_component_mm3) | (explained >= 0.5)
    long_ones = _elongated(labels, np.flatnonzero(loosely >= 0.6), working)
    native |= long_ones
    native[0] = False
    large = native & (volume >= settings.skeleton_component_mm3)
    bone = native[labels]
    # Beyond the tolerance a native component is suspect; small components went whole.
    suspect = large[labels] & ~near
    if mirror is not None:
        suspect &= mirror.faint_distance_mm > settings.mirror_faint_mm
    free = dense & ~bone
    small_native = native & ~large
    kept = bone & ~suspect
    # The marrow of a fused lesion must not be closed into the skeleton: filling keeps to where
    # bone is expected.
    solid = _solid(kept, spacing) & (near | kept)
    solid |= core
    return Native(kept, solid, core, dense, suspect, free, small_native[labels], provider)


def _by_given(dense: Bool, given: Bool, working: Working, settings: SegmentSettings) -> Native:
    found = divide_by_given(dense, given, working, settings)
    solid = _solid(found.bone, working.spacing_zyx_mm) & (found.near | found.bone) | found.core
    return Native(
        found.bone,
        solid,
        found.core,
        dense,
        found.residual,
        found.free,
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


def _by_shape(dense: Bool, working: Working, settings: SegmentSettings) -> Native:
    """Without another side: what is large or leaves the scan is native."""
    labels, _ = label_components(dense)
    counts = np.bincount(labels.ravel())
    volume = counts * working.voxel_mm3
    ends = np.zeros(len(counts), dtype=bool)
    ends[np.unique(labels[0])] = True
    ends[np.unique(labels[-1])] = True
    native = volume >= settings.skeleton_component_mm3
    native |= ends & (volume >= settings.cut_bone_mm3)
    native[0] = False
    bone = native[labels]
    none = np.zeros_like(dense)
    solid = _solid(bone, working.spacing_zyx_mm)
    return Native(
        bone, solid, solid, dense, none, dense & ~solid, none.copy(), "shape (no other side)"
    )


def _elongated(labels: NDArray[np.int32], candidates: NDArray[np.intp], working: Working) -> Bool:
    """Which of the named components are at least three times as long as broad (ribs)."""
    from scipy import ndimage as ndi

    out = np.zeros(int(labels.max()) + 1, dtype=bool)
    boxes = ndi.find_objects(labels)
    for label in candidates:
        if label == 0:
            continue
        mask = labels[boxes[label - 1]] == label
        length, breadth = extents_mm(mask, working.spacing_zyx_mm)
        out[label] = length >= 20.0 and length >= 2.5 * breadth
    return out
