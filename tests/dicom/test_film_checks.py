"""What only pixels show: inverted films and two exposures, on projections of analytic bodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hoimg.dicom.film_checks import check_film, exposure_gap, looks_inverted
from hoimg.image import Radiograph


def limb(rows: int = 300, columns: int = 260, seed: int = 0) -> np.ndarray:
    """Line integrals through a hand (cylinder of water) with five bones (tubes with thin walls)."""
    x = np.arange(columns)[None, :]
    y = np.arange(rows)[:, None]

    def chord(center: float, radius: np.ndarray | float, lean: float) -> np.ndarray:
        offset = x - center - lean * (y - rows / 2)
        return 2 * np.sqrt(np.clip(np.square(radius) - offset**2, 0, None))

    swell = 1 + 0.1 * np.sin(y / 60)
    film = 0.02 * chord(130, 100 * swell, 0.02)
    for k, center in enumerate((65, 98, 131, 164, 197)):
        radius, wall, lean = 10 + k % 2, 2.5, 0.03 * (k - 2)
        bone = chord(center, radius * swell, lean)
        film = film + 0.05 * (bone - chord(center, (radius - wall) * swell, lean)) + 0.005 * bone
    noise = np.random.default_rng(seed).normal(0, 0.01, film.shape)
    return np.asarray(ndimage.gaussian_filter(film, 0.7) + noise, dtype=np.float32)


def film_from(pixels: np.ndarray, valid: np.ndarray | None = None) -> Radiograph:
    return Radiograph(pixels.astype(np.float32), None, "none", valid)


def test_an_inverted_limb_is_doubted_and_a_right_one_is_not() -> None:
    right = limb()
    for shown in (right, -np.exp(-right), np.rint(40 * right)):  # attenuation, intensity, few bits
        assert check_film(film_from(shown)) == ()
        [found] = check_film(film_from(-shown))
        assert (found.code, found.level) == ("polarity_doubtful", "warning")


def test_pixels_are_never_changed() -> None:
    film = film_from(-limb())
    before = film.pixels.copy()
    check_film(film)
    assert np.array_equal(film.pixels, before)


def test_padding_is_not_judged() -> None:
    pixels = limb()
    valid = np.ones(pixels.shape, bool)
    valid[:, :30] = False
    pixels[:, :30] = 99
    assert not looks_inverted(film_from(pixels, valid))
    assert looks_inverted(film_from(-pixels, valid))


def test_too_little_is_not_judged() -> None:
    flat = np.zeros((100, 100))
    assert check_film(film_from(flat)) == ()
    assert not looks_inverted(film_from(-limb()[:40]))
    assert not looks_inverted(film_from(-limb()[:48, :14]))
    nowhere = np.zeros(limb().shape, bool)
    assert check_film(film_from(-limb(), nowhere)) == ()
    noise = np.random.default_rng(0).normal(size=(200, 200))
    assert check_film(film_from(noise)) == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_two_exposures_are_parted_by_an_unexposed_band(axis: int) -> None:
    pair = np.concatenate([limb(), np.full((300, 20), 9.0), limb(seed=1)], axis=1)
    pixels = pair if axis == 1 else pair.T
    assert exposure_gap(film_from(pixels)) == (axis, 260, 279)
    assert [f.code for f in check_film(film_from(pixels))] == ["two_exposures"]


@pytest.mark.parametrize(
    ("width", "left", "found"),
    [
        (3, 130, True),  # 0.5 % of 520 is 2.6
        (2, 130, False),
        (20, 78, True),
        (20, 77, False),  # less than 15 % of the plate beside it: a margin
        (130, 195, True),
        (131, 195, False),  # wider than a quarter
    ],
)
def test_limits_of_the_band(width: int, left: int, found: bool) -> None:
    pixels = np.concatenate([limb(), limb(seed=1)], axis=1)
    pixels[:, left : left + width] = 9.0
    assert (exposure_gap(film_from(pixels)) is not None) == found


def test_legs_side_by_side_in_one_exposure_are_not_parted() -> None:
    """Air between two legs is the lowest value, not the highest."""
    pair = np.concatenate([limb(), limb(seed=1)], axis=1)
    assert exposure_gap(film_from(pair)) is None
    margins = np.pad(limb(), 40, constant_values=9.0)  # collimated on every side
    assert exposure_gap(film_from(margins)) is None
    three = np.concatenate([limb(), np.full((300, 20), 9.0)] * 2 + [limb()], axis=1)
    assert exposure_gap(film_from(three)) is None  # more than one band: not what it looks for


@pytest.mark.parametrize("axis", [1, 2])
def test_projections_of_a_real_ct(real_data: Path, axis: int) -> None:
    import SimpleITK as sitk

    file = real_data / "totalsegmentator" / "example_ct.nii.gz"
    image = sitk.DICOMOrient(sitk.ReadImage(str(file)), "LPS")
    hu = np.clip(sitk.GetArrayFromImage(image), -1000, 2500)
    line = (0.02 * (hu + 1000.0) / 1000).sum(axis=axis)[::-1] * 3.0  # 3 mm voxels, mu of water
    pixels = ndimage.zoom(line, 2, order=1)
    assert check_film(film_from(pixels)) == ()
    assert [f.code for f in check_film(film_from(-pixels))] == ["polarity_doubtful"]
