"""TotalSegmentator as a program of its own: real processes that stand in for it on the PATH."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from hoimg.cli.main import run
from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.model_skeleton import model_skeleton
from hoimg.segment.totalsegmentator import installed, missing_weights, weights_folder
from hoimg.settings import SegmentSettings

FAST = SegmentSettings(totalsegmentator="fast", totalsegmentator_minutes=1.0)
SHAPE = (20, 24, 28)
FEMUR, MUSCLE = 75, 80

SEGMENT = f"""
import json, os, pathlib, sys
import nibabel, numpy
arguments = sys.argv[1:]
here = pathlib.Path(os.environ["STANDIN"])
scan = nibabel.load(arguments[arguments.index("-i") + 1])
labels = numpy.zeros(scan.shape, numpy.uint8)
labels[numpy.asarray(scan.dataobj) > 300] = {FEMUR}
labels[:3, :3, :3] = {MUSCLE}
nibabel.save(nibabel.Nifti1Image(labels, scan.affine), arguments[arguments.index("-o") + 1])
home = pathlib.Path(os.environ["TOTALSEG_HOME_DIR"])
said = dict(arguments=arguments, config=json.loads((home / "config.json").read_text()),
            environment={{k: v for k, v in os.environ.items()
                         if "proxy" in k.lower() or k.startswith("TOTALSEG")}})
(here / "said.json").write_text(json.dumps(said))
"""


@pytest.fixture
def ct() -> CTVolume:
    hu = np.full(SHAPE, 50, np.int16)
    hu[5:15, 6:18, 10:20] = 900
    return CTVolume(hu, Grid(SHAPE, (2.0, 1.5, 1.5), (-30.0, 12.0, 400.0)))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program of that name on the PATH, with weights beside it."""

    def make(body: str, weights: tuple[int, ...] = (297,)) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "TotalSegmentator"
        program.write_text(f"#!{sys.executable}\n{body}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        store = tmp_path / "weights"
        for number in weights:
            (store / f"Dataset{number}_TotalSegmentator_total").mkdir(parents=True)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(store))
        monkeypatch.setenv("STANDIN", str(tmp_path))
        return tmp_path

    return make


def told(findings) -> str:
    assert [(f.code, f.level) for f in findings] == [("model_skeleton_unused", "warning")]
    return findings[0].message


def test_it_is_off_unless_asked_for(stand_in, ct):
    folder = stand_in(SEGMENT)
    assert SegmentSettings().totalsegmentator == "off"
    assert model_skeleton(ct, SegmentSettings()) == (None, ())
    assert not (folder / "said.json").exists()


def test_its_bones_come_back_on_the_exams_voxels(stand_in, ct):
    folder = stand_in(SEGMENT)
    mask, findings = model_skeleton(ct, FAST)
    assert findings == ()
    assert mask is not None
    assert mask.grid.same_as(ct.grid)
    np.testing.assert_array_equal(mask.array, ct.hu > 300)
    said = json.loads((folder / "said.json").read_text())
    rest = [a for a in said["arguments"] if not a.endswith(".nii.gz")]
    assert rest == ["-i", "-o", "--ml", "--task", "total", "--fast"]


def test_it_gets_no_way_to_a_network_and_sends_no_statistics(stand_in, ct, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    folder = stand_in(SEGMENT)
    model_skeleton(ct, FAST)
    said = json.loads((folder / "said.json").read_text())
    assert said["config"]["send_usage_stats"] is False
    environment = said["environment"]
    assert environment.pop("TOTALSEG_WEIGHTS_PATH") == str(folder / "weights")
    assert not Path(environment.pop("TOTALSEG_HOME_DIR")).exists()  # gone with its files
    assert {k.lower() for k in environment} == {"http_proxy", "https_proxy", "all_proxy"}
    assert set(environment.values()) == {"http://127.0.0.1:9"}


def test_the_full_models_are_five(stand_in, ct):
    stand_in(SEGMENT, weights=(291, 292, 293, 294, 297))
    assert missing_weights("full") == [295]
    full = FAST.model_copy(update={"totalsegmentator": "full"})
    mask, findings = model_skeleton(ct, full)
    assert mask is None
    assert "weights 295 are not on this computer" in told(findings)


def test_where_its_weights_are_looked_for():
    assert weights_folder({"TOTALSEG_WEIGHTS_PATH": "/w", "TOTALSEG_HOME_DIR": "/h"}) == Path("/w")
    assert weights_folder({"TOTALSEG_HOME_DIR": "/h"}) == Path("/h/nnunet/results")
    assert weights_folder({}) == Path.home() / ".totalsegmentator" / "nnunet" / "results"


def test_not_installed(ct, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed() is None
    mask, findings = model_skeleton(ct, FAST)
    assert mask is None
    assert "not installed" in told(findings)


def test_a_failure_is_told_with_its_last_line_and_without_paths(stand_in, ct):
    stand_in(
        "import os, sys\n"
        "print('early', file=sys.stderr)\n"
        "print('out of memory in', os.getcwd(), file=sys.stderr)\n"
        "sys.exit(3)"
    )
    mask, findings = model_skeleton(ct, FAST)
    assert mask is None
    message = told(findings)
    assert "exit code 3): out of memory in" in message
    assert "early" not in message
    assert "hoimg-" not in message


def test_one_that_hangs_is_ended_with_its_children(stand_in, ct):
    folder = stand_in(
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(os.environ['STANDIN'], 'child').write_text(str(child.pid))\n"
        "time.sleep(600)"
    )
    short = FAST.model_copy(update={"totalsegmentator_minutes": 0.03})
    mask, findings = model_skeleton(ct, short)
    assert mask is None
    assert "did not end within 0.03 minutes" in told(findings)
    child = int((folder / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("pass", "wrote no label map"),
        ("open(out, 'wb').write(b'nonsense')", "cannot be read"),
        ("save(numpy.full(scan.shape, 80, numpy.uint8), scan.affine)", "found no bone"),
        ("save(numpy.full((9, 9, 9), 75, numpy.uint8), scan.affine)", "another grid"),
    ],
)
def test_nonsense_is_left_aside(stand_in, ct, body, words):
    stand_in(
        "import sys, nibabel, numpy\n"
        "out = sys.argv[sys.argv.index('-o') + 1]\n"
        "scan = nibabel.load(sys.argv[sys.argv.index('-i') + 1])\n"
        "save = lambda a, m: nibabel.save(nibabel.Nifti1Image(a, m), out)\n" + body
    )
    mask, findings = model_skeleton(ct, FAST)
    assert mask is None
    assert words in told(findings)


@pytest.mark.parametrize(
    ("weights", "words"), [((297,), "weights for: fast"), ((), "weights for: nothing")]
)
def test_doctor_says_whether_it_is_there(stand_in, capsys, weights, words):
    stand_in(SEGMENT, weights)
    run(["doctor"])
    assert words in capsys.readouterr().out


def test_doctor_does_not_miss_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["doctor"]) == 0
    assert "not installed (optional)" in capsys.readouterr().out
