"""A report measured again from its label maps: the same, but for what a reader redrew."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from limb_patient import BASELINE, CENTRE, GRID, depth, limb, outline, write_exams

import hoimg
from hoimg.cli.main import run
from hoimg.dicom.again import read_again
from hoimg.edits import Edit, Edits
from hoimg.errors import InputRefused, UsageError
from hoimg.guidance import Guidance
from hoimg.image import CTVolume, Mask
from hoimg.measure import measure_exam
from hoimg.remeasure import remeasure_patient
from hoimg.report.saved import read_saved
from hoimg.results import Lesion, Observation, Outline, PatientResult, Report
from hoimg.settings import Settings

SECOND = (-10.0, 30.0, 143.0)
FREE = (26.0, -26.0, 161.0)
"""Muscle far from everything, LPS mm."""
METAL = (28.0, 30.0, 129.0)


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    """Voxels of the limb's grid within a radius of a point, LPS mm."""
    x, y, z = (
        GRID.origin_lps_mm[k] + GRID.spacing_zyx_mm[2 - k] * np.arange(GRID.size_zyx[2 - k])
        for k in range(3)
    )
    away = (
        (z[:, None, None] - centre[2]) ** 2
        + (y[None, :, None] - centre[1]) ** 2
        + (x[None, None, :] - centre[0]) ** 2
    )
    return away <= radius_mm**2


def scene(first_mm: float, second_mm: float, seed: int) -> CTVolume:
    """The limb with two ossifications and a piece of metal."""
    hu = limb(first_mm, seed=seed).hu.copy()
    moved = tuple(b - a for a, b in zip(CENTRE, SECOND, strict=True))
    below = depth(second_mm, moved)
    noise = np.random.default_rng(100 + seed).normal(0, 10, hu.shape)
    hu[below > 0] = (800 + noise)[below > 0]
    hu[below > 2.5] = (60 + noise)[below > 2.5]
    hu[ball(METAL, 4.0)] = 3071
    return CTVolume(hu, GRID)


@dataclass(frozen=True)
class Made:
    """A patient of three exams and the report of the run."""

    scans: Path
    folder: Path
    result: PatientResult

    @property
    def report(self) -> Report:
        return self.result.report

    @property
    def ids(self) -> list[str]:
        return [e.exam_id for e in self.report.exams]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("made")
    scans = write_exams(
        base / "scans",
        {0: scene(8.0, 7.0, 1), 100: scene(9.0, 7.5, 2), 200: scene(9.5, 8.0, 3)},
    )
    result = hoimg.analyze_patient(
        hoimg.read_patient(scans), onset=BASELINE - dt.timedelta(days=40)
    )
    hoimg.write_report(result, base / "report")
    assert [len(x.observations) for x in result.report.lesions] == [3, 3]
    return Made(scans, base / "report", result)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """The report, to be redrawn."""
    return Path(shutil.copytree(made.folder, tmp_path / "report"))


@pytest.fixture
def nothing_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise AssertionError("hoimg measure must not segment")

    monkeypatch.setattr("hoimg.segment.segment_exam", refuse)


def again(folder: Path, scans: Path) -> PatientResult:
    saved = read_saved(folder)
    grids = {e.exam_id: saved.grid(e.exam_id) for e in saved.measured}
    return remeasure_patient(saved, read_again([scans], saved.measured, grids, saved.settings))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def redraw(folder: Path, exam_id: str, change: Callable[[np.ndarray], None]) -> np.ndarray:
    """Change an exam's label map as a viewer would, with another library than hoimg's."""
    path = folder / "exams" / exam_id / "lesions.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).T.copy()  # xyz to zyx
    change(labels)
    nib.save(nib.Nifti1Image(labels.T, image.affine, image.header), path)
    return labels


def lesion_at(report: Report, exam_id: str, label: int) -> Lesion:
    (found,) = [
        x
        for x in report.lesions
        if any((o.exam_id, o.label) == (exam_id, label) for o in x.observations)
    ]
    return found


