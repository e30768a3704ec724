"""Time and memory of hoimg's whole read of a CT against SimpleITK's series reader alone.

Both read the same 512 x 512 x N files, each in a process of its own, in turns (so that a busy
machine weighs on both). hoimg finds the files, checks them, reads pixels and turns them into HU;
SimpleITK gets the sorted list of files and does no check. The times hold everything from starting
Python to the end of the process; imports are byte-compiled for both by a run that is not counted.

    python benchmarks/intake.py [--slices 400] [--repeats 5] [--folder CACHE]

"whole" is that time, "reading" leaves out what imports take, "cpu" is the sum over all processes
and cores. The goals are for the reading (scan, checks, pixels, HU); on native files, which take
less than a second, half of the whole is Python importing numpy and pydantic. Memory is the highest
resident memory above that after the imports, of hoimg and its children, for each byte of the int16
volume.

The CT is a smooth phantom with the correlated noise of a soft-tissue kernel: lossless codecs reach
about 2 : 1 to 3 : 1 on it, as on real CT.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SYNTAXES = {
    "native": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
}
GOALS = {"native": 0.6, "rle": 0.15, "jpeg-ls": 0.9, "jpeg-2000": 0.9}
MEMORY_GOAL = 1.6
SIDE = 512

HOIMG = """
import sys, time
from pathlib import Path
start = time.perf_counter()
from hoimg.dicom import load_volume, read_patient
if len(sys.argv) > 2:
    print("ready", flush=True); sys.stdin.readline()
imported = time.perf_counter()
exam = read_patient(Path(sys.argv[1])).exams[0]
scanned = time.perf_counter()
volume = load_volume(exam)
done = time.perf_counter()
if len(sys.argv) > 2:
    print("done", flush=True); sys.stdin.readline()
total = int(volume.hu[:, ::64, ::64].sum(dtype="int64"))
import json, os
print(json.dumps({"cpu": sum(os.times()[:4]), "imports": imported - start,
                  "scan": scanned - imported, "pixels": done - scanned, "sum": total}))
"""
SIMPLEITK = """
import sys, time
from pathlib import Path
start = time.perf_counter()
import SimpleITK as sitk
imported = time.perf_counter()
reader = sitk.ImageSeriesReader()
reader.SetFileNames([str(p) for p in sorted(Path(sys.argv[1]).iterdir())])
image = reader.Execute()
done = time.perf_counter()
total = int(sitk.GetArrayViewFromImage(image)[:, ::64, ::64].sum(dtype="int64"))
import json, os
print(json.dumps({"cpu": sum(os.times()[:4]), "imports": imported - start,
                  "pixels": done - imported, "sum": total}))
"""


HEAD = """
          ------------- hoimg, s ----------  |  --- SimpleITK, s --  | ratio of times       | memory
files      whole imports  scan pixels   cpu  |  whole imports   cpu  | whole  reading  goal |   MB ratio  goal"""  # noqa: E501


def phantom(k: int) -> np.ndarray:
    """Slice k: a body with skin fat, a wandering bone, and noise; stored = HU + 1024, 12 bits."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(k)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    body = np.hypot((y - 256) / 190, (x - 256) / 230)
    hu = np.where(body < 1, 40.0, -1000.0).astype(np.float32)
    hu[(body < 1) & (body > 0.88)] = -100
    bone = np.hypot(y - 250, x - (256 + 60 * np.sin(k / 60)))
    hu[bone < 45] = 300
    hu[(bone < 45) & (bone > 36)] = 1100
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.7)
    noise *= 15 / noise.std()
    hu = gaussian_filter(hu, 1.0) + noise * np.where(body < 1.05, 1.0, 0.4)
    return np.clip(np.rint(hu) + 1024, 0, 4095).astype(np.uint16)


def encode(name: str, pixels: np.ndarray) -> bytes:
    if name == "rle":
        from rle.utils import encode_pixel_data

        return bytes(
            encode_pixel_data(
                pixels.tobytes(), rows=SIDE, columns=SIDE, samples_per_pixel=1,
                bits_allocated=16, byteorder="<",
            )
        )  # fmt: skip
    if name == "jpeg-ls":
        import jpeg_ls

        return bytes(jpeg_ls.encode_array(pixels))
    from openjpeg.utils import encode_array

    return bytes(encode_array(pixels, bits_stored=12, photometric_interpretation=2))


