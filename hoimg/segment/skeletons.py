"""What each provider of the native skeleton says, in one form, and how they combine.

A provider gives a mask, how sure it is of each voxel, and whether it trusts itself on this scan. A
given skeleton decides where it has bone; else the other side, else the form of the bones; an
earlier exam adds what is new since then, whoever decided. Providers fail in different places, so
where they disagree is worth knowing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.results import Finding
from hoimg.segment.morphology import dilate_mm

Bool = NDArray[np.bool_]

UNKNOWN = 0.5
"""Confidence where a provider knows nothing: outside of an earlier exam's field of view, and at the
edge of a bone."""


@dataclass(frozen=True, eq=False)
class ProvidedSkeleton:
    """The native skeleton as one provider has it.

    Attributes:
        provider: Its name in words, with its agreement.
        mask: Where it has native bone with marrow, bool, working grid.
        confidence: float16, 0 to 1, how sure it is that a voxel is native bone.
        agreement: The fraction of the scan's bone that it explains; None where it is not measured.
        why: Why it is not to be used on this scan (its own failure check); None where it is.
        findings: For the reader.
    """

    provider: str
    mask: Bool
    confidence: NDArray[np.float16]
    agreement: float | None = None
    why: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it passed its own failure check."""
        return self.why is None


def by_distance(
    provider: str,
    distance: NDArray[np.float32],
    tolerance_mm: float,
    *,
    agreement: float | None = None,
    why: str | None = None,
    known: Bool | None = None,
) -> ProvidedSkeleton:
    """A provider that knows where bone is to a tolerance.

    Its confidence is 1 on the bone, one half at the tolerance and 0 at twice of it.

    Args:
        provider: Its name in words.
        distance: float32, distance to its bone, mm.
        tolerance_mm: How well it knows where that is.
        agreement: See :class:`ProvidedSkeleton`.
        why: See there.
        known: Where it knows anything; None for everywhere.
    """
    sure = distance / np.float32(-2 * tolerance_mm)
    sure += 1
    confidence = np.clip(sure, 0, 1, out=sure).astype(np.float16)
    mask = distance <= 0.5
    if known is not None:
        confidence[~known] = UNKNOWN
        mask &= known
    return ProvidedSkeleton(provider, mask, confidence, agreement, why)


def by_mask(provider: str, mask: Bool, spacing_zyx_mm: Sequence[float]) -> ProvidedSkeleton:
    """A provider that draws the bone itself, to a voxel.

    Its confidence is 1 on the bone, one half a voxel beside it and 0 farther away.
    """
    beside = dilate_mm(mask, max(spacing_zyx_mm), spacing_zyx_mm)
    confidence = np.zeros(mask.shape, dtype=np.float16)
    confidence[beside] = UNKNOWN
    confidence[mask] = 1.0
    return ProvidedSkeleton(provider, mask, confidence)


def combined(provided: Sequence[ProvidedSkeleton]) -> NDArray[np.uint8] | None:
    """Mean confidence of the usable providers, whole per cent; None without any."""
    usable = [p for p in provided if p.usable]
    if not usable:
        return None
    total = usable[0].confidence.astype(np.float32)
    for each in usable[1:]:
        total += each.confidence
    total *= np.float32(100 / len(usable))
    return np.rint(total, out=total).astype(np.uint8)


def in_words(provided: Sequence[ProvidedSkeleton]) -> str:
    """Who decided, in the order of their say."""
    return " and ".join(p.provider for p in provided if p.usable)


def disputed(provided: Sequence[ProvidedSkeleton], lesion: Bool, box: tuple[slice, ...]) -> bool:
    """Whether a usable provider takes most of a lesion for native bone.

    Args:
        provided: All providers.
        lesion: Boolean array of the box's shape.
        box: Its place in the working array.
    """
    return any(p.usable and p.confidence[box][lesion].mean(dtype=float) > UNKNOWN for p in provided)
