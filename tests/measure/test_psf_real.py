"""One plastic skull by several reconstructions: what the kernel and the slice did can be read."""

from functools import cache

import numpy as np
import pytest

import hoimg
from hoimg.dicom import load_volume
from hoimg.measure.psf import point_spread
from hoimg.segment.body import body_mask


@cache
def read(folder):
    exam = hoimg.read_patient(folder).exams[0]
    volume = load_volume(exam)
    spacing = volume.grid.spacing_zyx_mm
    return point_spread(
        volume.hu,
        spacing,
        skeleton=np.zeros(volume.hu.shape, bool),
        body=body_mask(volume.hu, spacing),  # in air, the skull's surface is what skin is
        valid=volume.valid,
        slice_mm=exam.acquisition.slice_thickness_mm,
    )


@pytest.fixture
def skull(real_data):
    return {kind: read(real_data / "plastic_skull" / kind).fwhm_zyx_mm for kind in KINDS}


KINDS = ("ct_1mm_standard", "ct_1mm_bone_kernel", "ct_5mm_standard")


def test_the_bone_kernel_reads_sharper(skull):
    standard, bone = skull["ct_1mm_standard"], skull["ct_1mm_bone_kernel"]
    assert bone[1] < 0.6 * standard[1]
    assert 0.5 < bone[1] < 0.9


def test_one_kernel_reads_the_same_in_thin_and_thick_slices(skull):
    assert skull["ct_5mm_standard"][1] == pytest.approx(skull["ct_1mm_standard"][1], rel=0.05)


def test_slices_read_about_as_thick_as_they_are(skull):
    # A box of 5 mm has the spread of a Gaussian of 3.4 mm; the nominal thickness bounds above.
    for kind, thick in (("ct_1mm_standard", 1.0), ("ct_1mm_bone_kernel", 1.0)):
        assert 0.68 * thick <= skull[kind][0] <= thick
    assert 3.4 <= skull["ct_5mm_standard"][0] <= 5.0
