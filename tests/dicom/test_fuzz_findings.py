"""What the fuzzer has found (``fuzz/``), each as small as it gets, so that it stays mended."""

from __future__ import annotations

import gzip
import struct
import subprocess
import threading
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from mask_writers import make_grid, save, segmentation, structure_set
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian
from synthetic_ct import noise, write_ct

from hoimg.dicom import check_volume, header, load_volume, read_patient, scan
from hoimg.dicom.elements import DamagedFile
from hoimg.dicom.header import read_header
from hoimg.dicom.masks import put_on, read_given
from hoimg.dicom.masks.image_header import OddHeader, check_image_header
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.image import CTVolume

GRID = make_grid((6, 16, 14), (2.0, 0.9, 1.1), (5.0, -10.0, 40.0))


def box() -> np.ndarray:
    mask = np.zeros(GRID.size_zyx, bool)
    mask[1:4, 3:9, 2:8] = True
    return mask


def test_a_zip_member_without_a_name(tmp_path: Path) -> None:
    files = write_ct(tmp_path / "ct", noise(5))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for k, file in enumerate(files):
            info = zipfile.ZipInfo("x")
            info.filename = "" if k == 0 else f"IM{k}"
            archive.writestr(info, file.read_bytes())
    [series] = scan(tmp_path / "a.zip").series
    assert len(series.files) == 5


