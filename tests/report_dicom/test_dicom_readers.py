"""Other programs' readers see the same voxels and the same numbers: dcmqi and highdicom."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from dicom_series import ORIENTATIONS, Look, Series, make_result, planted_labels, write_series
from dicom_validator import program

from hoimg.report.dicom_objects import write_dicom_objects
from hoimg.results import PatientResult

SEGMENT_OF_LABEL = {4: 1, 2: 2}
# What the codes of the SR mean, spelt out once more: field by value and, for statistics over
# voxels, the derivation.
FIELD_OF_CODE = {
    ("118565006", ""): ("volume_mm3", "mm3"),
    ("HO-V-LOW", ""): ("volume_ci95_mm3.0", "mm3"),
    ("HO-V-HIGH", ""): ("volume_ci95_mm3.1", "mm3"),
    ("HO-V-MIN", ""): ("threshold_volume_mm3", "mm3"),
    ("HO-MASS-HU", ""): ("mineral_mass_hu_mm3", "[hnsf'U].mm3"),
    ("HO-MASS-HA", ""): ("mineral_mass_mg", "mg"),
    ("112031", "373098007"): ("mean_hu", "[hnsf'U]"),
    ("112031", "386136009"): ("sd_hu", "[hnsf'U]"),
    ("112031", "373099004"): ("median_hu", "[hnsf'U]"),
    ("HO-P95", ""): ("p95_hu", "[hnsf'U]"),
    ("L0JK", ""): ("max_diameter_mm", "mm"),
    ("C0JK", ""): ("surface_area_mm2", "mm2"),
    ("QCFX", ""): ("sphericity", "1"),
    ("HO-RIM", ""): ("rim_fraction", "1"),
    ("HO-EDGE", ""): ("edge_ratio", "1"),
    ("HO-ZONE", ""): ("zone_contrast_hu", "[hnsf'U]"),
    ("HO-D-BONE", ""): ("distance_to_bone_mm", "mm"),
}


def run(*words: str | Path) -> None:
    done = subprocess.run(
        [program(str(words[0])), *map(str, words[1:])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def made(tmp_path: Path, look: Look) -> tuple[Series, np.ndarray, PatientResult, list[Path]]:
    series = write_series(tmp_path / "in", look)
    labels = planted_labels(series.grid.size_zyx)
    result = make_result(series, labels)
    return series, labels, result, write_dicom_objects(result, tmp_path / "out")


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_dcmqi_reads_the_label_map_voxel_for_voxel(tmp_path: Path, orientation: str) -> None:
    series, labels, _, (seg, *_) = made(tmp_path, Look(orientation=orientation))
    out = tmp_path / "dcmqi"
    out.mkdir()
    run("segimage2itkimage", "--inputDICOM", seg, "--outputDirectory", out, "--outputType", "nii",
        "--mergeSegments")  # fmt: skip
    image: Any = nib.load(out / "1.nii.gz")
    array = np.asarray(image.dataobj).astype(int)
    found = set()
    for index in np.argwhere(array):
        x, y, z = image.affine[:3, :3] @ index + image.affine[:3, 3]
        found.add((array[tuple(index)], round(-x, 2), round(-y, 2), round(z, 2)))
    planted = {
        (SEGMENT_OF_LABEL[int(labels[tuple(k)])], *(round(float(v), 2) for v in series.place(*k)))
        for k in np.argwhere(labels).tolist()
    }
    assert len(found) == len(planted) == np.count_nonzero(labels)
    near = {(s, *p) for s, *p in planted}
    # 0.01 mm is the last digit that both round to
    assert all(any(s == t and np.allclose(p, q, atol=0.015) for t, *q in near) for s, *p in found)
    told = json.loads((out / "meta.json").read_text())["segmentAttributes"]
    segments = {s["labelID"]: s for group in told for s in group}
    assert {n: s["TrackingIdentifier"] for n, s in segments.items()} == {1: "L1", 2: "L2"}


def test_dcmqi_reads_the_same_measurements(tmp_path: Path) -> None:
    _, _, result, (_, sr, _) = made(tmp_path, Look(orientation="feet_first"))
    out = tmp_path / "sr.json"
    run("tid1500reader", "--inputDICOM", sr, "--outputMetadata", out)
    groups = {g["TrackingIdentifier"]: g for g in json.loads(out.read_text())["Measurements"]}
    assert set(groups) == {"L1", "L2"}
    for number, lesion in enumerate(result.report.lesions, 1):
        group, (seen,) = groups[lesion.lesion_id], lesion.observations
        assert group["TrackingUniqueIdentifier"] == lesion.tracking_uid
        assert group["ReferencedSegment"] == number
        read = {}
        for item in group["measurementItems"]:
            derivation = item.get("derivationModifier", {}).get("CodeValue", "")
            field = FIELD_OF_CODE.get((item["quantity"]["CodeValue"], derivation))
            if field is not None:
                assert item["units"]["CodeValue"] == field[1]
                read[field[0]] = float(item["value"])
        told = {}
        for field, _unit in FIELD_OF_CODE.values():
            name, _, place = field.partition(".")
            value = getattr(seen, name)
            if value is not None:
                told[field] = value[int(place)] if place else value
        # a decimal string has 16 characters
        assert read == pytest.approx(told, rel=1e-14)
        codes = [i["quantity"]["CodeValue"] for i in group["measurementItems"]]
        # every number of the table is there, with the change of L1 and the day of the exam
        assert len(codes) == len(told) + 1 + (4 if lesion.changes else 0)


@pytest.mark.parametrize("orientation", ["axial", "feet_first", "oblique"])
def test_highdicom_reads_segmentation_and_report(tmp_path: Path, orientation: str) -> None:
    _, labels, result, (seg, sr, sc) = made(tmp_path, Look(orientation=orientation))
    segments = hd.seg.segread(seg)
    volumes = {
        n: int(segments.get_volume(segment_numbers=[n], combine_segments=False).array.sum())
        for n in segments.segment_numbers
    }
    assert volumes == {n: int((labels == label).sum()) for label, n in SEGMENT_OF_LABEL.items()}
    report = hd.sr.srread(sr)
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in groups] == [x.lesion_id for x in result.report.lesions]
    for group, lesion in zip(groups, result.report.lesions, strict=True):
        (volume,) = group.get_measurements(hd.sr.CodedConcept("118565006", "SCT", "Volume"))
        assert volume.value == lesion.observations[0].volume_mm3
        assert volume.unit.value == "mm3"
        cited = group.referenced_segment
        assert cited.referenced_sop_instance_uid == segments.SOPInstanceUID
    assert hd.imread(sc).get_frame(1).shape[1] == 1400
