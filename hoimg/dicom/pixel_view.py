"""What limits a scan: a body cut off by the field of view, noise, streaks, metal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.pixel_sample import Sample
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

BODY_HU = -300
"""Voxels above this are body (or table)."""
VIEW_SLICES = 32
"""Slices in which the outline of the body is looked at, at most."""
TABLE_MM = 10.0
"""Half the thickness of what is taken for the table or cushions rather than body."""

CIRCLE_SPAN = 0.9
"""A reconstruction circle spans at least this share of the image, along rows and columns."""

Bools = NDArray[np.bool_]


def check_field_of_view(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Whether the body's outline is cut by the edge of the image or of the reconstruction."""
    from scipy.ndimage import binary_dilation, binary_erosion, binary_opening

    count = len(sample.hu)
    slices = np.unique(np.linspace(0, count - 1, min(count, VIEW_SLICES)).round().astype(int))
    hu = sample.hu[slices]
    body = hu > BODY_HU
    beyond = _beyond(sample, slices)
    body &= ~beyond  # the same for all slices
    pixel_mm = sample.step * float(np.mean(sample.volume.grid.spacing_zyx_mm[1:]))
    cross = np.zeros((3, 3, 3), dtype=bool)
    cross[1, 1, :] = cross[1, :, 1] = True
    rounds = max(1, round(TABLE_MM / pixel_mm))
    # The edge of the image is no edge of the body: without a frame, opening would eat it there.
    margin = [(0, 0), (rounds, rounds), (rounds, rounds)]
    framed = np.pad(body, margin, mode="edge")
    framed = binary_opening(framed, cross, iterations=rounds)
    body = framed[:, rounds:-rounds, rounds:-rounds] & body
    outline = body & ~binary_erosion(body, cross)
    edge = binary_dilation(np.broadcast_to(beyond, body.shape), cross)
    edge[:, [0, -1], :] = edge[:, :, [0, -1]] = True
    cut = outline & edge
    per_slice = cut.sum(axis=(1, 2)) / np.maximum(outline.sum(axis=(1, 2)), 1)
    share = float(cut.sum()) / max(int(outline.sum()), 1)
    if share > settings.truncated_share:
        concerned = float((per_slice > settings.truncated_share).mean())
        yield finding(
            "truncated_fov",
            f"{100 * share:.0f} % of the body's outline lie on the edge of the field of view "
            f"({100 * concerned:.0f} % of the slices).",
        )


def _beyond(sample: Sample, slices: NDArray[np.intp]) -> Bools:
    """Outside of the reconstruction circle: padded in every slice, out to the corners.

    Scanners and software also write the padding value into the air around the body. That follows
    the body; a circle spans the image, and all slices share it. Array ``[1, y, x]``.
    """
    from scipy.ndimage import binary_opening

    hu = sample.hu[slices]
    padded = np.zeros(hu.shape, dtype=bool)
    if sample.valid is not None:
        padded |= ~sample.valid[slices]
    if sample.padding_share:
        padded |= hu == sample.floor_hu
    # Noise in air that was cut at the floor is scattered; padding fills areas.
    always = binary_opening(padded.all(axis=0), np.ones((3, 3), dtype=bool))
    spans = all((~always).any(axis=a).mean() >= CIRCLE_SPAN for a in (0, 1))
    if not spans or not always[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        always[:] = False
    out: Bools = always[None]
    return out


def check_noise(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Noise in soft tissue, and streaks, which make noise rough in one direction."""
    noise = sample.noise_hu
    if noise is not None and noise > settings.max_noise_hu:
        yield finding("high_noise", f"Noise in soft tissue is {noise:.0f} HU.")
    along_y, along_x = sample.noise_yx_hu.T
    known = np.isfinite(along_y) & np.isfinite(along_x)
    rough, smooth = np.maximum(along_y, along_x), np.minimum(along_y, along_x)
    streaked = known & (rough > settings.streak_noise_hu)
    streaked &= rough > settings.streak_ratio * smooth
    if known.any() and streaked.sum() / known.sum() > settings.streak_share:
        where = sample.noise_slices[streaked]
        lying = "horizontal" if (along_y > along_x)[streaked].mean() > 0.5 else "vertical"
        yield finding(
            "streaks",
            f"Streaks ({lying}) in {100 * streaked.sum() / known.sum():.0f} % of the slices, "
            f"between {where[0]} and {where[-1]}.",
        )


def check_metal(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Metal, which darkens and brightens what lies around it."""
    voxels = sample.count_above(settings.metal_hu)
    volume_mm3 = voxels * sample.volume.grid.voxel_volume_mm3
    if volume_mm3 > settings.metal_mm3:
        yield finding(
            "metal_present",
            f"{volume_mm3 / 1000:.2g} mL are above {settings.metal_hu:.0f} HU.",
        )