def seen(lesion: Lesion, exam_id: str) -> Observation:
    return next(o for o in lesion.observations if o.exam_id == exam_id)


def expected(
    made: Made, number: int, labels: np.ndarray, drawn: np.ndarray, bone: np.ndarray
) -> dict[int, Observation]:
    """What the stage of measuring says of a label map, beside the run's own anatomy.

    The anatomy is the one that the run had in memory, not that of the file. Of its bone, ``bone``
    is what may be left: all but what was drawn, and beside that but fainter voxels within 3 mm.
    """
    from scipy.ndimage import distance_transform_edt

    exam_id = made.ids[number]
    images = made.result.images[exam_id]
    assert images.anatomy is not None
    before, spacing = images.anatomy.skeleton.array, images.volume.grid.spacing_zyx_mm
    assert not (bone & ~before).any()
    assert not (bone & drawn).any()
    blur = before & ~bone & ~drawn
    # Voxels count whole: 3 mm are two voxels along each axis here.
    assert distance_transform_edt(~drawn, sampling=spacing)[blur].max(initial=0) <= np.linalg.norm(
        2 * np.array(spacing)
    )
    assert images.volume.hu[blur].max(initial=0) < 0.7 * images.volume.hu[drawn].max()
    measured = measure_exam(
        exam_id,
        images.volume,
        Mask(labels.astype(np.uint16), images.volume.grid),
        skeleton=Mask(bone, images.volume.grid),
        metal=images.anatomy.metal,
        body=images.anatomy.body,
        settings=Settings().measure,
        acquisition=made.report.exams[number].acquisition,
    )
    return measured.observations


def numbers(observation: Observation) -> dict[str, object]:
    return observation.model_dump(exclude={"flags"})


# Nothing redrawn


def test_untouched_label_maps_give_the_same_report_byte_for_byte(
    made, tmp_path, capsys, nothing_segments
):
    out = tmp_path / "again"
    assert run(["measure", str(made.folder), str(made.scans), "-o", str(out)]) == 0
    assert files_of(out) == files_of(made.folder)
    # The onset that the run was given is not lost.
    (r5,) = [c for c in made.report.lesions[0].maturity.criteria if c.id == "R5"]
    assert r5.value == 240
    assert made.report.onset_day == -40
    assert "L1" in capsys.readouterr().out


