"""Small CT studies for an archive, written with pydicom."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.77"
SECRET_NAME, SECRET_ID = "Zoltanfy^Otto", "PAT-4711"


def study_uid(number: int) -> str:
    return f"{ROOT}.{number}"


def write_study(
    folder: Path,
    number: int = 1,
    *,
    patient: str = SECRET_ID,
    accession: str = "A-1",
    date: str = "20240110",
    series: int = 2,
    slices: int = 5,
    side: int = 16,
) -> dict[str, bytes]:
    """SOP Instance UID to the bytes of its file; every second one has implicit VRs."""
    made = {}
    folder.mkdir(parents=True, exist_ok=True)
    for s in range(1, series + 1):
        for k in range(1, slices + 1):
            uid = f"{study_uid(number)}.{s}.{k}"
            path = folder / f"{uid}.in"
            data = _slice(uid, side)
            data.PatientID, data.PatientName = patient, SECRET_NAME
            data.AccessionNumber, data.StudyDate = accession, date
            data.StudyInstanceUID, data.SeriesInstanceUID = (
                study_uid(number),
                uid.rpartition(".")[0],
            )
            data.ImagePositionPatient = [0, 0, 2.5 * k]
            data.InstanceNumber, data.SeriesNumber = k, s
            if k % 2:
                data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            data.save_as(
                path, implicit_vr=bool(k % 2), little_endian=True, enforce_file_format=True
            )
            made[uid] = path.read_bytes()
    return made


def _slice(uid: str, side: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, uid
    data.ImageType, data.Modality = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT"
    data.StudyTime, data.StudyID = "101112", "S1"
    data.PatientBirthDate, data.PatientSex = "19700102", "M"
    data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.8]
    data.SliceThickness = 2.5
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept, data.KVP = 1, -1024, 120
    noise = hashlib.shake_256(uid.encode()).digest(side * side)
    data.PixelData = b"".join(bytes((b, 4)) for b in noise)
    return data


def files_in(folder: Path) -> dict[str, bytes]:
    """What a pull has left under final names, by path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.dcm"))}
