"""Where and how widely a lesion lies on native bone, and whether it bridges two bones.

A vertex of the lesion's surface lies on bone when the normal leads into native bone within
``contact_mm``: the flank of a lesion rises off the bone and looks past it, however near it is.
Patches of such vertices that hang together are contacts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.measure.relation import MaskWithin, values_at
from hoimg.measure.surface import Mesh

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEIGHBOURHOOD_MM = 30.0
"""Pieces of native bone that do not join within this distance of a lesion are two bones there."""

MIN_CONTACT_MM2 = 10.0
"""Smaller patches are corners of voxels, not contacts."""


@dataclass(frozen=True)
class Contact:
    """One patch of a lesion's surface on native bone.

    Attributes:
        area_mm2: Its area.
        centroid_mm: Its middle, mm zyx in the array's frame.
        bone: Number of the piece of bone, from 1; pieces do not join within 30 mm of the lesion.
    """

    area_mm2: float
    centroid_mm: Floats
    bone: int


@dataclass(frozen=True)
class BoneContact:
    """All contacts of a lesion.

    Attributes:
        area_mm2: Their area together.
        contacts: The patches, largest first.
        bridges: Whether they lie on two pieces of bone that do not join near the lesion. None
            where two patches lie on one piece: that may be one bone, or two that the native
            skeleton shows as one, as at a joint.
    """

    area_mm2: float
    contacts: tuple[Contact, ...]
    bridges: bool | None


def bone_contact(
    mesh: Mesh, bone_within: MaskWithin, spacing_mm: Triple, contact_mm: float
) -> BoneContact:
    """Measure a lesion's contacts with native bone.

    Args:
        mesh: The lesion's surface, mm zyx in the array's frame.
        bone_within: Gives native bone to a margin (mm) round the lesion, and its first index.
        spacing_mm: Spacing zyx, mm.
        contact_mm: Bone this close along the normal is touched; at least one voxel's diagonal half,
            since both surfaces come from voxels.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    reach = max(contact_mm, 0.5 * float(np.linalg.norm(spacing_mm)))
    bone, start = bone_within(reach + 2.0 * max(spacing_mm))
    on = _leads_into(mesh, bone, start, spacing_mm, reach)
    if not on.any():
        return BoneContact(0.0, (), False)
    i, j = mesh.averaging.nonzero()
    both = on[i] & on[j]
    n = len(mesh.points)
    graph = sparse.coo_matrix((np.ones(int(both.sum())), (i[both], j[both])), shape=(n, n))
    _, patch = connected_components(graph, directed=False)
    area = np.bincount(patch[on], mesh.vertex_area[on], minlength=n)
    kept = [k for k in np.argsort(-area) if area[k] >= MIN_CONTACT_MM2]
    if not kept:
        return BoneContact(float(area.sum()), (), False)
    pieces, first = _pieces(bone_within)
    contacts = []
    for k in kept:
        chosen = on & (patch == k)
        weight = mesh.vertex_area[chosen]
        middle = (mesh.points[chosen] * weight[:, None]).sum(axis=0) / weight.sum()
        below = mesh.points[chosen] + mesh.normals[chosen] * reach
        found = values_at(pieces, below, spacing_mm, first)
        found = found[found > 0]
        number = int(np.bincount(found).argmax()) if found.size else 0
        contacts.append(Contact(float(area[k]), middle, number))
    order = {old: new for new, old in enumerate(dict.fromkeys(c.bone for c in contacts), start=1)}
    contacts = [Contact(c.area_mm2, c.centroid_mm, order[c.bone]) for c in contacts]
    bridges = True if len(order) > 1 else None if len(contacts) > 1 else False
    return BoneContact(float(area.sum()), tuple(contacts), bridges)


def _leads_into(
    mesh: Mesh, bone: Bools, start: tuple[int, int, int], spacing_mm: Triple, reach_mm: float
) -> Bools:
    """Vertices from which the normal meets bone within ``reach_mm``."""
    hit = np.zeros(len(mesh.points), bool)
    for step in np.linspace(0.0, reach_mm, 5)[1:]:
        hit |= values_at(bone, mesh.points + mesh.normals * step, spacing_mm, start) != 0
    return hit


def _pieces(bone_within: MaskWithin) -> tuple[NDArray[np.int32], tuple[int, int, int]]:
    """Bone near the lesion in pieces that do not touch one another, numbered from 1."""
    from scipy import ndimage

    bone, start = bone_within(NEIGHBOURHOOD_MM)
    labels, _ = ndimage.label(bone, np.ones((3, 3, 3)), output=np.int32)
    return labels, start