def test_what_a_reader_gave_to_the_run_is_kept(made, tmp_path, monkeypatch):
    """Edits, flags of guidance, a foreign tracking UID, settings: all of them come back."""
    settings = Settings.model_validate(
        {
            "measure": {"threshold_hu_120kvp": 300.0},
            "serial": {"rc_volume_floor_pct": 33.0},
            "maturity": {"rim_pass": 0.9},
        }
    )
    patient = hoimg.read_patient(made.scans, settings)
    exam_id = made.ids[1]
    rim = (SECOND[0], SECOND[1] + 6.5, SECOND[2])
    edits = Edits(edits=(Edit(action="exclude", point_lps_mm=rim, exam_id=exam_id),))
    guidance = Guidance(series_uid=patient.exams[0].series.series_uid, mask=outline(8.0))
    result = hoimg.analyze_patient(patient, settings, guidance=guidance, edits=edits)
    assert result.edits is not None
    assert [e.applied.outcome for e in result.edits.edits] == ["excluded"]
    followed = result.report.lesions[0].model_copy(update={"tracking_uid": "2.25.777"})
    report = result.report.model_copy(update={"lesions": [followed, *result.report.lesions[1:]]})
    folder = tmp_path / "run"
    links = {**result.links, "2.25.777": result.links[result.report.lesions[0].tracking_uid]}
    hoimg.write_report(
        PatientResult(report, result.images, result.settings_toml, result.edits, links=links),
        folder,
    )
    assert "outline_given" in report.lesions[0].observations[0].flags
    assert "excluded_by_reader" in {e.reason for e in report.excluded}

    monkeypatch.setattr("hoimg.segment.segment_exam", None)
    hoimg.write_report(again(folder, made.scans), tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(folder)


def test_an_exam_that_the_run_could_not_read_stays_as_it_was(tmp_path):
    scans = write_exams(tmp_path / "scans", {0: limb(8.0, seed=1), 100: limb(9.0, seed=2)})
    patient = hoimg.read_patient(scans)
    file = sorted((scans / "day100").iterdir())[7]
    file.write_bytes(file.read_bytes()[:-900])
    hoimg.write_report(hoimg.analyze_patient(patient), tmp_path / "run")
    shutil.rmtree(scans / "day100")  # nobody asks for it
    hoimg.write_report(again(tmp_path / "run", scans), tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "run")
    (lesion,) = read_saved(tmp_path / "again").report.lesions
    assert [o.status for o in lesion.observations] == ["measured", "not_measurable"]


# A reader redrew outlines


def test_a_widened_outline_gets_its_own_numbers_and_the_others_keep_theirs(
    made, copy, nothing_segments
):
    from scipy.ndimage import binary_dilation

    exam_id = made.ids[1]
    before = lesion_at(made.report, exam_id, 1)
    drawn: list[np.ndarray] = []

    def widen(labels: np.ndarray) -> None:
        wide = binary_dilation(labels == 1) & (labels != 2)
        drawn.append(wide)
        labels[wide] = 1

    labels = redraw(copy, exam_id, widen)
    result = again(copy, made.scans)
    report = result.report
    after = lesion_at(report, exam_id, 1)
    bone = result.images[exam_id].anatomy.skeleton.array
    wanted = expected(made, 1, labels, drawn[0], bone)
    assert numbers(seen(after, exam_id)) == numbers(wanted[1])
    assert numbers(seen(after, exam_id)) != numbers(seen(before, exam_id))
    assert "outline_edited" in seen(after, exam_id).flags
    assert "outline_edited" not in seen(before, exam_id).flags
    # It is still the same lesion, and the change into this exam speaks of the new outline.
    assert (after.lesion_id, after.tracking_uid) == (before.lesion_id, before.tracking_uid)
    first = seen(before, made.ids[0]).volume_mm3
    (into,) = [c for c in after.changes if (c.from_exam, c.to_exam) == tuple(made.ids[:2])]
    assert into.volume_change_pct == pytest.approx(100 * (wanted[1].volume_mm3 / first - 1))
    # A NIfTI header is not exact; the new maps lie where the pixels do, to the last digit.
    for image in result.images.values():
        assert image.lesions.grid == image.excluded.grid == image.volume.grid
    # The others, and this one's other exams.
    for name in (made.ids[0], made.ids[2]):
        assert seen(after, name) == seen(before, name)
    other = lesion_at(made.report, exam_id, 2)
    assert lesion_at(report, exam_id, 2) == other
    said = [f for e in report.exams for f in e.findings if f.code == "outlines_edited"]
    assert [f.message for f in said] == [
        f"A reader changed the label map after the run; labels: 1 (was {before.lesion_id}) redrawn."
    ]


def test_a_new_ball_is_a_new_lesion_and_takes_its_voxels_from_what_was_there(
    made, copy, nothing_segments
):
    """It is drawn over native bone and over half of a piece that was left out."""
    exam_id = made.ids[2]
    images = made.result.images[exam_id]
    left = images.excluded.array
    (piece,) = [e for e in made.report.excluded if (e.exam_id, e.label) == (exam_id, 2)]
    half = np.zeros(left.shape, bool)
    half[:, :, : int(np.argwhere(left == 2)[:, 2].mean())] = True
    shape = ball(FREE, 6.0) | (ball(METAL, 8.0) & half & (left == 2))
    shape |= images.anatomy.skeleton.array & ball((12.0, -18.0, 161.0), 8.0)

    def add(labels: np.ndarray) -> None:
        labels[shape] = 7

    labels = redraw(copy, exam_id, add)
    result = again(copy, made.scans)
    report = result.report
    new = lesion_at(report, exam_id, 7)
    bone = result.images[exam_id].anatomy.skeleton.array
    wanted = expected(made, 2, labels, shape, bone)
    assert numbers(seen(new, exam_id)) == numbers(wanted[7])
    assert "outline_given" in seen(new, exam_id).flags
    assert [c.category for c in new.changes] == ["new"]
    assert [seen(new, name).status for name in made.ids[:2]] == ["absent", "absent"]
    (rest,) = [e for e in report.excluded if (e.exam_id, e.label) == (exam_id, 2)]
    kept = int(((left == 2) & ~shape).sum())
    assert 0 < kept < int((left == 2).sum())
    assert rest.volume_mm3 == pytest.approx(kept * 2.0 * 1.6 * 1.6)
    assert rest.volume_mm3 < piece.volume_mm3
    # Its place is that of what is left, by hand; its point lies in it, for --include.
    z, y, x = np.argwhere((left == 2) & ~shape).mean(axis=0)
    (dz, dy, dx), (ox, oy, oz) = GRID.spacing_zyx_mm, GRID.origin_lps_mm
    assert rest.centroid_lps_mm == pytest.approx((ox + dx * x, oy + dy * y, oz + dz * z))
    assert np.linalg.norm(np.subtract(rest.centroid_lps_mm, piece.centroid_lps_mm)) > 1
    inside = tuple(np.rint(GRID.to_index_zyx(rest.inside_lps_mm)).astype(int))
    assert result.images[exam_id].excluded.array[inside] == 2
    assert not (result.images[exam_id].excluded.array[shape]).any()
    assert not (result.images[exam_id].anatomy.skeleton.array[shape]).any()
    kept_others = [e for e in made.report.excluded if (e.exam_id, e.label) != (exam_id, 2)]
    assert [e for e in report.excluded if (e.exam_id, e.label) != (exam_id, 2)] == kept_others


def test_a_piece_that_an_outline_covers_whole_is_not_listed_any_more(made, copy, nothing_segments):
    exam_id = made.ids[2]
    left = made.result.images[exam_id].excluded.array
    redraw(copy, exam_id, lambda labels: labels.__setitem__(left == 2, 7))
    result = again(copy, made.scans)
    assert not (result.images[exam_id].excluded.array == 2).any()
    gone = [e for e in made.report.excluded if e not in result.report.excluded]
    assert [(e.exam_id, e.label) for e in gone] == [(exam_id, 2)]
    assert [e for e in result.report.excluded if e not in made.report.excluded] == []


def test_a_removed_label_is_a_lesion_not_seen_there(made, copy, nothing_segments):
    exam_id = made.ids[1]
    before = lesion_at(made.report, exam_id, 2)

    def wipe(labels: np.ndarray) -> None:
        labels[labels == 2] = 0

    redraw(copy, exam_id, wipe)
    report = again(copy, made.scans).report
    after = lesion_at(report, made.ids[0], 2)
    assert after.tracking_uid == before.tracking_uid
    assert [o.status for o in after.observations] == ["measured", "absent", "measured"]
    (said,) = [f for e in report.exams for f in e.findings if f.code == "outlines_edited"]
    assert said.message.endswith(f"labels: 2 (was {before.lesion_id}) removed.")
    (exam,) = [e for e in report.exams if e.exam_id == exam_id]
    assert [o.label for o in exam.outlines] == [1]


def cut_in_half(labels: np.ndarray) -> None:
    z = np.argwhere(labels == 1)[:, 0]
    labels[: int(z.mean())][labels[: int(z.mean())] == 1] = 0


def test_a_lesion_that_shrank_keeps_its_tracking_uid(made, copy, nothing_segments):
    """A UID made anew would follow from the centroid, which moves with the outline."""
    before = lesion_at(made.report, made.ids[0], 1)

    redraw(copy, made.ids[0], cut_in_half)
    after = lesion_at(again(copy, made.scans).report, made.ids[0], 1)
    moved = np.subtract(
        seen(after, made.ids[0]).centroid_lps_mm, seen(before, made.ids[0]).centroid_lps_mm
    )
    assert np.linalg.norm(moved) > 2
    assert after.tracking_uid == before.tracking_uid


def test_a_lesion_that_lost_half_of_its_outline_alone_did_not_shrink(made, copy, nothing_segments):
    """The scans are compared too: the rest of it is still there."""
    redraw(copy, made.ids[2], cut_in_half)
    after = lesion_at(again(copy, made.scans).report, made.ids[2], 1)
    (into,) = [c for c in after.changes if (c.from_exam, c.to_exam) == tuple(made.ids[1:])]
    assert into.volume_change_pct < -20
    assert (into.category, into.comparable) == ("no_detectable_change", False)
    assert "change_not_in_images" in into.flags


def test_a_redrawn_report_measured_again_is_the_same_again(made, copy, tmp_path, nothing_segments):
    redraw(copy, made.ids[1], lambda labels: labels.__setitem__(ball(FREE, 6.0), 7))
    hoimg.write_report(again(copy, made.scans), tmp_path / "second")
    hoimg.write_report(again(tmp_path / "second", made.scans), tmp_path / "third")
    assert files_of(tmp_path / "third") == files_of(tmp_path / "second")


def test_flags_of_the_old_shape_go_and_those_of_its_origin_stay():
    from hoimg.outlines import Redrawn
    from hoimg.remeasure import _flags

    then = [
        Outline(label=1, flags=["attached_to_bone", "included_by_reader"], sha256="a"),
        Outline(label=2, flags=["attached_to_bone"], sha256="b"),
        Outline(label=3, flags=["from_seed", "outline_edited"], sha256="c"),
        Outline(label=4, flags=[], sha256="d"),
    ]
    assert _flags(then, Redrawn(changed=(1, 3), new=(9,), removed=(4,))) == {
        1: ["included_by_reader", "outline_edited"],
        2: ["attached_to_bone"],
        3: ["from_seed", "outline_edited"],
        9: ["outline_given"],
    }


# What is refused


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run(["measure", *words])
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if "Reading" not in line and "Measuring" not in line]
    assert out == ""
    assert len(lines) == 1
    return code, lines[0]


