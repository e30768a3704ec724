"""Later exams are compared with the patient's earliest CT that could be read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from limb_patient import GRID, limb, points, write_exams

import hoimg
from hoimg import pipeline
from hoimg.earlier import EarlierScans
from hoimg.errors import InputRefused
from hoimg.image import CTVolume
from hoimg.settings import Settings

SHIFT = (3.0, -2.0, 4.0)


def with_bone(radius_mm: float, seed: int) -> CTVolume:
    """The limb, moved a little, with bone grown onto its shaft."""
    volume = limb(None, seed=seed, shift=SHIFT)
    x, y, z = points(SHIFT)
    lean = 0.15 * (z - 139.0)
    ball = np.sqrt((x + 5 - lean) ** 2 + (y + 5) ** 2 + (z - 142) ** 2) < radius_mm
    hu = volume.hu.copy()
    hu[ball & (np.hypot(x - 12 - lean, y + 5) >= 13)] = 800
    return CTVolume(hu, GRID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("exams")
    return write_exams(
        home, {0: limb(None, seed=1), 90: with_bone(9.0, 2), 180: with_bone(10.0, 3)}
    )


def test_each_exam_gets_the_earliest_one_and_the_first_gets_none():
    scans = EarlierScans(["a", "b", "c"])
    volume = limb(None, seed=4)
    assert scans.before("a", volume) is None
    scans.over("a")
    for name in ("b", "c"):
        earlier = scans.before(name, volume)
        assert earlier is not None
        assert earlier.name == "exam a"
        scans.over(name)


def test_an_exam_that_could_not_be_read_is_passed_over():
    scans = EarlierScans(["a", "b", "c"])
    volume = limb(None, seed=4)
    scans.over("a")
    assert scans.before("b", volume) is None
    earlier = scans.before("c", volume)
    assert earlier is not None
    assert earlier.name == "exam b"


def test_nobody_waits_for_ever_whoever_is_first():
    scans = EarlierScans(["a", "b", "c", "d"])
    volume = limb(None, seed=4)

    def one(name: str) -> str | None:
        try:
            if name == "a":
                raise InputRefused("unreadable")
            earlier = scans.before(name, volume)
            return None if earlier is None else earlier.name
        except InputRefused:
            return "refused"
        finally:
            scans.over(name)

    with ThreadPoolExecutor(2) as pool:
        got = [f.result(timeout=60) for f in [pool.submit(one, n) for n in "abcd"]]
    assert got == ["refused", None, "exam b", "exam b"]


def test_bone_that_grew_onto_a_shaft_is_found_by_the_earlier_exam(folder):
    patient = hoimg.read_patient(folder)
    result = hoimg.analyze_patient(patient)
    first, *later = result.report.exams
    assert "exam" not in (first.acquisition.native_skeleton or "")
    assert len(result.report.lesions) == 1
    status = [o.status for o in result.report.lesions[0].observations]
    assert status == ["absent", "measured", "measured"]
    for exam in later:
        words = exam.acquisition.native_skeleton
        assert words is not None
        assert f"and exam {first.exam_id} (its bone explains" in words


def test_the_comparison_can_be_switched_off(folder, monkeypatch):
    patient = hoimg.read_patient(folder)
    settings = Settings()
    settings = settings.model_copy(
        update={"segment": settings.segment.model_copy(update={"prior_exam": False})}
    )
    seen = []
    real = pipeline.analyze_exam
    monkeypatch.setattr(
        pipeline, "analyze_exam", lambda *a, **k: seen.append(real(*a, **k)) or seen[-1]
    )
    hoimg.analyze_patient(replace(patient, exams=patient.exams[:2]), settings)
    assert all("exam" not in a.segmentation.provider for a in seen)
