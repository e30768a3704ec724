"""The QRM phantom: hydroxyapatite cylinders of known size are found in a region, bone is not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import hoimg
from hoimg.dicom import load_volume
from hoimg.image import CTVolume
from hoimg.regions import SphereRegion, on_grid
from hoimg.segment import segment_exam
from hoimg.segment.types import Segmentation

INSERT = SphereRegion((-5.0, 0.0, 600.0), 52.0)
VERTEBRA = SphereRegion((-2.5, 70.0, 601.0), 30.0)
# Diameter, mg/cm3, and the cylinder's place, read off the images: densest voxel near that point.
CYLINDERS = {
    (5, 800): (-40.6, 1.5, 600.8),
    (5, 400): (13.7, -32.5, 600.3),
    (3, 800): (-28.1, 1.6, 600.8),
    (3, 400): (8.3, -21.4, 600.8),
}


@cache
def found_in(folder: Path) -> tuple[CTVolume, Segmentation]:
    exam = hoimg.read_patient(folder).exams[0]
    volume = load_volume(exam)
    return volume, segment_exam(volume, kvp=120.0, roi=on_grid([INSERT, VERTEBRA], volume.grid))


@pytest.mark.parametrize(("diameter", "density"), list(CYLINDERS))
def test_cylinders_of_five_and_three_millimetres_are_lesions(real_data, diameter, density):
    volume, found = found_in(real_data / "qrm_phantom" / "dicom")
    place = CYLINDERS[diameter, density]
    z, y, x = np.rint(volume.grid.to_index_zyx(place)).astype(int)
    label = found.lesions.array[z, y, x]
    assert label
    drawn = found.lesions.array == label
    # One cylinder and no other: its middle lies within a pixel or two of where the images show it.
    middle = volume.grid.to_lps_mm(np.argwhere(drawn).mean(0))
    assert np.linalg.norm((middle - place)[:2]) < 0.6
    # Voxels of 3 mm height can but show whole slices of a cylinder of 5 or 3 mm length: their
    # count lies between half and twice the volume (the envelope's volume is measured elsewhere).
    true = np.pi * diameter**3 / 4
    assert 0.5 * true < drawn.sum() * volume.grid.voxel_volume_mm3 < 2 * true


def test_the_artificial_vertebra_is_never_called(real_data):
    volume, found = found_in(real_data / "qrm_phantom" / "dicom")
    labels, count = ndimage.label(volume.hu > 250)  # found without hoimg: the largest dense body
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    vertebra = labels == 1 + int(sizes[1:].argmax())
    assert vertebra.sum() * volume.grid.voxel_volume_mm3 > 50_000
    # The region holds a good part of it, so that it was asked for.
    assert (on_grid([VERTEBRA], volume.grid).array & vertebra).sum() > 0.2 * vertebra.sum()
    assert not (found.lesions.array > 0)[vertebra].any()
    assert found.skeleton.array[vertebra].mean() > 0.8