@pytest.mark.parametrize(
    ("keyword", "raw"),
    [
        ("SharedFunctionalGroupsSequence", b"\xfe\xff\x00\xe0\x08\x00"),
        ("PerFrameFunctionalGroupsSequence", b"\xfe\xff"),
        ("SegmentSequence", b"\xfe\xff\x00\xe0\x08\x00\x00\x00garbage!"),
        ("Rows", b""),
    ],
)
def test_a_segmentation_with_damaged_values(tmp_path: Path, keyword: str, raw: bytes) -> None:
    ds = segmentation(GRID, [box()])
    path = save(ds, tmp_path / "a.dcm")
    ds = dcmread(path)
    tag = Tag(keyword)
    vr = "US" if keyword == "Rows" else "SQ"
    ds._dict[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    ds.save_as(path)
    with pytest.raises(InputRefused) as caught:
        read_given(path, "mask")
    assert caught.value.code == "mask_unreadable"
    assert str(path) in str(caught.value)


def test_a_structure_set_with_damaged_values(tmp_path: Path) -> None:
    ds = structure_set([{"name": "a", "contours": [np.eye(3)]}])
    tag = Tag("ROIContourSequence")
    path = save(ds, tmp_path / "a.dcm")
    ds = dcmread(path)
    ds._dict[tag] = RawDataElement(tag, "SQ", 2, b"\xfe\xff", 0, False, True)
    ds.save_as(path)
    with pytest.raises(InputRefused) as caught:
        read_given(path, "mask")
    assert caught.value.code == "mask_unreadable"


def label_map(path: Path) -> bytes:
    image = sitk.GetImageFromArray(box().astype(np.uint8))
    sitk.WriteImage(image, str(path))
    return path.read_bytes()


NRRD = {  # ITK ends the process at some, and opens any file of the machine at others
    "dimension: " + "a/" * 1000: "absurdly long",
    "data file: ../secret": "outside",
    "data file: /etc/passwd": "outside",
    "datafile: LIST": "several",
    "data file: link": "link out",
    "sizes: 14 16 6": "twice",
    "words": "no field",
    "a\0b: 1": "control characters",
    "a:=" + "b" * 70_000: "long header",
    "space: a\nspace : b": "twice",
}


@pytest.mark.parametrize("line", NRRD)
def test_nrrd_headers_are_looked_at_before_itk(tmp_path: Path, line: str) -> None:
    path = tmp_path / "in" / "m.nrrd"
    path.parent.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (path.parent / "link").symlink_to(tmp_path / "secret")
    first, rest = label_map(path).split(b"\n", 1)
    assert read_given(path, "mask").regions
    path.write_bytes(first + b"\n" + line.encode() + b"\n" + rest)
    with pytest.raises(InputRefused, match=NRRD[line]) as caught:
        read_given(path, "mask")
    assert caught.value.code == "mask_unreadable"


META = {
    ("ElementDataFile = LOCAL", "ElementDataFile = ../secret"): "outside",
    ("ElementDataFile = LOCAL", "ElementDataFile = LIST"): "several",
    ("ElementDataFile = LOCAL", ""): "in its header",
    ("ElementDataFile = LOCAL", "MyElementDataFile = LOCAL"): "names no data",
    ("DimSize = 14 16 6", "DimSize = 14 16"): "contradicts",
    ("DimSize = 14 16 6", "DimSize = 70000 70000 70000"): "more than can be read",
    ("DimSize = 14 16 6", "DimSize = 14 16 -6"): "no sensible size",
    ("DimSize = 14 16 6", "DimSize = 14 16 many"): "words",
    ("Offset = 0 0 0", "Offset = nan 0 0"): "numbers",
    ("NDims = 3", "NDims = 3\nNDims = 3"): "twice",
    ("NDims = 3", "NDims = 3\n" + "a" * 2000 + " = 1"): "absurdly long",
    ("NDims = 3", "NDims = 3\nwords"): "no field",
}


@pytest.mark.parametrize("change", META)
def test_metaimage_headers_are_looked_at_before_itk(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    path = tmp_path / "m.mha"
    good = label_map(path)
    assert read_given(path, "mask").regions
    old, new = (text.encode() for text in change)
    assert old in good
    path.write_bytes(good.replace(old, new, 1))
    with pytest.raises(InputRefused, match=META[change]):
        read_given(path, "mask")


def test_other_files_pass_or_are_named(tmp_path: Path) -> None:
    odd = tmp_path / "m.nrrd"
    odd.write_bytes(b"no NRRD")
    with pytest.raises(OddHeader, match="does not begin"):
        check_image_header(odd, 10**6)
    check_image_header(odd.rename(tmp_path / "m.nii"), 10**6)
    with pytest.raises(InputRefused, match="mask"):
        read_given(tmp_path / "m.nii", "mask")


def nifti(path: Path, field: int, kind: str, value: float) -> Path:
    """A NIfTI scan with one number of its header changed."""
    image = nib.Nifti1Image(np.full((6, 7, 8), -1000, np.int16), np.eye(4))
    image.header.set_xyzt_units("mm")
    content = bytearray(image.to_bytes())
    struct.pack_into(kind, content, field, value)
    path.write_bytes(content)
    return path


def test_a_nifti_whose_voxels_begin_at_infinity(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", 108, "<f", float("inf"))
    with pytest.raises(InputRefused) as caught:
        read_patient(path)
    # It is not cut off, and the message does not say so.
    assert caught.value.code == "volume_file_unreadable"
    assert "truncated" not in str(caught.value)
    with pytest.raises(InputRefused):
        read_given(path, "mask")


def test_a_nifti_with_a_slope_beyond_whole_numbers(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", 112, "<f", 1e30)
    [series] = scan(path).series
    assert not series.usable


def test_what_a_header_says_is_quoted_without_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "m.nrrd"
    first, rest = label_map(path).split(b"\n", 1)
    path.write_bytes(first + b"\n" + rest.replace(b"type: unsigned char", b"type: a\0b\x1b[31m"))
    [series] = scan(path).series
    assert series.findings[0].code == "volume_file_unreadable"
    assert all(f.message.isprintable() for f in series.findings)


def deflated(folder: Path, extra: bytes) -> list[Path]:
    """Slices whose deflated data set begins with some bytes that our own walk gives up at."""
    files = write_ct(folder, noise(5))
    for file in files:
        ds = dcmread(file)
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(file, enforce_file_format=True)
        content = file.read_bytes()
        start = 144 + struct.unpack_from("<L", content, 140)[0]
        packer = zlib.compressobj(wbits=-15)
        plain = extra + zlib.decompress(content[start:], -15)
        file.write_bytes(content[:start] + packer.compress(plain) + packer.flush())
    return files


def test_an_irregular_deflated_header_is_inflated_in_part(tmp_path: Path, monkeypatch) -> None:
    limits = []
    inflate = header.inflate

    def counted(stream, place, limit):
        limits.append(limit)
        return inflate(stream, place, limit)

    monkeypatch.setattr(header, "inflate", counted)
    # An empty element of a VR that does not exist.
    files = deflated(tmp_path, struct.pack("<HH2sH", 0x0008, 0x0001, b"ZZ", 0))
    with quiet_pydicom():
        found = read_header(files[0])
    assert found is not None
    assert (found.rows, found.columns, found.modality) == (10, 12, "CT")
    assert max(limits) == header.MAX_HEADER


def test_zeros_that_inflate_without_end_are_no_header(tmp_path: Path, monkeypatch) -> None:
    # Ninety megabytes of empty elements took pydicom a quarter of a minute.
    monkeypatch.setattr(header, "MAX_HEADER", 2**16)
    [file, *_] = deflated(tmp_path, bytes(2**20))
    with quiet_pydicom(), pytest.raises(DamagedFile):
        read_header(file)


def test_a_gzipped_label_map_of_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "m.nii.gz"
    content = bytearray(nifti(tmp_path / "a.nii", 112, "<f", 1.0).read_bytes())
    struct.pack_into("<4h", content, 40, 3, 32767, 32767, 32767)
    path.write_bytes(gzip.compress(bytes(content) + bytes(2**20), 1))
    with pytest.raises(InputRefused):
        read_given(path, "mask")
    with pytest.raises(InputRefused):
        load_volume(read_patient(path).exams[0])


@pytest.mark.parametrize("use", ["roi", "mask", "skeleton"])
def test_voxels_of_astronomic_size_are_no_empty_mask(tmp_path: Path, use: str) -> None:
    content = bytearray(nib.Nifti1Image(np.ones((6, 7, 8), np.uint8), np.eye(4)).to_bytes())
    for field in (80, 280):  # the first voxel size, and the same in the sform
        struct.pack_into("<f", content, field, 1e38)
    path = tmp_path / "m.nii"
    path.write_bytes(content)
    grid = make_grid((6, 7, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(InputRefused) as caught:
        put_on(read_given(path, use), grid, use)
    assert caught.value.code.startswith("mask_")


def test_a_volume_denser_than_any_tissue_can_be_checked() -> None:
    hu = np.full((6, 20, 20), 30_000, np.int16)
    hu[0, 0, 0] = 29_000
    assert check_volume(CTVolume.from_array(hu, (1.0, 1.0, 1.0)))


def test_the_fuzzers_watch_survives_threads_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ended between listing and reading once ended the whole run."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "fuzz"))
    import fuzz_watch

    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            one = threading.Thread(target=int)
            one.start()
            one.join()

    comers = [threading.Thread(target=come_and_go) for _ in range(4)]
    child = subprocess.Popen(["sleep", "60"])
    try:
        for comer in comers:
            comer.start()
        seen = [fuzz_watch._children() for _ in range(1000)]
    finally:
        over.set()
        child.kill()
        child.wait()
    assert all(child.pid in one for one in seen)