def write(folder: Path, slices: int) -> None:
    """The same CT in every syntax, one folder each."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage

    for k in range(slices):
        pixels = phantom(k)
        for name, syntax in SYNTAXES.items():
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.13.{k + 1}"
            meta.TransferSyntaxUID = syntax
            ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            ds.SOPClassUID = CTImageStorage
            ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
            ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.11"
            ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.12"
            ds.PatientID, ds.PatientName = "BENCH", "Bench^Mark"
            ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
            ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
            ds.Manufacturer, ds.ManufacturerModelName = "SIEMENS", "Phantom"
            ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = "20240110"
            ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = "101500"
            ds.StudyDescription, ds.SeriesDescription = "CT pelvis", "thin soft"
            ds.BodyPartExamined, ds.PatientPosition = "PELVIS", "HFS"
            ds.SliceThickness, ds.KVP, ds.ConvolutionKernel = "1.0", "120", "Br40"
            ds.XRayTubeCurrent, ds.Exposure, ds.ExposureTime = 200, 150, 500
            ds.ReconstructionDiameter, ds.GantryDetectorTilt = "420", "0"
            ds.InstanceNumber, ds.SeriesNumber, ds.AcquisitionNumber = k + 1, 3, 1
            ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.14"
            ds.Rows, ds.Columns = SIDE, SIDE
            ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
            ds.PixelSpacing = ["0.8", "0.8"]
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "-1024", "HU"
            ds.WindowCenter, ds.WindowWidth = "40", "400"
            ds.ImagePositionPatient = ["-204.8", "-204.8", f"{k:.1f}"]
            ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
            ds.SliceLocation = f"{k:.1f}"
            if name == "native":
                ds.PixelData = pixels.tobytes()
            else:
                ds.PixelData = encapsulate([encode(name, pixels)])
            ds["PixelData"].VR = "OW" if name == "native" else "OB"
            path = folder / name / f"IM{k:04d}"
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(path, enforce_file_format=True)


def environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def run(code: str, data: Path, env: dict[str, str]) -> dict[str, float]:
    """Wall time of a whole process, and what it says of its parts."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(data)], env=env, capture_output=True, check=True
    )
    wall = time.perf_counter() - start
    return {**json.loads(done.stdout), "wall": wall}


def peak_mb(data: Path, env: dict[str, str]) -> float:
    """Highest resident memory above the imports: the process, and its children's share (PSS)."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOIMG, str(data), "memory"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    base = status_kb(child.pid, "VmRSS")
    child.stdin.write("\n")
    child.stdin.flush()
    os.set_blocking(child.stdout.fileno(), False)
    peak = 0
    while not child.stdout.readline():
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        shares = sum(pss_kb(int(pid)) for pid in children)
        peak = max(peak, status_kb(child.pid, "VmRSS") - base + shares)
        time.sleep(0.005)
    # Between two samples of the parent nothing is missed: the kernel keeps its highest value.
    peak = max(peak, status_kb(child.pid, "VmHWM") - base)
    child.stdin.write("\n")
    child.stdin.close()
    child.wait()
    return peak / 1024


def status_kb(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="Keep the files here for the next run.")
    parser.add_argument("--only", choices=SYNTAXES, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hoimg-bench-") as temporary:
        root = options.folder or Path(temporary)
        folder = root / f"ct{options.slices}"
        if not folder.exists():
            partial = root / f"ct{options.slices}.partial"
            write(partial, options.slices)
            partial.rename(folder)
        return compare(folder, options.slices, options.repeats, options.only or list(SYNTAXES))


def compare(folder: Path, slices: int, repeats: int, names: list[str]) -> int:
    env = environment(folder)
    volume_mb = slices * SIDE * SIDE * 2 / 2**20
    print(f"{slices} slices, int16 volume {volume_mb:.0f} MB, median of {repeats} runs in turns")
    print(HEAD)
    missed = 0
    for name in names:
        data = folder / name
        assert run(HOIMG, data, env)["sum"] == run(SIMPLEITK, data, env)["sum"], "HU differ"
        pairs = [(run(HOIMG, data, env), run(SIMPLEITK, data, env)) for _ in range(repeats)]
        ours = {key: statistics.median(a[key] for a, _ in pairs) for key in pairs[0][0]}
        theirs = {key: statistics.median(b[key] for _, b in pairs) for key in pairs[0][1]}
        ratio = ours["wall"] / theirs["wall"]
        inner = (ours["scan"] + ours["pixels"]) / theirs["pixels"]
        peak = statistics.median(peak_mb(data, env) for _ in range(min(repeats, 3)))
        missed += inner > GOALS[name] or peak / volume_mb > MEMORY_GOAL
        print(
            f"{name:<10}{ours['wall']:6.2f}{ours['imports']:8.2f}{ours['scan']:6.2f}"
            f"{ours['pixels']:7.2f}{ours['cpu']:6.2f}  |{theirs['wall']:7.2f}"
            f"{theirs['imports']:8.2f}{theirs['cpu']:6.2f}  |{ratio:6.2f}{inner:9.2f}"
            f"{GOALS[name]:6.2f}  |{peak:5.0f}{peak / volume_mb:6.2f}{MEMORY_GOAL:6.1f}",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
