"""What a study without hoimg would do with a CT: the yardstick of time and memory.

    python benchmarks/naive.py SERIES OUT.nii.gz

Reads the series with SimpleITK, thresholds at 150 HU, labels, measures every piece, writes the
label map. It finds the whole skeleton and tells ossification from nothing.
"""

from __future__ import annotations

import sys

import SimpleITK as sitk

MINERAL_HU = 150


def main(series: str, out: str) -> None:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(series))
    image = reader.Execute()
    labels = sitk.ConnectedComponent(image > MINERAL_HU)
    measured = sitk.LabelIntensityStatisticsImageFilter()
    measured.Execute(labels, image)
    for label in measured.GetLabels():
        print(
            label,
            f"{measured.GetPhysicalSize(label):.1f}",
            f"{measured.GetMean(label):.1f}",
            sep=",",
        )
    sitk.WriteImage(labels, out, True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