def test_a_lacking_series_is_named_with_its_exam(made, copy, tmp_path, capsys):
    (tmp_path / "part").mkdir()
    for day in ("day0", "day200"):
        (tmp_path / "part" / day).symlink_to(made.scans / day)
    words = [str(copy), *(str(tmp_path / "part" / d) for d in ("day0", "day200"))]
    code, said = refused([*words, "-o", str(tmp_path / "out")], capsys)
    assert code == 2
    assert made.ids[1] in said
    assert made.report.exams[1].series_instance_uid in said
    assert not (tmp_path / "out").exists()


def test_series_that_lost_a_slice_is_refused(made, copy, tmp_path, capsys):
    scans = Path(shutil.copytree(made.scans, tmp_path / "scans"))
    sorted((scans / "day100").iterdir())[20].unlink()
    code, said = refused([str(copy), str(scans), "-o", str(tmp_path / "out")], capsys)
    assert code == 3
    assert made.ids[1] in said
    assert "missing_slices" in said


def test_the_report_itself_is_no_place_for_the_new_one(made, copy, capsys):
    before = files_of(copy)
    for name in (copy, copy / "exams" / ".."):
        code, said = refused([str(copy / "report.json"), str(made.scans), "-o", str(name)], capsys)
        assert code == 2
        assert "another folder" in said
    assert files_of(copy) == before


