"""Time and memory of the segmentation of a 512 x 512 x 400 CT against a plain threshold script.

    python benchmarks/segment.py --data FOLDER [--repeats 3] [--folder CACHE]

Both read the same series, find mineral, and write a label map, each in a process of its own, in
turns: the script is ``naive.py``; hoimg reads with its checks, segments and writes the same kind of
file. Times hold everything from starting Python to the end of the process; memory is the highest
resident memory of the process (children that read pixels come on top).

``--data`` is the folder with ``example_ct.nii.gz`` (TotalSegmentator's sample CT, 1.5 mm); it is
resampled to 512 x 512 x 400 voxels over the same patient, with noise, so that there is a whole
trunk to segment.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from processes import Cost, apart, cost_of, median
from trunk import make_series

MOST_TIMES, MOST_BYTES = 5.0, 1.6e9

HOIMG = """
import sys
from pathlib import Path
import SimpleITK as sitk
from hoimg.dicom import load_volume, read_patient
from hoimg.image import to_sitk
from hoimg.segment import segment_exam
exam = read_patient(Path(sys.argv[1])).exams[0]
found = segment_exam(load_volume(exam), kvp=exam.acquisition.kvp)
sitk.WriteImage(to_sitk(found.lesions.array, found.lesions.grid), sys.argv[2], True)
print(found.lesions.array.max())
"""
NAIVE = Path(__file__).resolve().with_name("naive.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the made series here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        series = (args.folder or Path(temporary)) / "series"
        if not series.exists():
            apart(make_series, args.data / "example_ct.nii.gz", series)
        costs: dict[str, list[Cost]] = {"script": [], "hoimg": []}
        for _ in range(args.repeats):
            for name, program in (("script", [str(NAIVE)]), ("hoimg", ["-c", HOIMG])):
                out = f"{temporary}/{name}.nii.gz"
                costs[name].append(cost_of([sys.executable, *program, str(series), out]))
    script, hoimg = median(costs["script"]), median(costs["hoimg"])
    for name, one in (("script", script), ("hoimg", hoimg)):
        print(f"{name:7s} {one.wall_s:6.1f} s, {one.peak_bytes / 1e9:.2f} GB")
    print(f"{len(script.said.splitlines())} pieces, {hoimg.said.strip()} lesions")
    ratio = hoimg.wall_s / script.wall_s
    print(f"ratio {ratio:.2f} (at most {MOST_TIMES:g})")
    return 0 if ratio <= MOST_TIMES and hoimg.peak_bytes <= MOST_BYTES else 1


if __name__ == "__main__":
    raise SystemExit(main())
