"""Time ``hoimg info`` against a bare pydicom loop over the same headers.

Writes small CT files (real-sized headers, 8 x 8 pixels) into a temporary folder and runs both as
whole processes, in turn, several times:

    python benchmarks/headers.py [--files 20000] [--series 100] [--runs 5]

Prints the median of both, their ratio (the goal is at most 1.5), and the memory of one header.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

BARE = """
import os, sys
import pydicom
for root, _, names in os.walk(sys.argv[1]):
    for name in names:
        pydicom.dcmread(os.path.join(root, name), stop_before_pixels=True)
"""
HOIMG = "import sys; from hoimg.cli.main import run; sys.exit(run(['-q', 'info', sys.argv[1]]))"


def write_files(folder: Path, files: int, series: int) -> None:
    """CT images with some ninety elements: plain ones, sequences, private ones."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    texts = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientName": "Some^Body",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "PatientAge": "054Y",
        "StudyDate": "20240110",
        "SeriesDate": "20240110",
        "AcquisitionDate": "20240110",
        "ContentDate": "20240110",
        "StudyTime": "101500",
        "SeriesTime": "101600",
        "AcquisitionTime": "101601",
        "ContentTime": "101602",
        "AccessionNumber": "1",
        "Manufacturer": "SIEMENS",
        "InstitutionName": "X",
        "ReferringPhysicianName": "A^B",
        "StationName": "CT1",
        "StudyDescription": "CT LEG",
        "SeriesDescription": "LEG 1.0 Br38",
        "ManufacturerModelName": "Force",
        "StudyID": "1",
        "BodyPartExamined": "LEG",
        "SliceThickness": "1.0",
        "KVP": "120",
        "SoftwareVersions": "VA50",
        "DataCollectionDiameter": "500",
        "DeviceSerialNumber": "1",
        "ProtocolName": "LEG",
        "ReconstructionDiameter": "400",
        "DistanceSourceToDetector": "1000",
        "TableHeight": "100",
        "DistanceSourceToPatient": "500",
        "RotationDirection": "CW",
        "ExposureTime": "500",
        "Exposure": "100",
        "XRayTubeCurrent": "200",
        "FilterType": "0",
        "GeneratorPower": "40",
        "FocalSpots": ["1.2"],
        "DateOfLastCalibration": "20240101",
        "TimeOfLastCalibration": "101010",
        "ConvolutionKernel": ["Br38f", "3"],
        "PatientPosition": "HFS",
        "SpiralPitchFactor": 0.8,
        "CTDIvol": 5.0,
        "FrameOfReferenceUID": "1.2.3.4",
        "PositionReferenceIndicator": "SN",
        "AcquisitionNumber": 1,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SamplesPerPixel": 1,
        "Rows": 8,
        "Columns": 8,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": ["0.7", "0.7"],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": ["40", "300"],
        "WindowWidth": ["400", "1500"],
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "RescaleType": "HU",
    }
    for keyword, value in texts.items():
        setattr(ds, keyword, value)
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4.5"
    ds.ReferencedImageSequence, ds.SourceImageSequence = [item] * 3, [item]
    private = ds.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    for number in range(12):
        private.add_new(number, "OB", bytes(100))
    ds.PixelData = bytes(128)
    each = files // series
    for number in range(series):
        place = folder / f"patient {number // 20}" / f"{number:04d}"
        place.mkdir(parents=True)
        ds.PatientID, ds.SeriesNumber = f"P{number // 20}", number
        ds.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{number // 10}"
        ds.SeriesInstanceUID = f"{ds.StudyInstanceUID}.{number}"
        for k in range(each):
            ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.{k}"
            ds.InstanceNumber = k + 1
            ds.ImagePositionPatient = [-120, -120, float(k)]
            ds.save_as(place / f"IM{k:05d}")


def whole_process(code: str, folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def bytes_per_header(folder: Path, count: int) -> float:
    from hoimg.dicom.header import Pool, look

    paths = sorted(path for path in folder.rglob("*") if path.is_file())[:count]
    pool = Pool()
    look(paths[0], pool)
    tracemalloc.start()
    kept = [look(path, pool) for path in paths]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hoimg-bench-") as name:
        folder = Path(name)
        write_files(folder, wanted.files, wanted.series)
        bare, ours = [], []
        for _ in range(wanted.runs):
            bare.append(whole_process(BARE, folder))
            ours.append(whole_process(HOIMG, folder))
        memory = bytes_per_header(folder, 2000)
    loop, info = statistics.median(bare), statistics.median(ours)
    print(f"{wanted.files} headers in {wanted.series} series, {os.cpu_count()} cores")
    print(f"bare pydicom loop  {loop:7.2f} s  (median of {wanted.runs})")
    print(f"hoimg info         {info:7.2f} s")
    print(f"ratio              {info / loop:7.2f}    (goal: at most 1.5)")
    print(f"memory per header  {memory:7.0f} bytes while scanning")


if __name__ == "__main__":
    main()
