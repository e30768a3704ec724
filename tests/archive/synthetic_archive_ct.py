"""One CT image of an invented patient, written with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.91"


def write_one(path: Path, patient: str, number: int = 1, side: int = 8, **tags: Any) -> Path:
    """Write it; UIDs follow from patient and number."""
    study = f"{ROOT}.{int.from_bytes(patient.encode(), 'big')}"[:60]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"{study}.{number}"
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"{study}.{number}"
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.0"
    data.PatientID, data.PatientName = patient, "Zoltanfy^Otto"
    data.Modality, data.StudyDate, data.InstanceNumber = "CT", "20240110", number
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.RescaleSlope, data.RescaleIntercept = [1, 1], 1, -1024
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    data.PixelData = np.zeros((side, side), np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