def edit_file(folder: Path, *edits: Edit) -> None:
    (folder / "edits.json").write_text(Edits(edits=edits).text(), encoding="utf-8")


def test_edits_made_since_are_honoured_exam_by_exam(made, copy, tmp_path, nothing_segments):
    """One lesion left out at one date, another relabelled; the rest is as it was, to the digit."""
    first, second = made.report.lesions
    exam = made.ids[1]
    edit_file(
        copy,
        Edit(action="exclude", point_lps_mm=seen(first, exam).centroid_lps_mm, exam_id=exam),
        Edit(
            action="relabel",
            point_lps_mm=seen(second, exam).centroid_lps_mm,
            label="mature",
            exam_id=exam,
        ),
        Edit(action="note", point_lps_mm=(0.0, 0.0, 999.0), exam_id=exam),
        Edit(action="note", point_lps_mm=(0.0, 0.0, 0.0), exam_id="day9999"),
    )
    # The shells' centroids lie in marrow, which the label map fills.
    result = again(copy, made.scans)
    report = result.report
    assert [e.outcome for e in report.reader] == ["excluded", "noted", "no_effect", None]
    one, two = report.lesions
    assert seen(one, exam).status == "absent"
    assert seen(one, made.ids[0]).volume_mm3 == seen(first, made.ids[0]).volume_mm3
    assert (two.reader_label, two.maturity.label) == ("mature", second.maturity.label)
    assert [o.volume_mm3 for o in two.observations] == [o.volume_mm3 for o in second.observations]
    codes = [f.code for e in report.exams for f in e.findings]
    assert codes.count("edit_hits_nothing") == codes.count("edits_of_other_exams") == 1


