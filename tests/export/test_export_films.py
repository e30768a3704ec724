"""A film's lesions: its own quantities, its map, and no mesh or structure set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import AREA_MM2, BOX, ball, made, only

from hoimg.cli.main import run
from hoimg.export.long_csv import OF_FILMS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom


def test_a_film_gives_its_own_numbers_and_its_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1", view="AP")
    seen = only(made(tmp_path, "--roi", BOX))
    capsys.readouterr()
    out = tmp_path / "export"
    words = [w for kind in ("csv", "nifti", "stl", "rtstruct") for w in ("--to", kind)]
    assert run(["export", str(tmp_path / "out"), "-o", str(out), *words]) == 0
    told = capsys.readouterr()
    assert told.err.count("it is a film") == 2
    assert told.out.startswith("3 file(s)")
    with (out / "measurements_long.csv").open(newline="") as stream:
        rows = {row["quantity"]: row for row in csv.DictReader(stream)}
    assert tuple(rows) == OF_FILMS
    assert float(rows["area_mm2"]["value"]) == seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)
    assert float(rows["area_mm2"]["lower"]) == seen["area_ci95_mm2"][0]
    assert {(r["modality"], r["lesion_id"]) for r in rows.values()} == {("DX", "L1")}
    (sidecar,) = out.rglob("lesions.json")
    (label,) = json.loads(sidecar.read_text())["labels"]
    assert label["area_mm2"] == seen["area_mm2"]
    assert label["volume_mm3"] is None
    array = np.asarray(nib.load(sidecar.with_name("lesions.nii.gz")).dataobj)
    assert (array == label["value"]).sum() == seen["area_px2"]
