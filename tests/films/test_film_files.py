"""Regions on films from files, as other programs write them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from film_objects import (
    COLUMNS,
    ROWS,
    film_dataset,
    write_gsps,
    write_scoord,
    write_seg,
    write_tid1500,
)
from PIL import Image
from pydicom import Dataset
from skimage.draw import polygon2mask

from hoimg.dicom import Exam, read_patient
from hoimg.dicom.masks.film_files import is_film_file, read_film_regions
from hoimg.errors import InputRefused, UsageError
from hoimg.film_regions import PlacedRegion, place_regions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom and pydicom
UID = "1.2.826.0.1.3680043.8.498.123"
SQUARE = np.array([[20.0, 30.0], [60.0, 30.0], [60.0, 70.0], [20.0, 70.0], [20.0, 30.0]])


@pytest.fixture
def film(tmp_path: Path) -> Dataset:
    return film_dataset(tmp_path / "in" / "a", sop="1.2.3.1")


@pytest.fixture
def exams(film: Dataset, tmp_path: Path) -> tuple[Exam, ...]:
    film_dataset(tmp_path / "in" / "b", sop="1.2.3.2", day="20240301")
    return read_patient(tmp_path / "in").exams


def regions_in(path: Path, exams: tuple[Exam, ...], film: str | None = None) -> list[PlacedRegion]:
    """The regions of a file, which must lie on the first film alone."""
    assert is_film_file(path)
    found = place_regions(read_film_regions(path, film), exams)
    assert list(found) == [exams[0].exam_id]
    return found[exams[0].exam_id]


def square() -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[30:70, 20:60] = True
    return mask


def test_a_label_image_as_png(exams: tuple[Exam, ...], tmp_path: Path) -> None:
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[30:70, 20:60], labels[5:9, 100:110] = 2, 7
    Image.fromarray(labels).save(tmp_path / "l.png")
    found = regions_in(tmp_path / "l.png", exams, exams[0].exam_id)
    assert [(r.label, r.ties) for r in found] == [(2, "label:2"), (7, "label:7")]
    assert np.array_equal(found[0].region_yx, square())
    with pytest.raises(UsageError, match="name one"):
        place_regions(read_film_regions(tmp_path / "l.png"), exams)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_label_image_as_nifti(exams: tuple[Exam, ...], tmp_path: Path, dimensions: int) -> None:
    array = square().T.astype(np.uint8) * 4  # NIfTI: columns, then rows
    array = array if dimensions == 2 else array[..., None]
    nib.save(nib.Nifti1Image(array, np.diag([0.2, 0.2, 1.0, 1.0])), tmp_path / "l.nii.gz")
    [found] = regions_in(tmp_path / "l.nii.gz", exams, exams[0].exam_id)
    assert found.label == 4
    assert np.array_equal(found.region_yx, square())


def test_a_volume_is_no_label_image_of_a_film(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((6, 5, 3), np.uint8), np.eye(4)), tmp_path / "v.nii.gz")
    with pytest.raises(InputRefused, match="one-slice") as caught:
        read_film_regions(tmp_path / "v.nii.gz", "1.2.3.1")
    assert caught.value.code == "mask_unreadable"


@pytest.mark.parametrize(("columns", "fits"), [(16384, True), (16385, False)])
def test_a_label_image_may_be_as_long_as_a_film(tmp_path: Path, columns: int, fits: bool) -> None:
    nib.save(nib.Nifti1Image(np.ones((columns, 2, 1), np.uint8), np.eye(4)), tmp_path / "l.nii.gz")
    with contextlib.nullcontext() if fits else pytest.raises(InputRefused):
        [found] = read_film_regions(tmp_path / "l.nii.gz")
        assert found.mask_yx is not None
        assert found.mask_yx.shape == (2, columns)


def test_a_label_image_of_another_size_or_turned(exams: tuple[Exam, ...], tmp_path: Path) -> None:
    for shape, said in (((COLUMNS, ROWS), "exchanged"), ((50, 50), "own pixels")):
        Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / "l.png")
        with pytest.raises(InputRefused, match=said) as caught:
            regions_in(tmp_path / "l.png", exams, exams[0].exam_id)
        assert caught.value.code == "region_other_size"


def test_pictures_that_are_no_label_image(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((ROWS, COLUMNS, 3), np.uint8)).save(tmp_path / "colour.png")
    Image.fromarray(np.zeros((ROWS, COLUMNS), np.uint8)).save(tmp_path / "empty.png")
    many = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(np.uint16)
    Image.fromarray(many).save(tmp_path / "film.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    wanted = {
        "colour": "mask_not_labels",
        "empty": "region_empty",
        "film": "mask_not_labels",
        "broken": "mask_unreadable",
    }
    for name, code in wanted.items():
        with pytest.raises(InputRefused) as caught:
            read_film_regions(tmp_path / f"{name}.png")
        assert caught.value.code == code


def test_a_segmentation_names_its_film(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    other = np.roll(square(), 5, axis=1)  # segments may overlap
    path = write_seg(tmp_path / "s.dcm", film, [square(), other], [UID, None])
    found = regions_in(path, exams)
    assert [(r.label, r.ties) for r in found] == [(1, f"uid:{UID}"), (2, None)]
    assert np.array_equal(found[0].region_yx, square())
    assert np.array_equal(found[1].region_yx, other)


def test_segments_are_one_region_by_their_tracking_uid_and_never_by_their_number(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    first, second, third = (np.roll(square(), 45 * k, axis=1) for k in range(3))
    paths = [
        write_seg(tmp_path / "a.dcm", film, [first], [UID]),
        write_seg(tmp_path / "b.dcm", film, [second, third], [UID + "1", UID]),
        write_seg(tmp_path / "c.dcm", film, [second], [None]),
        write_seg(tmp_path / "d.dcm", film, [second], [None]),
    ]
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[5:9, 100:110] = 1
    Image.fromarray(labels).save(tmp_path / "l.png")
    given = [r for p in paths for r in read_film_regions(p)]
    given += read_film_regions(tmp_path / "l.png", exams[0].exam_id)
    [found] = place_regions(given, exams).values()
    assert [(r.label, r.ties) for r in found] == [
        (1, "label:1"),
        (2, f"uid:{UID}"),
        (3, f"uid:{UID}1"),
        (4, None),
        (5, None),
    ]
    assert found[0].region_yx.sum() == 40
    assert np.array_equal(found[1].region_yx, first | third)
    assert all(np.array_equal(r.region_yx, second) for r in found[2:])


def test_what_is_not_for_a_film(tmp_path: Path, real_data: Path) -> None:
    assert not is_film_file(real_data / "dicom_objects" / "seg_image_ct_binary.dcm")
    assert not is_film_file(tmp_path)
    (tmp_path / "text").write_text("box")
    assert not is_film_file(tmp_path / "text")
    nib.save(nib.Nifti1Image(np.ones((4, 5, 2), np.uint8), np.eye(4)), tmp_path / "v.nii.gz")
    assert not is_film_file(tmp_path / "v.nii.gz")


def test_a_measurement_report_names_film_and_lesion(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    path = write_tid1500(tmp_path / "sr.dcm", film, SQUARE, "POLYLINE", UID)
    [found] = regions_in(path, exams)
    assert np.array_equal(found.region_yx, square())
    assert found.ties == f"uid:{UID}"


@pytest.mark.parametrize(
    ("kind", "numbers", "area"),
    [
        ("CIRCLE", (80, 60, 80, 40), np.pi * 20**2),
        ("ELLIPSE", (50, 60, 110, 60, 80, 45, 80, 75), np.pi * 30 * 15),
        # turned by 45 degrees
        ("ELLIPSE", (60, 40, 100, 80, 90, 50, 70, 70), np.pi * 28.28 * 14.14),
    ],
)
def test_round_regions(
    film: Dataset,
    exams: tuple[Exam, ...],
    tmp_path: Path,
    kind: str,
    numbers: tuple[float, ...],
    area: float,
) -> None:
    [found] = regions_in(write_scoord(tmp_path / "sr", [film], [(kind, numbers)]), exams)
    assert found.region_yx.sum() == pytest.approx(area, rel=0.01)
    ys, xs = np.nonzero(found.region_yx)
    assert (xs.mean() + 0.5, ys.mean() + 0.5) == pytest.approx((80, 60), abs=0.1)


def test_a_region_takes_the_tracking_uid_of_its_nearest_group(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    circle = ("CIRCLE", (80, 60, 80, 40))
    path = write_scoord(tmp_path / "sr", [film], [circle], uids=[UID, UID + "7"])
    [found] = regions_in(path, exams)
    assert found.ties == f"uid:{UID}7"


def test_a_region_lies_on_the_frame_that_it_names(tmp_path: Path) -> None:
    stored = np.full((2, ROWS, COLUMNS), 1000, np.uint16)
    film = film_dataset(tmp_path / "in" / "a", stored, sop="1.2.3.1")
    exams = read_patient(tmp_path / "in").exams
    for number in (1, 2):
        circle = ("CIRCLE", (80, 60, 80, 40))
        path = write_scoord(tmp_path / f"sr{number}", [film], [circle], frame=number)
        [exam_id] = place_regions(read_film_regions(path), exams)
        [on] = [e.film for e in exams if e.exam_id == exam_id]
        assert on is not None
        assert on.frame == number - 1


def test_points_and_open_lines_enclose_nothing(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    shapes = [
        ("POINT", (5, 5)),
        ("POLYLINE", (0, 0, 50, 50)),
        ("POLYLINE", (0, 0, 50, 0, 50, 50)),
        ("POLYLINE", SQUARE.ravel().tolist()),
    ]
    path = write_scoord(tmp_path / "sr", [film] * 4, shapes)
    [found] = regions_in(path, exams)
    assert np.array_equal(found.region_yx, square())
    with pytest.raises(InputRefused) as caught:
        read_film_regions(write_scoord(tmp_path / "sr2", [film] * 3, shapes[:3]))
    assert caught.value.code == "region_empty"


def test_an_object_of_another_film_is_refused(exams: tuple[Exam, ...], tmp_path: Path) -> None:
    stranger = film_dataset(tmp_path / "x", sop="1.2.3.9")
    path = write_scoord(tmp_path / "sr", [stranger], [("CIRCLE", (80, 60, 80, 40))])
    with pytest.raises(InputRefused) as caught:
        place_regions(read_film_regions(path), exams)
    assert caught.value.code == "region_other_film"


def test_closed_graphics_of_a_presentation_state(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    points = SQUARE.ravel().tolist()
    shapes = [("POLYLINE", points), ("POLYLINE", (0, 0, 9, 9)), ("CIRCLE", (100, 60, 100, 50))]
    for named in (True, False):
        path = write_gsps(tmp_path / f"p{named}", film, shapes, layer_names_film=named)
        first, second = regions_in(path, exams)
        assert np.array_equal(first.region_yx, square())
        assert second.region_yx.sum() == pytest.approx(np.pi * 100, rel=0.02)
        assert (first.label, second.label, first.ties) == (1, 2, None)


def test_graphics_in_shares_of_the_display(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    shares = (SQUARE / (COLUMNS, ROWS)).ravel().tolist()
    [found] = regions_in(
        write_gsps(tmp_path / "p", film, [("POLYLINE", shares)], units="DISPLAY"), exams
    )
    wanted = polygon2mask((ROWS, COLUMNS), SQUARE[:, ::-1] - 0.5)
    assert (found.region_yx ^ wanted).sum() <= 160  # the border's pixels at most
    assert found.region_yx[40:60, 30:50].all()
    turned = write_gsps(
        tmp_path / "q", film, [("POLYLINE", shares)], units="DISPLAY", ImageRotation=90
    )
    with pytest.raises(InputRefused) as caught:
        read_film_regions(turned)
    assert caught.value.code == "region_empty"


def test_shares_of_the_display_are_those_of_the_area_shown(
    film: Dataset, exams: tuple[Exam, ...], tmp_path: Path
) -> None:
    area = Dataset()
    # Columns 16 to 143 and rows 32 to 95, counted from 0: 128 by 64 pixels.
    area.DisplayedAreaTopLeftHandCorner = [17, 33]
    area.DisplayedAreaBottomRightHandCorner = [144, 96]
    shares = [0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75, 0.25, 0.25]
    path = write_gsps(
        tmp_path / "p",
        film,
        [("POLYLINE", shares)],
        units="DISPLAY",
        DisplayedAreaSelectionSequence=[area],
    )
    [found] = regions_in(path, exams)
    ys, xs = np.nonzero(found.region_yx)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (48, 112, 48, 80)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_objects_that_are_cut_off(film: Dataset, tmp_path: Path, keep: float) -> None:
    for path in (
        write_seg(tmp_path / "s", film, [square()], [UID]),
        write_tid1500(tmp_path / "t", film, SQUARE, "POLYLINE", UID),
        write_gsps(tmp_path / "p", film, [("POLYLINE", SQUARE.ravel().tolist())]),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])
        # Pixels at the end may be whole; what is damaged is refused by a typed error only.
        with contextlib.suppress(InputRefused):
            assert read_film_regions(path)
