"""Small files that the intake reads well, to be broken: every syntax, container and kind of mask.

Written by the writers of the tests, and, where they are small, taken from pydicom's own test files.
The same seeds come out in every process (but for the dates that writers put in), so that a mutant
can be made again from its number.
"""

from __future__ import annotations

import io
import itertools
import random
import sys
import uuid
import zipfile
from base64 import b85decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "dicom"))

MAX_REAL = 16_000
"""Bytes of a real file that is taken; larger ones cost time without showing more code."""
CODECS = {
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
    "jpeg": "1.2.840.10008.1.2.4.70",
    "htj2k": "1.2.840.10008.1.2.4.201",
    "plain": "1.2.840.10008.1.2.1.98",
}


@dataclass(frozen=True)
class Seed:
    """A good input.

    Attributes:
        name: For the report.
        lane: What is done with it: ``scan``, ``codec`` or ``mask``.
        files: Relative name to content.
        named: The files that are named to the scan; empty for their folder.
    """

    name: str
    lane: str
    files: dict[str, bytes]
    named: tuple[str, ...] = ()


def build(folder: Path) -> list[Seed]:
    """All seeds.

    Args:
        folder: An empty folder to write in.
    """
    with _repeatable():
        makers = (_classic, _codecs, _enhanced, _films, _volume_files, _masks, _archives, _real)
        return [seed for make in makers for seed in make(folder / make.__name__)]


@contextmanager
def _repeatable() -> Iterator[None]:
    """UIDs come from a counter."""
    import mask_writers

    count, source = itertools.count(1), random.Random(1)

    def uid() -> str:
        return f"1.2.3.4.{next(count)}"

    def identifier() -> uuid.UUID:
        return uuid.UUID(int=source.getrandbits(128), version=4)

    with (
        mock.patch.object(mask_writers, "generate_uid", uid),
        mock.patch.object(uuid, "uuid4", identifier),
    ):
        yield


