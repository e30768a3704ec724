"""One series number that holds several things: parted where the headers do, refused where not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_ct import AXIAL, noise, write_ct, write_slice

from hoimg.dicom import SeriesInfo, read_patient, scan

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
MPR = ["DERIVED", "SECONDARY", "MPR"]


def write_stack(
    folder: Path,
    n: int,
    step: float = 1.0,
    *,
    cosines: Sequence[float] = AXIAL,
    start: float = 0.0,
    first: int = 0,
    **tags: object,
) -> list[Path]:
    """A stack within the one series of the test; SOP instance numbers from ``first`` on."""
    normal = np.cross(cosines[:3], cosines[3:])
    tags.setdefault("SliceThickness", str(step))
    pixels = noise(n, seed=first)
    return [
        write_slice(
            folder / f"{first + k}",
            pixels[k],
            (start + k * step) * normal,
            cosines=cosines,
            number=first + k,
            **tags,
        )
        for k in range(n)
    ]


def found(folder: Path) -> list[tuple[bool, int, list[str]]]:
    """Of each group: usable, number of files, codes."""
    return sorted(
        (s.usable, len(s.files), sorted(f.code for f in s.findings)) for s in scan(folder).series
    )


def usable(folder: Path) -> list[SeriesInfo]:
    return [s for s in scan(folder).series if s.usable]


# ---------------------------------------------------------------- planes


def test_three_planes_of_reformats_become_three_volumes(tmp_path: Path) -> None:
    for number, (n, cosines) in enumerate(((6, AXIAL), (7, CORONAL), (8, SAGITTAL))):
        write_stack(tmp_path, n, cosines=cosines, first=100 * number, ImageType=MPR)
    assert found(tmp_path) == [(True, n, ["reformatted", "series_parted"]) for n in (6, 7, 8)]
    assert len({s.grid.direction for s in usable(tmp_path) if s.grid}) == 3


@pytest.mark.parametrize("spoil", ["gap", "four slices", "originals alike", "double"])
def test_planes_stay_together_and_refused_where_one_is_not_whole(
    tmp_path: Path, spoil: str
) -> None:
    kind = ["ORIGINAL", "PRIMARY", "AXIAL"] if spoil == "originals alike" else MPR
    write_stack(tmp_path, 8, ImageType=kind)
    files = write_stack(
        tmp_path, 4 if spoil == "four slices" else 8, cosines=CORONAL, first=100, ImageType=kind
    )
    if spoil == "gap":
        files[3].unlink()
    if spoil == "double":
        write_stack(tmp_path, 1, cosines=CORONAL, first=200, start=2.0, ImageType=kind)
    ((ok, _, codes),) = found(tmp_path)
    assert not ok
    assert "mixed_orientation" in codes


def test_originals_with_reformats_in_one_series_are_told_apart_by_their_type(
    tmp_path: Path,
) -> None:
    original = write_stack(tmp_path, 8)
    write_stack(tmp_path, 8, cosines=CORONAL, first=100, ImageType=MPR)
    assert len(usable(tmp_path)) == 2
    exam = read_patient(tmp_path).exams[0]
    assert set(exam.series.files) == set(original)
    assert "original axial images" in str(exam.acquisition.series_choice)


def test_a_rotation_is_no_stack(tmp_path: Path) -> None:
    for k in range(40):
        angle = k * np.pi / 40
        cosines = (np.cos(angle), np.sin(angle), 0.0, 0.0, 0.0, -1.0)
        write_slice(tmp_path / f"{k}", noise()[0], (0, 0, 0), cosines=cosines, number=k,
                    ImageType=MPR)  # fmt: skip
    ((ok, count, codes),) = found(tmp_path)
    assert (ok, count) == (False, 40)
    assert "mixed_orientation" in codes


# ---------------------------------------------------------------- phases and reconstructions


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("AcquisitionNumber", (1, 2, 3)),
        ("AcquisitionTime", ("101500", "101530", "101600")),
        ("TriggerTime", ("0", "300", "600")),
        ("TemporalPositionIdentifier", (1, 2, 3)),
        ("NominalPercentageOfCardiacPhase", (40.0, 60.0, 75.0)),
        ("ConvolutionKernel", ("B30f", "B40f", "STANDARD")),
        ("KVP", ("80", "100", "140")),
        ("FilterType", ("A", "B", "C")),
        ("SliceThickness", ("0.9", "1.0", "1.25")),
    ],
)
def test_images_at_one_place_are_parted_by_what_differs(
    tmp_path: Path, field: str, values: Sequence[object]
) -> None:
    for number, value in enumerate(values):
        write_stack(tmp_path, 6, first=100 * number, **{field: value})
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 6)] * 3


def test_two_fields_together_part_what_one_cannot(tmp_path: Path) -> None:
    first = 0
    for phase in (1, 2):
        for kernel in ("B30f", "B70f"):
            write_stack(tmp_path, 6, first=first, AcquisitionNumber=phase, ConvolutionKernel=kernel)
            first += 100
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 6)] * 4


def test_two_ways_to_part_are_a_doubt(tmp_path: Path) -> None:
    # By acquisition: 0..5 and 0..5. By kernel: crosswise halves of both. Both give whole stacks.
    for k in range(12):
        place, copy = k % 6, k // 6
        write_slice(
            tmp_path / f"{k}", noise(12)[k], (0, 0, place), number=k,
            AcquisitionNumber=copy + 1, ConvolutionKernel="AB"[(copy + (place > 2)) % 2],
        )  # fmt: skip
    ((ok, count, codes),) = found(tmp_path)
    assert (ok, count) == (False, 12)
    assert "duplicate_slices" in codes


def test_of_two_ways_the_one_that_leaves_whole_stacks_is_taken(tmp_path: Path) -> None:
    # The thickness differs too, but parted by it, a slice of each stack lies in the other one.
    for k in range(16):
        place, copy = k % 8, k // 8
        odd = place == 3
        write_slice(
            tmp_path / f"{k}", noise(16)[k], (0, 0, place), number=k,
            AcquisitionNumber=copy + 1, FilterType="XY"[copy] if not odd else "Z",
        )  # fmt: skip
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 8), (True, 8)]


def test_interleaved_phases_do_not_pass_for_one_fine_stack(tmp_path: Path) -> None:
    write_stack(tmp_path, 8, 1.0, AcquisitionNumber=1)
    write_stack(tmp_path, 8, 1.0, start=0.5, first=100, AcquisitionNumber=2)
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 8), (True, 8)]
    assert {s.grid.spacing_zyx_mm[0] for s in usable(tmp_path) if s.grid} == {1.0}


def test_acquisitions_one_behind_the_other_are_one_volume(tmp_path: Path) -> None:
    write_stack(tmp_path, 6, AcquisitionNumber=1)
    write_stack(tmp_path, 6, start=6.0, first=100, AcquisitionNumber=2)
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 12)]


def test_a_time_of_each_slice_parts_nothing(tmp_path: Path) -> None:
    for k in range(6):
        write_stack(tmp_path, 1, start=k, first=k, AcquisitionTime=f"1015{k:02d}", SliceThickness=1)
    assert found(tmp_path) == [(True, 6, [])]


def test_phases_with_copies_of_themselves(tmp_path: Path) -> None:
    for phase in (1, 2):
        files = write_stack(tmp_path, 6, first=100 * phase, AcquisitionNumber=phase)
        for file in files:
            (tmp_path / f"copy {file.name}").write_bytes(file.read_bytes())
    assert found(tmp_path) == [(True, 6, ["identical_copies", "series_parted"])] * 2


@given(
    sizes=st.lists(st.integers(5, 9), min_size=1, max_size=4),
    step=st.sampled_from([0.5, 1.0, 1.25]),
    seed=st.integers(0, 99),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_phases_come_back_as_they_were_made(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], step: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("phases")
    made = []
    for phase, n in enumerate(sizes):
        files = write_stack(folder, n, step, first=100 * phase, AcquisitionNumber=phase + 1)
        made.append(frozenset(f.name for f in files))
    order = np.random.default_rng(seed).permutation(sum(sizes))
    for file, place in zip(sorted(folder.iterdir()), order, strict=True):
        file.rename(folder / f"{place:03d} {file.name}")  # names in no order
    groups = [frozenset(f.name.split()[-1] for f in s.files) for s in usable(folder)]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, made))


# ---------------------------------------------------------------- form, unit, frame


@pytest.mark.parametrize(
    "other",
    [
        {"PixelSpacing": ["0.5", "0.5"]},
        {"FrameOfReferenceUID": "1.2.3.99"},
        {"RescaleType": "US"},
    ],
)
def test_what_cannot_be_one_volume_is_two(tmp_path: Path, other: dict[str, object]) -> None:
    write_stack(tmp_path, 6, FrameOfReferenceUID="1.2.3.1", RescaleType="HU")
    tags = {"FrameOfReferenceUID": "1.2.3.1", "RescaleType": "HU"} | other
    write_stack(tmp_path, 7, start=6.0, first=100, **tags)
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 6), (True, 7)]


def test_images_that_name_no_frame_belong_to_the_one_there_is(tmp_path: Path) -> None:
    write_stack(tmp_path, 6, FrameOfReferenceUID="1.2.3.1")
    write_stack(tmp_path, 6, start=6.0, first=100)
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(True, 12)]


# ---------------------------------------------------------------- what is no slice


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        ("derived_image", {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}),
        ("derived_image", {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "MIP"]}),
        ("derived_image", {"ImageType": ["DERIVED", "PRIMARY", "VOLUME", "MAX_IP"]}),
        ("derived_image", {"ImageType": MPR, "SeriesDescription": "thin_MIP cor"}),
        ("derived_image", {"ImageType": MPR, "SeriesDescription": "MinIP 5mm"}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "SCOUT"]}),
        ("derived_image", {"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]}),
        ("secondary_capture", {"ImageType": ["DERIVED", "SECONDARY"],
                               "PhotometricInterpretation": "RGB"}),
        ("volume", {"SeriesDescription": "compare with MIP"}),  # an original says what it is
        ("volume", {"ImageType": MPR, "SeriesDescription": "SHRIMPTON"}),
        ("volume", {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}),
    ],
)  # fmt: skip
def test_kinds(tmp_path: Path, kind: str, tags: dict[str, object]) -> None:
    write_stack(tmp_path, 6, **tags)
    (series,) = scan(tmp_path).series
    assert series.kind == kind
    assert series.usable == (kind == "volume")


def test_thick_slabs_of_a_reformat_are_told(tmp_path: Path) -> None:
    for name, thickness in (("thin", "1.9"), ("slab", "2.0")):
        write_ct(
            tmp_path / name,
            series=f"1.2.{len(name)}{int(thickness == '2.0')}",
            ImageType=["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
            SliceThickness=thickness,
        )
    said = {
        s.acquisition.slice_thickness_mm: {f.code for f in s.findings} for s in usable(tmp_path)
    }
    assert "thick_slab" not in said[1.9]
    assert {"thick_slab", "reformatted"} <= said[2.0]


def test_a_page_without_a_place_goes_and_an_original_without_one_is_missed(tmp_path: Path) -> None:
    write_stack(tmp_path, 6)
    page = write_slice(
        tmp_path / "page", noise()[0], None, cosines=None, number=90,
        ImageType=["DERIVED", "SECONDARY", "OTHER"],
    )  # fmt: skip
    assert [(ok, n) for ok, n, _ in found(tmp_path)] == [(False, 1), (True, 6)]
    page.unlink()
    write_slice(tmp_path / "lost", noise()[0], None, cosines=None, number=91)
    ((ok, count, codes),) = found(tmp_path)
    assert (ok, count) == (False, 7)
    assert "no_position" in codes