def test_a_correction_that_the_maps_hold_cannot_be_dropped_from_the_file(made, copy, tmp_path):
    exam = made.ids[1]
    place = seen(made.report.lesions[0], exam).centroid_lps_mm
    edit_file(copy, Edit(action="exclude", point_lps_mm=place, exam_id=exam))
    hoimg.write_report(again(copy, made.scans), tmp_path / "new")
    read_saved(tmp_path / "new")
    edit_file(tmp_path / "new")
    with pytest.raises(UsageError, match="lacks a correction"):
        read_saved(tmp_path / "new")


@pytest.mark.parametrize("name", ["report.json", "settings.toml", "excluded", "anatomy"])
def test_files_other_than_lesions_must_be_as_they_were_written(made, copy, tmp_path, capsys, name):
    path = copy / name
    if not path.suffix:
        path = copy / "exams" / made.ids[0] / f"{name}.nii.gz"
    path.write_bytes(path.read_bytes() + b"\n")
    words = [str(copy), str(made.scans), "-o", str(tmp_path / "out")]
    code, said = refused(words, capsys)
    assert code == 2
    assert path.name in said
    assert "changed since" in said
    path.unlink()
    code, said = refused(words, capsys)
    assert (code, path.name in said) == (2, True)


def test_a_label_map_on_other_voxels_is_refused(made, copy, tmp_path, capsys):
    path = copy / "exams" / made.ids[0] / "lesions.nii.gz"
    image = nib.load(path)
    affine = image.affine.copy()
    affine[2, 3] += 2.0  # one slice away
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    code, said = refused([str(copy), str(made.scans), "-o", str(tmp_path / "out")], capsys)
    assert code == 3
    assert "lesions.nii.gz" in said
    assert "other voxels" in said


def test_a_report_without_anatomy_or_manifest_is_told_to_be_made_again(made, tmp_path, capsys):
    images = {k: replace(v, anatomy=None) for k, v in made.result.images.items()}
    hoimg.write_report(replace(made.result, images=images), tmp_path / "old")
    assert not list((tmp_path / "old").rglob("anatomy.nii.gz"))
    words = [str(tmp_path / "old"), str(made.scans), "-o", str(tmp_path / "out")]
    code, said = refused(words, capsys)
    assert code == 2
    assert "make it again" in said
    assert made.ids[0] in said
    (tmp_path / "old" / "manifest.json").unlink()
    code, said = refused(words, capsys)
    assert code == 2
    assert "manifest.json" in said


def test_a_report_without_any_label_map_has_nothing_to_measure(made, tmp_path, capsys):
    hoimg.write_report(replace(made.result, images={}), tmp_path / "bare")
    words = [str(tmp_path / "bare"), str(made.scans), "-o", str(tmp_path / "out")]
    code, said = refused(words, capsys)
    assert code == 2
    assert "no exam" in said