def _seed(name: str, lane: str, folder: Path, named: tuple[str, ...] = ()) -> Seed:
    files = {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
    return Seed(name, lane, files, named)


def _classic(folder: Path) -> Iterator[Seed]:
    """Slices in every plain syntax, with what scanners add."""
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
    from synthetic_ct import noise, write_ct

    pixels = noise(5, 8, 8)
    write_ct(folder / "explicit", pixels, FrameOfReferenceUID="1.2.3.9", BodyPartExamined="HIP")
    yield _seed("ct explicit", "scan", folder / "explicit")
    write_ct(folder / "implicit", pixels, implicit=True)
    yield _seed("ct implicit", "scan", folder / "implicit")
    write_ct(folder / "signed", pixels, signed=True, PixelPaddingValue=-2000)
    yield _seed("ct signed padded", "scan", folder / "signed")
    for file in write_ct(folder / "deflated", pixels):
        ds = dcmread(file)
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(file, enforce_file_format=True)
    yield _seed("ct deflated", "scan", folder / "deflated")
    for file in write_ct(folder / "big", pixels):
        ds = dcmread(file)
        ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        dcmwrite(file, ds, little_endian=False, implicit_vr=False, force_encoding=True)
    yield _seed("ct big endian", "scan", folder / "big")


def _codecs(folder: Path) -> Iterator[Seed]:
    """The same slices compressed; each mutant of these goes to a decoder in a child process."""
    from synthetic_ct import noise, write_ct
    from test_transfer_syntaxes import HTJ2K_RAMP, compress, encode

    for name, syntax in CODECS.items():
        # HTJ2K has no encoder here: one frame is borrowed.
        pixels = noise(5, *((10, 12) if name == "htj2k" else (32, 32))).astype(np.uint16)
        for file, plane in zip(write_ct(folder / name, pixels), pixels, strict=True):
            if name == "htj2k":
                frame = b85decode(HTJ2K_RAMP)
            elif name == "plain":
                frame = plane.tobytes()
            else:
                frame = encode(name, plane, 12)
            compress(file, syntax, [frame], BitsStored=12, HighBit=11)
        whole = _seed(f"ct {name}", "scan", folder / name)
        yield whole
        first = dict([next(iter(whole.files.items()))])
        yield Seed(f"frame {name}", "codec", first)


def _enhanced(folder: Path) -> Iterator[Seed]:
    from test_enhanced_ct import write_enhanced

    folder.mkdir(parents=True)
    write_enhanced(folder / "a", [3, 1, 0, 2, 5, 4, 7, 6])
    yield _seed("ct enhanced", "scan", folder)


def _films(folder: Path) -> Iterator[Seed]:
    from synthetic_film import ramp, table, write_film

    shared = {"ViewPosition": "AP", "BodyPartExamined": "HIP", "ImageLaterality": "R"}
    write_film(
        folder / "cr" / "a", ramp() * 7, ImagerPixelSpacing=["0.1", "0.1"],
        PhotometricInterpretation="MONOCHROME1", WindowCenter="400", WindowWidth="300", **shared,
    )  # fmt: skip
    yield _seed("film cr", "scan", folder / "cr")
    write_film(
        folder / "dx" / "a", modality="DX", PixelSpacing=["0.1", "0.1"], RescaleSlope="1",
        RescaleIntercept="0", DistanceSourceToDetector="1800", DistanceSourceToPatient="1700",
        VOILUTSequence=[table(range(128))], PresentationLUTShape="INVERSE",
        ModalityLUTSequence=[table(range(128, 256))], PixelPaddingValue=3, **shared,
    )  # fmt: skip
    yield _seed("film dx luts", "scan", folder / "dx")


def _volume_files(folder: Path) -> Iterator[Seed]:
    """NIfTI and NRRD as scans."""
    import nibabel as nib
    import nrrd

    folder.mkdir(parents=True)
    hu = np.random.default_rng(3).integers(-1024, 1500, (8, 9, 7)).astype(np.int16)
    affine = np.array([[-0.8, 0, 0, 5], [0, -0.9, 0, 6], [0, 0, 1.2, 7], [0, 0, 0, 1]])
    for name, array in (("a.nii", hu), ("a.nii.gz", hu), ("f.nii", hu.astype(np.float32))):
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(affine, 1)
        nib.save(image, folder / name)
        yield Seed(f"nifti {name}", "scan", {name: (folder / name).read_bytes()}, (name,))
    sidecar = b'{"Modality": "CT", "KVP": 120, "SliceThickness": 1.2, "AcquisitionTime": "10:00"}'
    files = {"a.nii": (folder / "a.nii").read_bytes(), "a.json": sidecar}
    yield Seed("nifti with sidecar", "scan", files, ("a.nii",))
    header = {
        "space": "left-posterior-superior", "space origin": [1, 2, 3], "space units": ["mm"] * 3,
        "space directions": np.diag([0.8, 0.9, 1.2]), "kinds": ["domain"] * 3,
    }  # fmt: skip
    for encoding in ("raw", "gzip"):
        name = f"{encoding}.nrrd"
        nrrd.write(str(folder / name), hu, {**header, "encoding": encoding})
        yield Seed(f"nrrd {encoding}", "scan", {name: (folder / name).read_bytes()}, (name,))
    nrrd.write(str(folder / "d.nhdr"), hu, {**header, "encoding": "raw"}, detached_header=True)
    files = {name: (folder / name).read_bytes() for name in ("d.nhdr", "d.raw")}
    yield Seed("nrrd detached", "scan", files, ("d.nhdr",))


def mask_grid() -> object:
    """The exam's grid on which the masks of the corpus lie."""
    from mask_writers import make_grid

    return make_grid((6, 16, 14), (2.0, 0.9, 1.1), (5.0, -10.0, 40.0))


def _masks(folder: Path) -> Iterator[Seed]:
    from mask_writers import FRAME, circle, save, segmentation, structure_set
    from test_masks_labelmap import write

    folder.mkdir(parents=True)
    grid = mask_grid()
    one = np.zeros((6, 16, 14), bool)
    two = one.copy()
    one[1:4, 3:9, 2:8] = True
    two[2:5, 8:14, 7:12] = True
    for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
        made = segmentation(grid, [one, two & ~one], kind=kind)  # type: ignore[arg-type]
        save(made, folder / f"{kind}.dcm")
        yield Seed(f"seg {kind.lower()}", "mask", {"a.dcm": (folder / f"{kind}.dcm").read_bytes()})
    contours = [circle(grid, k, 7.0, 7.0, 4.0, 24) for k in range(1, 5)]  # type: ignore[arg-type]
    structures = [{"name": "femur", "contours": contours}, {"name": "b", "contours": contours[:2]}]
    save(structure_set(structures, frame=FRAME), folder / "rt.dcm")
    yield Seed("rtstruct", "mask", {"a.dcm": (folder / "rt.dcm").read_bytes()})
    labels = one.astype(np.uint8) + 2 * (two & ~one).astype(np.uint8)
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        write(folder / f"m{suffix}", labels, grid)  # type: ignore[arg-type]
        files = {f"m{suffix}": (folder / f"m{suffix}").read_bytes()}
        yield Seed(f"label map {suffix}", "mask", files)
    many = {
        f"{bone}.nii.gz": (folder / "m.nii.gz").read_bytes() for bone in ("femur_left", "hip_left")
    }
    yield Seed("mask folder", "mask", many)
    layers = {"Segment0_Name": "femur", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
    write(folder / "s.seg.nrrd", labels, grid, **layers)  # type: ignore[arg-type]
    yield Seed("seg.nrrd", "mask", {"s.seg.nrrd": (folder / "s.seg.nrrd").read_bytes()})


def _archives(folder: Path) -> Iterator[Seed]:
    """Zip archives and a disc with its DICOMDIR."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage
    from synthetic_ct import noise, write_ct

    write_ct(folder / "ct", noise(5, 8, 8))
    slices = [p.read_bytes() for p in sorted((folder / "ct").iterdir())]
    inner = _zip({f"IM{k}": data for k, data in enumerate(slices)})
    yield Seed("zip", "scan", {"a.zip": inner}, ("a.zip",))
    nested = _zip({"inner.zip": inner, "readme.txt": b"hello"})
    yield Seed("zip nested", "scan", {"a.zip": nested}, ("a.zip",))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.FileSetID = "DISC"
    records = []
    for k in range(len(slices)):
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 65535
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["DICOM", f"IM{k}"]
        records.append(record)
    ds.DirectoryRecordSequence = records
    ds.save_as(folder / "DICOMDIR", enforce_file_format=True)
    files = {"DICOMDIR": (folder / "DICOMDIR").read_bytes()}
    files |= {f"DICOM/IM{k}": data for k, data in enumerate(slices)}
    yield Seed("dicomdir", "scan", files, ("DICOMDIR",))


def _zip(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _real(_: Path) -> Iterator[Seed]:
    """Files that others wrote, odd ones among them."""
    import pydicom.data

    root = Path(pydicom.data.__file__).parent
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        small = file.stat().st_size <= MAX_REAL and "TINY" not in str(file)
        if small and file.read_bytes()[128:132] == b"DICM":
            yield Seed(f"real {file.name}", "scan", {"a": file.read_bytes()}, ("a",))
    for name in ("JPEG-lossy.dcm", "JPGExtended.dcm", "MR_small_jp2klossless.dcm", "CT_small.dcm"):
        yield Seed(f"frame {name}", "codec", {"a": (root / "test_files" / name).read_bytes()})
