"""200 simulated patients, CT and films, 15 % of them broken: is every one accounted for?

    python benchmarks/archive/mixed.py --patients 200 --workers 2

Beside ten ways of being broken there are two patients whose decoder crashes, one whose decoder
hangs and one who takes all memory. Each way has the code that it has to be recorded with.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pydicom

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "archive"), str(Path(__file__).parent)]

from small_limb import slices, write  # noqa: E402

from hoimg.archive.run import Progress  # noqa: E402


def _each(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for number, path in enumerate(slices(folder)):
        data = pydicom.dcmread(path)
        change(data, number)
        data.save_as(path)


def cut(folder: Path) -> None:
    for path in slices(folder):
        path.write_bytes(path.read_bytes()[:-500])


def no_pixels(folder: Path) -> None:
    _each(folder, lambda data, _: data.__delattr__("PixelData"))


def three_slices(folder: Path) -> None:
    for path in slices(folder):
        if pydicom.dcmread(path).ImagePositionPatient[2] > 5:
            path.unlink()


def gap(folder: Path) -> None:
    for path in slices(folder):
        if 20 < pydicom.dcmread(path).ImagePositionPatient[2] < 25:
            path.unlink()


def header(folder: Path) -> None:
    for path in slices(folder):
        path.write_bytes(path.read_bytes()[:150] + b"\xff" * 40)


def archive(folder: Path) -> None:
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as out:
        for path in slices(folder):
            out.write(path, path.name)
            path.unlink()
    packed.write_bytes(packed.read_bytes()[:5000])


def letter(folder: Path) -> None:
    for path in slices(folder):
        path.unlink()
    (folder / "letter.txt").write_text("no image")


def no_hu(folder: Path) -> None:
    def change(data: pydicom.Dataset, _: int) -> None:
        data.RescaleIntercept = 0

    _each(folder, change)


def magnetic(folder: Path) -> None:
    def change(data: pydicom.Dataset, _: int) -> None:
        data.Modality, data.SOPClassUID = "MR", pydicom.uid.MRImageStorage
        data.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage

    _each(folder, change)


def one_place(folder: Path) -> None:
    def change(data: pydicom.Dataset, _: int) -> None:
        data.ImagePositionPatient = [0, 0, 0]

    _each(folder, change)


BROKEN: dict[Callable[[Path], None], set[str]] = {
    cut: {"truncated_files"},
    no_pixels: {"truncated_files", "bad_image"},
    three_slices: {"too_few_slices"},
    gap: {"missing_slices"},
    header: {"truncated_files"},
    archive: {"archive_damaged"},
    letter: {"no_dicom"},
    no_hu: {"not_hounsfield", "wrong_hu_scale"},
    magnetic: {"modality_not_supported"},
    one_place: {"duplicate_slices", "not_a_volume"},
}
HOSTILE = {"crash": "process_crashed", "hang": "over_time", "eat": "over_memory"}


def film(folder: Path, patient: str, seed: int) -> None:
    """A film of a shaft on a slope, as DX."""
    from hoimg.simulate.film_process import Processed
    from hoimg.simulate.film_writer import FilmHeader, write_film

    x = np.indices((400, 300))[1]
    values = 1000 + 2 * x + 900 * (abs(x - 140) < 30) + np.random.default_rng(seed).normal(
        0, 20, x.shape
    )  # fmt: skip
    seen = Processed(
        np.clip(values, 0, 4095).astype(np.uint16), 12, "LOG", -1, True, True, (2000.0, 3000.0)
    )
    head = FilmHeader("DX", "AP", "R", "THIGH", ("L", "F"), 0.2, 1150.0, 1000.0,
                      patient_id=patient, seed=patient)  # fmt: skip
    write_film(seen, head, folder / "film.dcm")


def make(root: Path, patients: int) -> Counter[frozenset[str]]:
    """Write everybody; how many are to be recorded with which codes (none: a report)."""
    wanted: Counter[frozenset[str]] = Counter()
    hostile = ["crash", "crash", "hang", "eat"]
    ways = list(BROKEN)
    broken = max(round(0.15 * patients) - len(hostile), len(ways))
    for number in range(patients):
        name, folder = f"P-{number:04d}", root / f"{number:04d}"
        if number < broken:
            way = ways[number % len(ways)]
            way(write(folder, name, number))
            wanted[frozenset(BROKEN[way])] += 1
        elif number < broken + len(hostile):
            what = hostile[number - broken]
            write(folder / what, name, number)
            for path in slices(folder):  # the folder's own name has to be the word
                path.rename(folder / what / path.name)
            wanted[frozenset({HOSTILE[what]})] += 1
        elif number % 3 == 0:
            film(folder, name, number)
            wanted[frozenset()] += 1
        else:
            write(folder, name, number)
            wanted[frozenset()] += 1
    return wanted


def main() -> None:
    from hoimg.archive.census import census_of_root
    from hoimg.archive.cluster import Where
    from hoimg.archive.database import DATABASE, Database
    from hoimg.archive.run import run_batch
    from hoimg.settings import BatchSettings, Settings

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=3.0, help="limit of a patient")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, out = Path(name) / "root", Path(name) / "out"
        wanted = make(root, given.patients)
        limits = BatchSettings(minutes=given.minutes, memory_gb=1.5, free_gb=0.1)
        settings = Settings(batch=limits)
        workers: dict[int, float] = {}

        def watch(_: Progress) -> None:
            for process in psutil.Process().children():
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                workers[process.pid] = times.user + times.system

        begun = time.perf_counter()
        census = census_of_root(root, settings)
        summary = run_batch(
            census, out, settings, where=Where(given.workers), entry="hostile_child", watch=watch
        )
        seconds = time.perf_counter() - begun
        with Database(out / DATABASE, read_only=True) as database:
            known = database.known()
        made = {p.name for p in (out / "patients").iterdir()}
        assert made == {k for k, v in known.items() if v.status == "done"}
        assert summary.total == given.patients == len(known)
        got = Counter(v.code for v in known.values())
        left = Counter(got)
        for codes, count in wanted.items():
            for code in codes or {None}:
                taken = min(left[code], count)
                left[code] -= taken
                count -= taken
            if count:
                print(f"MISSING: {count} of {sorted(codes) or 'a report'}")
        print(f"left over: {dict(+left) or 'none'}")
        own = resource.getrusage(resource.RUSAGE_SELF)
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        engine = own.ru_utime + own.ru_stime + sum(workers.values())
        work = below.ru_utime + below.ru_stime - sum(workers.values())
        print(f"{summary.total} patients: {summary.done} reports; {dict(got)}")
        print(
            f"{seconds:.0f} s on {given.workers} workers; CPU: engine {engine:.0f} s, "
            f"patients' processes {work:.0f} s ({100 * engine / work:.1f} %)"
        )
        again = run_batch(census_of_root(root, settings), out, settings, entry="hostile_child")
        print(f"again: {again.progress.ended} in the second run")


if __name__ == "__main__":
    main()
