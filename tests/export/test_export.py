"""The command on a report of analytic bodies: meshes by trimesh, CSV by hand, maps as they are."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import trimesh
from synthetic_report import CENTRES_LPS, RADII, exam_ids, grid, patient, sphere_mm3

from hoimg.anatomy import Anatomy
from hoimg.cli.main import run
from hoimg.export.long_csv import COLUMNS, OF_CT, OF_FILMS, unit_of
from hoimg.export.mesh_files import FORMATS
from hoimg.image import Mask
from hoimg.report import write_report
from hoimg.results import Observation

ROD_LPS, ROD_RADIUS, ROD_ENDS = (12.0, -15.0), 13.0, (10.0, 70.0)
"""A "bone": an upright cylinder in patient space."""


def with_bone(images):
    g = images.volume.grid
    index = np.stack(np.meshgrid(*[np.arange(n) for n in g.size_zyx], indexing="ij"), -1)
    x, y, z = g.to_lps_mm(index.reshape(-1, 3)).reshape(*g.size_zyx, 3).transpose(3, 0, 1, 2)
    rod = np.hypot(x - ROD_LPS[0], y - ROD_LPS[1]) <= ROD_RADIUS
    rod &= (z >= ROD_ENDS[0]) & (z <= ROD_ENDS[1])
    empty = Mask(np.zeros(g.size_zyx, bool), g)
    return replace(images, anatomy=Anatomy(empty, Mask(rod, g), empty))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    result = patient()
    write_report(
        replace(result, images={k: with_bone(v) for k, v in result.images.items()}), folder
    )
    return folder


def export(report, out, *kinds):
    words = [word for kind in kinds for word in ("--to", kind)]
    return run(["export", str(report), "-o", str(out), *words])


@pytest.mark.parametrize("kind", ["stl", "ply", "obj"])
def test_meshes_are_closed_and_where_and_as_large_as_the_bodies(report, tmp_path, kind):
    assert export(report, tmp_path, kind) == 0
    for k, exam_id in enumerate(exam_ids()):
        made = {p.stem for p in (tmp_path / exam_id).iterdir()}
        seen = [label for label in CENTRES_LPS if RADII[label][k] is not None]
        assert made == {"skeleton", *(f"L{label}" for label in seen)}
        step = max(grid(k).spacing_zyx_mm)
        labels = nib.load(report / "exams" / exam_id / "lesions.nii.gz").get_fdata()
        voxel = np.prod(grid(k).spacing_zyx_mm)
        for label in seen:
            mesh = trimesh.load(tmp_path / exam_id / f"L{label}.{kind}", process=True)
            assert mesh.is_watertight
            assert mesh.is_winding_consistent
            # positive: seen from outside, corners run counter-clockwise
            assert mesh.volume == pytest.approx((labels == label).sum() * voxel, rel=0.01)
            assert mesh.volume == pytest.approx(sphere_mm3(RADII[label][k]), rel=0.08)
            np.testing.assert_allclose(mesh.center_mass, CENTRES_LPS[label], atol=0.4)
            reach = np.linalg.norm(mesh.vertices - CENTRES_LPS[label], axis=1)
            assert np.abs(reach - RADII[label][k]).max() < step
        bone = trimesh.load(tmp_path / exam_id / f"skeleton.{kind}", process=True)
        assert bone.is_watertight
        truth = np.pi * ROD_RADIUS**2 * (ROD_ENDS[1] - ROD_ENDS[0])
        assert bone.volume == pytest.approx(truth, rel=0.06)
        np.testing.assert_allclose(bone.center_mass[:2], ROD_LPS, atol=0.4)
        np.testing.assert_allclose(bone.bounds[:, 2], ROD_ENDS, atol=step)


def test_each_mesh_is_made_once_for_all_formats(report, tmp_path, monkeypatch):
    from hoimg.measure import surface

    made, make = [], surface.mesh_of_mask

    def counted(*given, **more):
        made.append(given)
        return make(*given, **more)

    monkeypatch.setattr(surface, "mesh_of_mask", counted)
    assert export(report, tmp_path, "stl", "ply", "obj") == 0
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 3 * len(made) == 3 * len({(p.parent, p.stem) for p in files})


def test_the_three_formats_hold_the_same_mesh(tmp_path):
    box = trimesh.creation.box((2, 4, 6))
    box.apply_translation((10, 20, 30))
    for kind, written in FORMATS.items():
        path = tmp_path / f"box.{kind}"
        path.write_bytes(written(np.asarray(box.vertices), np.asarray(box.faces)))
        assert b"SPACE=LPS" in path.read_bytes()[:200]
        found = trimesh.load(path, process=True)
        assert found.volume == pytest.approx(48)
        np.testing.assert_allclose(found.bounds, [[9, 18, 27], [11, 22, 33]])
    stl = (tmp_path / "box.stl").read_bytes()
    assert not stl.startswith(b"solid")
    assert len(stl) == 84 + 12 * 50


def test_long_csv_has_one_number_a_row_with_unit_and_reason(report, tmp_path):
    assert export(report, tmp_path, "csv") == 0
    with (tmp_path / "measurements_long.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 3 * 4 * len(OF_CT)
    content = json.loads((report / "report.json").read_text())
    lesions = {x["lesion_id"]: x for x in content["lesions"]}
    for row in rows:
        # what R and pandas take for numbers
        numbers = [float(row[k]) if row[k] else None for k in ("value", "lower", "upper")]
        assert (row["value"] == "") == (row["reason"] != "")
        assert row["patient_key"] == content["patient_key"]
        days = {e["exam_id"]: e["days_from_baseline"] for e in content["exams"]}
        assert int(row["days_from_baseline"]) == days[row["exam_id"]]
        (seen,) = [
            o for o in lesions[row["lesion_id"]]["observations"] if o["exam_id"] == row["exam_id"]
        ]
        assert numbers[0] == seen[row["quantity"]]
        if row["quantity"] == "volume_mm3" and numbers[0] is not None:
            assert numbers[1:] == seen["volume_ci95_mm3"]
            assert row["unit"] == "mm3"
    of = {(r["lesion_id"], r["exam_id"], r["quantity"]): r for r in rows}
    ids = exam_ids()
    assert of["L3", ids[0], "volume_mm3"]["reason"] == "absent at this exam"
    assert "thick slices" in of["L1", ids[3], "rim_fraction"]["reason"]
    assert of["L1", ids[1], "mineral_mass_mg"]["unit"] == "mg"
    assert of["L1", ids[1], "touches_bone"]["value"] == "0"
    assert b"\r" not in (tmp_path / "measurements_long.csv").read_bytes()


def test_every_number_of_an_observation_has_a_place_in_the_long_csv():
    words = {"exam_id", "status", "label", "region_label", "rim_profiles", "centroid_lps_mm",
             "bone_contacts", "spacing_source", "flags"}  # fmt: skip
    told = {*OF_CT, *OF_FILMS, *words}
    for name in Observation.model_fields:
        if "_ci95" in name:
            assert name.replace("_ci95", "") in told
        else:
            assert name in told
    for name, unit in (
        ("mineral_mass_hu_mm3", "HU.mm3"), ("mean_k2hpo4_mg_cm3", "mg/cm3"), ("area_px2", "px2"),
        ("p95_hu", "HU"), ("length_mm", "mm"), ("area_mm2", "mm2"), ("mineral_mass_mg", "mg"),
        ("rim_fraction", "1"), ("contrast_to_noise", "1"),
    ):  # fmt: skip
        assert unit_of(name) == unit


def test_maps_come_with_the_meaning_of_their_numbers(report, tmp_path):
    assert export(report, tmp_path, "nifti") == 0
    for k, exam_id in enumerate(exam_ids()):
        ours = (report / "exams" / exam_id / "lesions.nii.gz").read_bytes()
        assert (tmp_path / exam_id / "lesions.nii.gz").read_bytes() == ours
        told = json.loads((tmp_path / exam_id / "lesions.json").read_text())
        values = np.unique(nib.load(tmp_path / exam_id / "lesions.nii.gz").dataobj)
        assert [x["value"] for x in told["labels"]] == [v for v in values if v]
        assert (told["exam_id"], told["background"]) == (exam_id, 0)
        first = told["labels"][0]
        assert (first["lesion_ids"], first["tracking_uid"]) == (["L1"], "2.25.1001")
        assert (first["maturity_label"], first["maturity_exam_id"]) == ("mature", exam_ids()[3])
        assert first["volume_mm3"] == sphere_mm3(RADII[1][k])


def test_nothing_is_overwritten_and_a_second_run_is_the_same(report, tmp_path, capsys):
    assert export(report, tmp_path, "csv", "stl") == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert export(report, tmp_path, "stl", "csv") == 0
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "measurements_long.csv").write_text("mine\n")
    capsys.readouterr()
    assert export(report, tmp_path, "csv") == 2
    assert "another content" in capsys.readouterr().err
    assert (tmp_path / "measurements_long.csv").read_text() == "mine\n"


def test_what_does_not_go_together_is_said(report, tmp_path, capsys):
    assert export(report, tmp_path, "rtstruct") == 0
    out, err = capsys.readouterr()
    assert out.startswith("0 file(s)")
    assert err.count("no DICOM segmentation") == 4
    assert export(report, tmp_path) == 2
    assert export(report, tmp_path, "docx") == 2
    assert export(tmp_path, tmp_path / "x", "csv") == 2


def test_a_redrawn_map_has_to_be_measured_first(report, tmp_path, capsys):
    import shutil

    drawn = tmp_path / "drawn"
    shutil.copytree(report, drawn)
    path = drawn / "exams" / exam_ids()[0] / "lesions.nii.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    for kind in ("stl", "nifti"):
        assert export(drawn, tmp_path / kind, kind) == 2
        assert "hoimg measure" in capsys.readouterr().err
