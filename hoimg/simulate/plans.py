"""What a simulated case is: a patient, the exams and the lesions over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hoimg.geometry import Triple
from hoimg.image import CTVolume, Mask
from hoimg.simulate.metal import Rod
from hoimg.simulate.pose import Bend, Pose, Rig
from hoimg.simulate.posing import PosedScanner
from hoimg.simulate.shapes import Shape

MINERAL_SCALE = {70: 1.587, 80: 1.35, 100: 1.136, 120: 1.0, 140: 0.93}
"""Mineral signal relative to 120 kVp. 70 and 100: the inverse of published factors to 120 kVp
(0.63, 0.88); 80 and 140 are read off a smooth curve through them."""


@dataclass(frozen=True)
class ExamPlan:
    """How one exam is scanned.

    Attributes:
        days: Days after the first exam.
        slice_mm: Slice spacing and thickness.
        pixel_mm: In-plane spacing.
        psf_fwhm_mm: In-plane point spread of the kernel, mm; along z the slice sensitivity is 0.8
            of the slice.
        kernel: Name in the DICOM header.
        kvp: Tube voltage; a key of :data:`MINERAL_SCALE`.
        noise_sd_hu: Noise added, HU.
        noise_fwhm_mm: Width of the noise's kernel, mm.
        degrees_xyz: Rotation of the patient against the first exam, degrees.
        shift_mm: Shift of the patient against the first exam, LPS mm.
        thick_mm: When set, a second series averaged to this slice thickness is written too.
        contrast: Contrast agent named in the header; None: none.
        bends: Joints of the case's rig that are bent.
        metal: Metal that has been put in, in the patient's frame.
        low_lps_mm: Lower corner of what this exam scans (scanner frame); None: the case's.
        high_lps_mm: Upper corner.
    """

    days: int
    slice_mm: float = 1.25
    pixel_mm: float = 1.0
    psf_fwhm_mm: float = 1.1
    kernel: str = "B30f"
    kvp: int = 120
    noise_sd_hu: float = 10.0
    noise_fwhm_mm: float = 1.8
    degrees_xyz: Triple = (0.0, 0.0, 0.0)
    shift_mm: Triple = (0.0, 0.0, 0.0)
    thick_mm: float | None = None
    contrast: str | None = None
    bends: tuple[Bend, ...] = ()
    metal: tuple[Rod, ...] = ()
    low_lps_mm: Triple | None = None
    high_lps_mm: Triple | None = None


@dataclass(frozen=True)
class LesionPlan:
    """One lesion over all exams.

    Attributes:
        lesion_id: Its name in ``case.json``, e.g. ``A``.
        where: ``free``, ``near`` or ``attached``.
        label: Expected maturity at the last exam: ``immature``, ``mature``, ``indeterminate``.
        center_lps_mm: In the patient's frame.
        seed: Of the texture.
        volumes_mm3: One per exam; None: absent, or part of the lesion it merged into.
        stages: One per exam.
        shapes: One per exam (the same object as long as the lesion keeps its form).
        merged_into: Name of the lesion that has taken this one up wherever its volume is None
            after it was present.
        split_from: Name of the lesion that this one was part of before it was present.
        shell_mm: Thickness of the mature shell.
        shell_hu: HU of the mature shell.
        manner: Kind of texture.
        story: What it does, e.g. ``growing``; a note.
        extra: More fields of its entry in ``case.json``.
    """

    lesion_id: str
    where: str
    label: str
    center_lps_mm: Triple
    seed: int
    volumes_mm3: Sequence[float | None]
    stages: Sequence[float]
    shapes: Sequence[Shape]
    merged_into: str | None = None
    split_from: str | None = None
    shell_mm: float = 1.5
    shell_hu: float = 1150.0
    manner: str = "zonal"
    story: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CasePlan:
    """A patient: anatomy, exams and lesions.

    Attributes:
        base: Scan or phantom without lesions, in the patient's frame.
        native_bone: Its native skeleton.
        exams: In date order, the first at day 0.
        lesions: At most 65535.
        low_lps_mm: Lower corner of what is scanned (scanner frame); None: all of ``base``.
        high_lps_mm: Upper corner.
        patient_id: Invented.
        seed: Of noise, UIDs and file names.
        clean_air: Write constant air outside the body (compresses better; removes the table).
        compression: See :mod:`hoimg.simulate.dicom_writer`.
        note: What the case is, copied into ``case.json``.
        extra: More top-level fields of ``case.json``.
        skeleton: A skeleton in the patient's frame as a reader would give it (a model's mask of
            the scan without lesions); written on each exam's grid and named in ``case.json``.
        rig: The native skeleton with its joints; None: nothing bends.
    """

    base: CTVolume
    native_bone: Mask
    exams: Sequence[ExamPlan]
    lesions: Sequence[LesionPlan]
    low_lps_mm: Triple | None = None
    high_lps_mm: Triple | None = None
    patient_id: str = "SIM-0001"
    seed: int = 0
    clean_air: bool = False
    compression: str = "jpeg-ls"
    note: str = "simulated"
    extra: dict[str, Any] = field(default_factory=dict)
    skeleton: Mask | None = None
    rig: Rig | None = None

    @cached_property
    def scanner(self) -> PosedScanner:
        """Scans the base in the poses of :attr:`rig`."""
        return PosedScanner(self.base, self._rigged())

    def pose(self, exam: ExamPlan) -> Pose:
        """The pose of an exam."""
        return Pose(self._rigged(), exam.bends)

    def _rigged(self) -> Rig:
        if self.rig is None:
            raise ValueError("an exam bends a joint, but the case has no rig")
        return self.rig


def model_key(lesion: LesionPlan, index: int) -> tuple[Any, ...]:
    """What makes a lesion's model at one exam: the same key, the same object."""
    return (
        lesion.lesion_id,
        lesion.volumes_mm3[index],
        lesion.stages[index],
        id(lesion.shapes[index]),
    )
