"""Exams are measured on series that can be compared, as long as that costs no thin slices."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from synthetic_ct import noise, stack, write_ct

from hoimg.dicom import read_patient

_numbers = itertools.count(1)


def series(folder: Path, day: int, n: int = 12, step: float = 1.0, **tags: object) -> None:
    number = next(_numbers)
    tags.setdefault("SliceThickness", str(step))
    write_ct(
        folder / f"{day} {number}", noise(n), stack(n, step), study=f"1.2.{day}",
        series=f"1.3.{day}.{number}", StudyDate=f"202401{day:02d}", **tags,
    )  # fmt: skip


def chosen(folder: Path) -> list[tuple[str | None, float | None, float | None, bool | None]]:
    return [
        (a.kernel, a.slice_thickness_mm, a.kvp, a.contrast)
        for a in (e.acquisition for e in read_patient(folder).exams)
    ]


def reasons(folder: Path) -> list[str]:
    return [str(e.acquisition.series_choice) for e in read_patient(folder).exams]


def test_soft_kernels_match_soft_kernels(tmp_path: Path) -> None:
    for day in (1, 2):
        series(tmp_path, day, ConvolutionKernel="B70f")
        series(tmp_path, day, ConvolutionKernel="B30f")
    assert [c[0] for c in chosen(tmp_path)] == ["B30f", "B30f"]
    assert not any("match" in r for r in reasons(tmp_path))


def test_an_exam_with_a_sharp_kernel_only_draws_the_others_to_it(tmp_path: Path) -> None:
    series(tmp_path, 1, ConvolutionKernel="B70f")
    series(tmp_path, 1, ConvolutionKernel="B30f")
    series(tmp_path, 2, ConvolutionKernel="B70f")
    assert [c[0] for c in chosen(tmp_path)] == ["B70f", "B70f"]
    first, second = reasons(tmp_path)
    assert "to match the kernel class and kernel of the other exams" in first
    assert "overshoots at edges" in first
    assert second == (
        "the only usable CT series of the study; sharp kernel B70f "
        "(overshoots at edges, sizes read too large)"
    )


def test_the_thickness_class_is_never_paid(tmp_path: Path) -> None:
    series(tmp_path, 1, 24, 1.0, ConvolutionKernel="B30f")
    series(tmp_path, 1, 6, 4.0, ConvolutionKernel="B70f")
    series(tmp_path, 2, 6, 4.0, ConvolutionKernel="B70f")
    assert [c[:2] for c in chosen(tmp_path)] == [("B30f", 1.0), ("B70f", 4.0)]


def test_coverage_is_never_paid(tmp_path: Path) -> None:
    series(tmp_path, 1, 24, ConvolutionKernel="B30f")
    series(tmp_path, 1, 8, ConvolutionKernel="B70f")
    series(tmp_path, 2, 24, ConvolutionKernel="B70f")
    assert [c[0] for c in chosen(tmp_path)] == ["B30f", "B70f"]


@pytest.mark.parametrize(
    ("tag", "own", "common", "word"),
    [
        ("ContrastBolusAgent", "", "IOMERON", "contrast"),
        ("SliceThickness", "0.8", "1.25", "thickness"),
        ("ConvolutionKernel", "B30f", "B35f", "kernel"),
    ],
)
def test_what_else_is_matched(tmp_path: Path, tag: str, own: str, common: str, word: str) -> None:
    series(tmp_path, 1, **{tag: own})
    series(tmp_path, 1, **{tag: common})
    series(tmp_path, 2, **{tag: common})
    one, two = chosen(tmp_path)
    assert one == two
    said = reasons(tmp_path)[0]
    if tag != "ConvolutionKernel":  # B30f and B35f are both soft: a match needs no overruling
        assert f"to match the {word} of the other exams" in said


def test_tube_voltage_is_matched_within_rounding(tmp_path: Path) -> None:
    series(tmp_path, 1, KVP="100")
    series(tmp_path, 1, KVP="121")
    series(tmp_path, 2, KVP="120")
    assert [c[2] for c in chosen(tmp_path)] == [121.0, 120.0]


def test_the_kernel_class_weighs_more_than_the_tube_voltage(tmp_path: Path) -> None:
    series(tmp_path, 1, KVP="120", ConvolutionKernel="B70f")
    series(tmp_path, 1, KVP="100", ConvolutionKernel="B30f")
    series(tmp_path, 2, KVP="120", ConvolutionKernel="B30f")
    assert [c[0] for c in chosen(tmp_path)] == ["B30f", "B30f"]


def test_a_named_series_draws_the_others(tmp_path: Path) -> None:
    series(tmp_path, 1, ConvolutionKernel="B70f")
    series(tmp_path, 1, ConvolutionKernel="B30f")
    series(tmp_path, 2, ConvolutionKernel="B70f")
    series(tmp_path, 2, ConvolutionKernel="B30f")
    patient = read_patient(tmp_path)
    sharp = next(
        s.series_uid for s in patient.unused if s.study_uid == "1.2.1" and s.acquisition.kernel
    )
    named = read_patient(tmp_path, series=sharp)
    assert [e.acquisition.kernel for e in named.exams] == ["B70f", "B70f"]
    assert named.exams[0].acquisition.series_choice == "named by the user (--series)"


def test_an_original_across_the_body_gives_way_to_an_axial_one(tmp_path: Path) -> None:
    cosines = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    write_ct(
        tmp_path / "coronal", noise(30), stack(30, cosines=cosines), cosines=cosines, series="1.3.1"
    )
    write_ct(tmp_path / "axial", noise(10), stack(10), series="1.3.2")
    exam = read_patient(tmp_path).exams[0]
    assert exam.series.series_uid == "1.3.2"
    assert "original axial images" in str(exam.acquisition.series_choice)
    (tmp_path / "more").mkdir()
    write_ct(tmp_path / "more", noise(30), stack(30), series="1.3.3", ImageType=["DERIVED"])
    only = read_patient([tmp_path / "coronal", tmp_path / "more"]).exams[0]
    assert only.series.series_uid == "1.3.1"
    assert "original images" in str(only.acquisition.series_choice)
