"""Every file of pydicom's test set, of pydicom-data and of the real data ends as the table says.

The table (``intake_table.csv``, made for reading) holds what a person judged right: the kind of
outcome and the codes. What is measured is not in it: sizes, places and HU are taken here from
pydicom, nibabel and SimpleITK, and each kind is checked against what pydicom sees in the file. A
file that no line of the table speaks of fails, and so does a line that speaks of no file.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import data_store
import nibabel as nib
import nrrd
import numpy as np
import pydicom.data
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.misc import is_dicom
from pydicom.pixels import apply_modality_lut

from hoimg.dicom import Inventory, load_radiograph, load_volume, read_patient, scan
from hoimg.dicom.header import quiet_pydicom, read_header
from hoimg.dicom.pixels import read_stack
from hoimg.dicom.types import SliceSource, Stack
from hoimg.errors import InputRefused

TABLE = Path(__file__).with_name("intake_table.csv")
INSTALLED = {
    "pydicom": Path(pydicom.data.__file__).parent,
    "pydicom-data": Path(data_store.__file__).parent / "data",
}
SETS = ("pydicom", "pydicom-data", "shared")
FILMS = ("CR", "DX", "RG")


class Row(NamedTuple):
    """A line of the table."""

    set: str
    file: str
    outcome: str
    codes: str
    why: str


def rows() -> list[Row]:
    with TABLE.open(newline="") as stream:
        lines = [line for line in stream if not line.startswith("#")]
    return [Row(*line) for line in csv.reader(lines[1:])]


def folder_of(name: str, real_data: Path) -> Path:
    return INSTALLED.get(name, real_data)


def table_of(name: str, root: Path) -> dict[Path, Row]:
    """Every file of a set with its line."""
    own = [row for row in rows() if row.set == name]
    found: dict[Path, Row] = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        where = file.relative_to(root).as_posix()
        row = next((r for r in own if fnmatchcase(where, r.file)), None)
        assert row is not None, f"no line of the table speaks of {name} {where}"
        found[file] = row
    stale = set(own) - set(found.values()) - {r for r in own if r.outcome == "excluded"}
    assert not stale, f"lines without a file: {stale}"
    return {file: row for file, row in found.items() if row.outcome != "excluded"}


def outcome_of(inventory: Inventory) -> str:
    """One word for what a scan of one file gave."""
    kinds = {s.kind for s in inventory.series}
    if inventory.unreadable:
        return "damaged"
    if not kinds:
        return "no_dicom" if inventory.files_skipped else "disc"
    if len(inventory.series) > 1:
        return "disc"
    [series] = inventory.series
    if series.kind == "radiograph":
        return "film" if all(f.usable for f in series.films) else "film_refused"
    if series.kind == "volume" and not series.usable:
        return "ct_slice"
    return series.kind


def codes_of(inventory: Inventory) -> list[str]:
    found = [f.code for f in inventory.findings]
    found += [f.code for s in inventory.series for f in s.findings]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("name", SETS)
def test_every_file_ends_as_the_table_says(name: str, real_data: Path) -> None:
    root = folder_of(name, real_data)
    slices: dict[tuple[int, int], list[Path]] = defaultdict(list)
    wrong = []
    for file, row in table_of(name, root).items():
        inventory = scan(file)
        got, codes = outcome_of(inventory), codes_of(inventory)
        wanted = row.codes.split()
        if got != row.outcome or (wanted != ["*"] and codes != wanted):
            wrong.append(f"{file.relative_to(root)}: {got} {codes}, not {row.outcome} {wanted}")
            continue
        if row.outcome == "ct_slice":
            header = dcmread(file, stop_before_pixels=True, force=True)
            slices[header.Rows, header.Columns].append(file)
        try:
            check_kind(file, row.outcome, inventory)
        except (AssertionError, AttributeError) as error:
            wrong.append(f"{file.relative_to(root)}: no {row.outcome}: {error}")
    assert not wrong, "\n".join(wrong)
    for files in slices.values():
        check_slices(files)


def check_kind(file: Path, outcome: str, inventory: Inventory) -> None:
    """What pydicom (nibabel, pynrrd) says of the file has to go with the outcome."""
    if outcome in ("label_map", "volume"):
        check_volume_file(file, outcome, inventory)
        return
    if outcome == "no_dicom":
        assert not is_dicom(file)
        return
    with quiet_pydicom():
        # pydicom gives nothing at all of a file whose pixels are cut off.
        ds = dcmread(file, force=True) or dcmread(file, force=True, stop_before_pixels=True)
        if outcome == "disc":
            check_disc(file, ds, inventory)
        elif outcome == "damaged":
            assert "Rows" not in ds
        elif outcome == "object":
            pixels = "PixelData" in ds and ds.Modality not in ("SEG", "RTDOSE")
            assert not pixels
        elif outcome == "secondary_capture":
            assert ds.SOPClassUID.startswith("1.2.840.10008.5.1.4.1.1.7")
        elif outcome == "other_image":
            assert ds.Modality in ("MR", "US")
        elif outcome == "localizer":
            assert "LOCALIZER" in ds.ImageType
        elif outcome == "derived_image":
            assert {"MIP", "MPR", "VOLUME", "DERIVED"} & set(ds.ImageType)
        elif outcome == "ct_slice":
            assert (ds.Modality, ds.SamplesPerPixel, "PixelData" in ds) == ("CT", 1, True)
            assert "LOCALIZER" not in ds.ImageType
        else:
            check_film(ds, outcome, inventory)


def check_disc(file: Path, ds: Dataset, inventory: Inventory) -> None:
    """As many files as the DICOMDIR names and the disc holds."""
    named = [r.ReferencedFileID for r in ds.get("DirectoryRecordSequence", ())
             if r.get("ReferencedFileID")]  # fmt: skip
    parts: Iterable[Any] = ([n] if isinstance(n, str) else n for n in named)
    there = {p for p in (file.parent.joinpath(*n) for n in parts) if p.is_file()}
    assert inventory.files_seen - 1 == len(there)
    assert sum(len(s.files) for s in inventory.series) == len(there)


def check_film(ds: Dataset, outcome: str, inventory: Inventory) -> None:
    [series] = inventory.series
    [film] = series.films
    assert ds.Modality in FILMS
    assert (film.rows, film.columns) == (ds.Rows, ds.Columns)
    stated = ds.get("PixelSpacing") or ds.get("ImagerPixelSpacing")
    if film.spacing_yx_mm is None:
        assert not stated or float(stated[0]) in (0.0, 1.0)
    else:
        assert film.spacing_yx_mm == tuple(map(float, stated))
    if outcome == "film_refused":
        assert len(ds.get("PixelData", b"")) < ds.Rows * ds.Columns * ds.BitsAllocated // 8
        with pytest.raises(InputRefused):
            load_radiograph(film)
        return
    pixels = load_radiograph(film).pixels
    expected = apply_modality_lut(ds.pixel_array, ds).astype(np.float64)
    # As stored, or mirrored about the middle of the values that the bits can hold.
    if film.mirrored:
        assert np.ptp(pixels + expected) < 0.001  # float32
    else:
        np.testing.assert_array_equal(pixels, expected)


def check_volume_file(file: Path, outcome: str, inventory: Inventory) -> None:
    [series] = inventory.series
    if file.suffix == ".nrrd":
        values = nrrd.read(str(file))[0]
    else:
        image: Any = nib.load(file)
        values = np.asarray(image.dataobj)
    if outcome == "label_map":
        assert values.min() >= 0
        assert np.array_equal(values, np.rint(values))
        return
    assert series.grid is not None
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    np.testing.assert_allclose(series.grid.spacing_zyx_mm, spacing[::-1], rtol=1e-6)
    assert series.grid.size_zyx == values.shape[::-1]
    volume = load_volume(read_patient(file).exams[0])
    # A voxel of HU stands for its place: RAS of the first voxel through nibabel, LPS here.
    for index in ((0, 0, 0), (3, 5, 1), tuple(n - 1 for n in values.shape)):
        x, y, z = (image.affine @ [*index, 1])[:3] * (-1, -1, 1)
        zyx = np.rint(volume.grid.to_index_zyx([(x, y, z)])[0]).astype(int)
        assert volume.hu[tuple(zyx)] == pytest.approx(values[index])
    assert float(volume.hu.sum(dtype=np.float64)) == pytest.approx(float(values.sum(dtype=float)))


def check_slices(files: list[Path]) -> None:
    """HU of CT slices of one size, against SimpleITK."""
    sources, kept = [], []
    for file in files:
        with quiet_pydicom():
            header = read_header(file)
        assert header is not None
        assert header.stored is not None
        slope, intercept = header.slope, header.intercept
        assert slope is not None
        assert intercept is not None
        sources.append(SliceSource(file, 0, slope, intercept, header.stored))
        kept.append((file, header))
    count = len(sources)
    stack = Stack(tuple(sources), tuple(map(float, range(count))), ((0.0, 0.0),) * count)
    hu, _ = read_stack(stack)
    for (file, header), values in zip(kept, hu, strict=True):
        with quiet_pydicom():
            ds = dcmread(file, stop_before_pixels=True)
        assert header.position_lps_mm == pytest.approx(ds.get("ImagePositionPatient"))
        assert header.orientation == pytest.approx(ds.get("ImageOrientationPatient"))
        if "PixelSpacing" in ds:
            assert header.spacing_yx_mm == pytest.approx(ds.PixelSpacing)
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
        np.testing.assert_allclose(values, theirs, atol=1e-3, err_msg=file.name)


# Folder: images of the series that is read, its codes; or the code that refuses the folder.
FOLDERS: dict[str, tuple[int, str] | str] = {
    "shared plastic_skull/ct_1mm_standard": (62, ""),
    "shared plastic_skull/ct_1mm_bone_kernel": (62, "sharp_kernel"),
    "shared plastic_skull/ct_5mm_standard": (12, "thick_slices"),
    "shared plastic_skull/ct_2p5mm_tilted": (54, "gantry_tilt thick_slices thickness_not_spacing"),
    "shared plastic_skull/localizer": "localizer",
    "shared plastic_skull/exam_summary": "secondary_capture",
    "shared qrm_phantom": (47, "thick_slices reformatted"),
    "shared totalsegmentator/example_ct_dicom": (
        20, "thick_slices thickness_not_spacing missing_uids contrast_given"),
    "shared ct_with_seg": "too_few_slices",
    "shared geometry_failures/failing/gantrytilting": "too_few_slices",
    "shared geometry_failures/failing/notavolume": "not_a_volume",
    "shared geometry_failures/failing/slicecount": "modality_not_supported",
    "shared geometry_failures/failing/sliceincrement/001": "missing_slices",
    "shared geometry_failures/failing/sliceincrement/002": "missing_slices",
    "shared geometry_failures/failing/sliceorientation": "modality_not_supported",
    "pydicom test_files/dicomdirtests/98892001": (5, "thick_slices"),
    "pydicom test_files/dicomdirtests/98892003": "modality_not_supported",
    "pydicom test_files/dicomdirtests/TINY_ALPHA": "truncated_files",
}  # fmt: skip


def test_films_stand_where_the_ct_beside_them_is_refused(real_data: Path) -> None:
    folder = folder_of("pydicom", real_data) / "test_files/dicomdirtests/77654033"
    patient = read_patient(folder)
    assert [e.modality for e in patient.exams] == ["CR"] * 3
    assert any("missing_slices" in f.message for f in patient.findings)


@pytest.mark.parametrize("case", FOLDERS)
def test_every_folder_ends_as_the_table_says(case: str, real_data: Path) -> None:
    name, where = case.split(" ")
    folder, wanted = folder_of(name, real_data) / where, FOLDERS[case]
    if isinstance(wanted, str):
        with pytest.raises(InputRefused) as caught:
            read_patient(folder)
        assert caught.value.code == wanted
        return
    [exam] = read_patient(folder).exams
    images, codes = wanted
    assert [f.code for f in exam.findings] == codes.split()
    files = exam.series.files
    assert len(files) == images
    headers = [dcmread(f) for f in files]
    first = headers[0]
    row, column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    along = np.array([ds.ImagePositionPatient for ds in headers]) @ np.cross(row, column)
    volume = load_volume(exam)
    spacing = (np.diff(along).mean(), *map(float, first.PixelSpacing))
    assert volume.grid.spacing_zyx_mm == pytest.approx(spacing)
    assert volume.grid.size_zyx[::2] == (images, first.Columns)
    if "gantry_tilt" in codes:
        return  # resampled; measured against the straight series elsewhere
    assert volume.grid.origin_lps_mm == pytest.approx(first.ImagePositionPatient)
    np.testing.assert_allclose(np.array(volume.grid.direction)[:, 0], row, atol=1e-6)
    for k in (0, images // 2, images - 1):
        stored = headers[k].pixel_array.astype(float)
        hu = stored * float(headers[k].RescaleSlope) + float(headers[k].RescaleIntercept)
        np.testing.assert_array_equal(volume.hu[k], hu)