def test_another_version_is_said(made, tmp_path, capsys):
    old = made.report.model_copy(update={"software": "hoimg 0.0.1"})
    hoimg.write_report(replace(made.result, report=old), tmp_path / "old")
    words = [str(tmp_path / "old"), str(made.scans), "-q", "-o", str(tmp_path / "out")]
    assert run(["measure", *words]) == 0
    assert "made by hoimg 0.0.1" in capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["software"] == f"hoimg {hoimg.__version__}"


def test_what_was_redrawn_is_said_on_the_terminal(made, copy, tmp_path, capsys):
    redraw(copy, made.ids[1], lambda labels: labels.__setitem__(ball(FREE, 6.0), 7))
    words = [str(copy), str(made.scans), "-o", str(tmp_path / "out")]
    assert run(["measure", *words]) == 0
    assert f"hoimg: {made.ids[1]}: A reader changed" in capsys.readouterr().err
    assert "7 new" in (tmp_path / "out" / "report.json").read_text()
    # Measured again, untouched, it is no news; redrawn once more it is, in the same words too.
    words = [str(tmp_path / "out"), str(made.scans), "-o", str(tmp_path / "third")]
    assert run(["measure", *words]) == 0
    assert "A reader changed" not in capsys.readouterr().err
    assert "7 new" in (tmp_path / "third" / "report.json").read_text()
    for radius, name in ((5.0, "fourth"), (4.0, "fifth")):
        words[0] = words[-1]
        words[-1] = str(tmp_path / name)

        def smaller(labels: np.ndarray, radius: float = radius) -> None:
            labels[(labels == 7) & ~ball(FREE, radius)] = 0

        redraw(Path(words[0]), made.ids[1], smaller)
        assert run(["measure", *words]) == 0
        assert capsys.readouterr().err.count("A reader changed") == 1


def test_a_stale_word_about_dicom_objects_goes_when_they_can_be_written(made, tmp_path):
    """The run could not write them (its sources were gone); measuring again can."""
    gone = {
        k: replace(v, source_files=(tmp_path / "gone.dcm",)) for k, v in made.result.images.items()
    }
    hoimg.write_report(replace(made.result, images=gone), tmp_path / "run")
    said = (tmp_path / "run" / "report.json").read_text()
    assert said.count("were not written") == 3
    saved = read_saved(tmp_path / "run")
    assert [e.findings for e in saved.report.exams] == [e.findings for e in made.report.exams]
    hoimg.write_report(again(tmp_path / "run", made.scans), tmp_path / "again")
    assert "were not written" not in (tmp_path / "again" / "report.json").read_text()
    assert len(list((tmp_path / "again").rglob("lesions.seg.dcm"))) == 3


def test_pixels_that_cannot_be_read_any_more_stop_it(made, tmp_path):
    scans = Path(shutil.copytree(made.scans, tmp_path / "scans"))
    saved = read_saved(made.folder)
    grids = {e.exam_id: saved.grid(e.exam_id) for e in saved.measured}
    exams = read_again([scans], saved.measured, grids, saved.settings)
    file = sorted((scans / "day100").iterdir())[7]
    file.write_bytes(file.read_bytes()[:-900])
    with pytest.raises(InputRefused, match="day100"):
        remeasure_patient(saved, exams)


def test_a_missing_folder_is_a_usage_error(made, tmp_path):
    saved = read_saved(made.folder)
    grids = {e.exam_id: saved.grid(e.exam_id) for e in saved.measured}
    with pytest.raises(UsageError):
        read_again([tmp_path / "nowhere"], saved.measured, grids)


def test_a_volume_on_other_voxels_than_the_maps_is_refused(made, tmp_path):
    """The maps are those of another exam's grid, hashes and all."""
    from hoimg.geometry import Grid
    from hoimg.remeasure import segmented_before

    saved = read_saved(made.folder)
    moved = Grid(GRID.size_zyx, GRID.spacing_zyx_mm, (0.0, 0.0, 0.0))
    with pytest.raises(InputRefused, match=made.ids[0]):
        segmented_before(saved, made.ids[0], CTVolume(np.zeros(GRID.size_zyx, np.int16), moved))
