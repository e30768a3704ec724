"""Peaks of a curve, held to scipy.signal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.dicom.peaks import peaks_of


def by_scipy(values: np.ndarray, least: float) -> list[tuple[int, float]]:
    from scipy.signal import find_peaks, peak_widths

    peaks, _ = find_peaks(values, prominence=least)
    widths = peak_widths(values, peaks, rel_height=0.5)[0] if len(peaks) else []
    return list(zip(peaks.tolist(), widths, strict=True))


def check(values: np.ndarray, least: float) -> None:
    found, wanted = list(peaks_of(values, least)), by_scipy(values, least)
    assert [p for p, _ in found] == [p for p, _ in wanted]
    assert [w for _, w in found] == pytest.approx([w for _, w in wanted], abs=1e-9)


# Small whole numbers: plateaus, ties and equal saddles are common.
@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.sampled_from([0.5, 1, 2, 3]))
def test_small_curves_with_plateaus(values, least):
    check(np.array(values, dtype=float), least)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_smooth_curves(seed):
    from scipy.ndimage import gaussian_filter1d

    noise = np.random.default_rng(seed).random(400)
    check(gaussian_filter1d(noise, 4.0), 0.01)


def test_a_triangle_by_hand():
    # Height 4 over zero: half of it is two steps down on the one side, one on the other.
    assert list(peaks_of(np.array([0.0, 1, 2, 3, 4, 2, 0]), 4.0)) == [(4, 3.0)]
    assert list(peaks_of(np.array([0.0, 1, 2, 3, 4, 2, 0]), 4.1)) == []
    assert list(peaks_of(np.array([7.0]), 0.0)) == []
