"""The outlines of an exam, each with a fingerprint: whether a reader redrew one shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import label_boxes
from hoimg.image import Mask
from hoimg.results import Outline

GIVEN = "outline_given"
"""Flag of an outline that a reader drew; nothing found it."""


@dataclass(frozen=True)
class Redrawn:
    """How a label map differs from the outlines of a report; labels, sorted.

    Attributes:
        changed: Labels with other voxels than before.
        new: Labels that were not there.
        removed: Labels that are not there any more.
    """

    changed: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()

    @property
    def drawn(self) -> tuple[int, ...]:
        """Labels whose voxels are the reader's."""
        return tuple(sorted((*self.changed, *self.new)))

    def __bool__(self) -> bool:
        return bool(self.changed or self.new or self.removed)


def outlines_of(lesions: Mask, flags: Mapping[int, Sequence[str]]) -> list[Outline]:
    """Every outline of a label map, by label.

    Args:
        lesions: Label map of one exam.
        flags: What segmentation says of each label.
    """
    return [
        Outline(label=label, flags=list(flags.get(label, ())), sha256=digest)
        for label, digest in fingerprints(lesions.array).items()
    ]


def redrawn(before: Sequence[Outline], now: Sequence[Outline]) -> Redrawn:
    """What a reader changed in a label map since its report was written.

    Args:
        before: The outlines of the report.
        now: Those of the label map as it is now, on the same grid; flags are passed over.
    """
    then = {outline.label: outline.sha256 for outline in before}
    here = {outline.label: outline.sha256 for outline in now}
    return Redrawn(
        changed=tuple(sorted(k for k in then.keys() & here.keys() if then[k] != here[k])),
        new=tuple(sorted(here.keys() - then.keys())),
        removed=tuple(sorted(then.keys() - here.keys())),
    )


def fingerprints(labels: NDArray[Any]) -> dict[int, str]:
    """Label to SHA-256 of where its box begins, the box's size, and its pixels as bits.

    Args:
        labels: Label map of a CT or a film, or one mask.
    """
    found: dict[int, str] = {}
    for label, whole in label_boxes(labels if labels.ndim == 3 else labels[None]).items():
        box = whole[-labels.ndim :]
        place = ",".join(f"{s.start}:{s.stop}" for s in box)
        bits = np.packbits(labels[box] == label).tobytes()
        found[label] = hashlib.sha256(place.encode() + b"|" + bits).hexdigest()
    return found


def covered_of(before: Outline, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """What of an outline is of another label in the map, bool ``[y, x]``.

    Args:
        before: The outline as it was written.
        shape: Of the film.
    """
    flat = np.zeros(int(np.prod(shape)), bool)
    assert before.on_film is not None
    for first, count in before.on_film.covered:
        flat[first : first + count] = True
    return flat.reshape(shape)


def runs_of(covered_yx: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The same as an outline keeps it: first and number of pixels of each run, row by row."""
    ends = np.flatnonzero(np.diff(np.pad(covered_yx.ravel().astype(np.int8), 1)))
    return [(int(a), int(b - a)) for a, b in zip(ends[::2], ends[1::2], strict=True)]
