"""Time and memory of the segmentation of a 512 x 512 x 400 CT against a plain threshold script.

    python benchmarks/segment.py --data FOLDER [--repeats 3] [--folder CACHE]

Both read the same series, find mineral, and write a label map, each in a process of its own, in
turns. The script reads with SimpleITK, thresholds at 150 HU, labels, measures every piece and
writes the mask: what a study without hoimg would do. hoimg reads with its checks, segments and
writes the same kind of file. Times hold everything from starting Python to the end of the process;
memory is the highest resident memory of the process (its reading children come on top and are
named apart).

``--data`` is the folder with ``example_ct.nii.gz`` (TotalSegmentator's sample CT, 1.5 mm); it is
resampled to 512 x 512 x 400 voxels over the same patient, with noise, so that there is a whole
trunk to segment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trunk import make_series

MOST_TIMES, MOST_BYTES = 5.0, 1.6e9

HOIMG = """
import json, resource, sys
from pathlib import Path
import SimpleITK as sitk
from hoimg.dicom import load_volume, read_patient
from hoimg.image import to_sitk
from hoimg.segment import segment_exam
exam = read_patient(Path(sys.argv[1])).exams[0]
found = segment_exam(load_volume(exam), kvp=exam.acquisition.kvp)
sitk.WriteImage(to_sitk(found.lesions.array, found.lesions.grid), sys.argv[2], True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"peak": peak, "child": child, "found": int(found.lesions.array.max())}))
"""
SCRIPT = """
import json, resource, sys
import SimpleITK as sitk
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
labels = sitk.ConnectedComponent(reader.Execute() > 150)
measured = sitk.LabelShapeStatisticsImageFilter()
measured.Execute(labels)
sizes = [measured.GetPhysicalSize(k) for k in measured.GetLabels()]
sitk.WriteImage(labels, sys.argv[2], True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "child": 0, "found": len(sizes)}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the made series here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        series = (args.folder or Path(temporary)) / "series"
        if not series.exists():
            make_series(args.data / "example_ct.nii.gz", series)
        seconds: dict[str, list[float]] = {"script": [], "hoimg": []}
        said: dict[str, dict[str, float]] = {}
        for _ in range(args.repeats):
            for name, program in (("script", SCRIPT), ("hoimg", HOIMG)):
                start = time.perf_counter()
                out = subprocess.run(
                    [sys.executable, "-c", program, str(series), f"{temporary}/{name}.nii.gz"],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                seconds[name].append(time.perf_counter() - start)
                said[name] = json.loads(out.stdout.splitlines()[-1])
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        one = said[name]
        print(
            f"{name:7s} {value:6.1f} s, {one['peak'] / 1e9:.2f} GB"
            f" (children {one['child'] / 1e9:.2f} GB), {one['found']:.0f} pieces"
        )
    ratio = median["hoimg"] / median["script"]
    print(f"ratio {ratio:.2f} (at most {MOST_TIMES:g})")
    return 0 if ratio <= MOST_TIMES and said["hoimg"]["peak"] <= MOST_BYTES else 1


if __name__ == "__main__":
    raise SystemExit(main())
