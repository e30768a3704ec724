"""What the user names: messy trees, links, archives, discs, lists on standard input."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from synthetic_ct import noise, write_ct, write_slice
from typer import Context, Typer
from typer.testing import CliRunner

import hoimg.dicom.files as files_module
from hoimg.cli.info import info
from hoimg.cli.paths import named_paths
from hoimg.dicom import Inventory, load_volume, open_sources, read_patient, scan
from hoimg.dicom.files import list_files
from hoimg.errors import InputRefused, UsageError
from hoimg.settings import IntakeSettings, Settings


def codes(inventory: Inventory) -> list[str]:
    return [f.code for f in inventory.findings]


def intake(**limits: object) -> Settings:
    return Settings(intake=IntakeSettings(**limits))


def zip_of(target: Path, folder: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, str(file.relative_to(folder)))
    return target


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch) -> Path:
    """A temporary folder of the test's own, to see what is left behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def dig(folder: Path, name: str, depth: int) -> None:
    """Folders within folders, made one by one: the whole path may be too long to name."""
    here = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            Path(name).mkdir()
            os.chdir(name)
        if depth * len(name) < 4000:
            write_slice(Path("deep"), noise()[0], (0, 0, 0))
    finally:
        os.chdir(here)


@pytest.fixture
def pit(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed afterwards without recursion, which pytest's own removal uses."""
    folder = tmp_path / "pit"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


# ---------------------------------------------------------------- trees


def test_links_count_once_and_loops_lead_nowhere(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    real = write_ct(tree / "b")
    outside = write_ct(tmp_path / "elsewhere", study="1.2.9", series="1.2.9.1")
    (tree / "a").mkdir()
    (tree / "a" / "link to a file").symlink_to(real[0])
    (tree / "a" / "link of a link").symlink_to(tree / "a" / "link to a file")
    (tree / "a" / "link out").symlink_to(outside[0])
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "a" / "self").symlink_to(tree / "a" / "self")
    (tree / "a" / "gone").symlink_to(tmp_path / "gone")
    listing = list_files([tree, tree / "a", real[0]])
    # the path that is no link is told, whichever came first
    assert set(listing.files) == {*real, tree / "a" / "link out"}
    assert listing.named == {real[0]}
    assert listing.closed_folders == 0
    (tmp_path / "door").symlink_to(tree)
    assert len(list_files([tmp_path / "door"]).files) == 7  # a named link is followed


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list_files([tmp_path]).files == ()
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        scan(tmp_path / "pipe")


def test_a_pipe_that_takes_a_files_place_does_not_hang(tmp_path: Path) -> None:
    write_ct(tmp_path)
    with open_sources(tmp_path) as sources:
        victim = sources.files[0]
        victim.unlink()
        os.mkfifo(victim)
        assert scan(sources).files_skipped == 1


def test_a_file_that_vanishes_is_damaged_not_a_crash(tmp_path: Path) -> None:
    write_ct(tmp_path)
    with open_sources(tmp_path) as sources:
        sources.files[0].unlink()
        assert scan(sources).unreadable == (sources.files[0],)


def test_folders_that_stay_shut_are_told(tmp_path: Path, monkeypatch) -> None:
    write_ct(tmp_path / "open")
    write_ct(tmp_path / "shut", study="1.2.9", series="1.2.9.1")
    true_scandir = os.scandir

    def scandir(path: str):  # the tests may run as root, whom no permission stops
        if str(path).endswith("shut"):
            raise PermissionError(13, "no")
        return true_scandir(path)

    monkeypatch.setattr(files_module.os, "scandir", scandir)
    inventory = scan(tmp_path)
    assert codes(inventory) == ["closed_folders"]
    assert "1 folder(s)" in inventory.findings[0].message
    assert str(tmp_path) not in inventory.findings[0].message
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path / "shut")
    assert caught.value.code == "closed_folders"


def test_deep_and_odd_names(tmp_path: Path, pit: Path) -> None:
    dig(pit, "d", 1000)  # deeper than Python recurs
    write_ct(tmp_path / "ünï\u2028cödé \U0001f9b4", series="1.2.5")
    odd = tmp_path / os.fsdecode(b"not \xff utf-8")
    write_slice(tmp_path / "x", noise()[1], (0, 0, 1), number=2).rename(odd)
    inventory = scan(tmp_path)
    assert inventory.files_seen == 8
    assert inventory.unreadable == ()
    deep = pit.joinpath(*["d"] * 1000, "deep")
    assert deep in inventory.series[0].files + inventory.series[1].files


def test_paths_too_long_for_the_system_are_told(tmp_path: Path, pit: Path) -> None:
    dig(pit, "d" * 200, 30)
    assert codes(scan(tmp_path)) == ["closed_folders"]


# ---------------------------------------------------------------- archives


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_reads_like_its_folder(tmp_path: Path, temporary: Path, compression) -> None:
    folder = tmp_path / "scan"
    write_ct(folder / "deep" / "er")
    (folder / "notes.txt").write_text("clutter")
    expected = load_volume(read_patient(folder).exams[0]).hu
    archive = zip_of(tmp_path / "exam.zip", folder, compression)
    shutil.copy(archive, tmp_path / "no suffix")
    with open_sources(archive) as sources:
        patient = read_patient(sources)
        inside = patient.exams[0].series.files[0]
        assert inside.is_relative_to(temporary)
        assert "er" not in inside.parts
        assert (load_volume(patient.exams[0]).hu == expected).all()
        assert oct(inside.parents[1].stat().st_mode)[-3:] == "700"
    assert list(temporary.iterdir()) == []
    # found in a tree, by its content
    (tmp_path / "tree").mkdir()
    shutil.move(tmp_path / "no suffix", tmp_path / "tree" / "a")
    with open_sources(tmp_path / "tree") as sources:
        assert read_patient(sources).exams[0].acquisition.size_zyx == (6, 10, 12)


def test_what_plain_paths_unpack_goes_with_the_process(tmp_path: Path) -> None:
    write_ct(tmp_path / "scan")
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "scan")
    (tmp_path / "tmp").mkdir()
    code = (
        "import sys; from pathlib import Path; from hoimg.dicom import *; "
        "p = read_patient(Path(sys.argv[1])); load_volume(p.exams[0]); "
        "print(p.exams[0].series.files[0].exists())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(archive)],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "True\n"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")  # of zipfile: it cuts at the NUL
@pytest.mark.parametrize(
    "name", ["../../evil", "/abs/evil", "C:\\evil", "a\0b", "x" * 60_000, "ok\u202egnp.exe", ".."]
)
def test_names_in_an_archive_are_never_used(tmp_path: Path, temporary: Path, name: str) -> None:
    files = write_ct(tmp_path / "scan")
    archive = tmp_path / "slip.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for k, file in enumerate(files):
            opened.writestr(f"{name}{k}", file.read_bytes())
    before = sorted(p for p in tmp_path.rglob("*") if temporary not in p.parents)
    with open_sources(archive) as sources:
        inventory = scan(sources)
        assert len(inventory.series[0].files) == 6
        for file in inventory.series[0].files:
            assert file.is_relative_to(temporary)
            assert file.name.isdigit()
            assert str(archive) in inventory.origins[file]
    assert sorted(p for p in tmp_path.rglob("*") if temporary not in p.parents) == before


def bomb(path: Path, megabytes: int, head: bytes = b"") -> Path:
    """A member that starts like DICOM and inflates a thousandfold."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("image", "w") as member:
            member.write(head or bytes(128) + b"DICM")
            for _ in range(megabytes):
                member.write(bytes(2**20))
        archive.writestr("after", b"x")
    return path


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, temporary: Path) -> None:
    archive = bomb(tmp_path / "bomb.zip", 18)
    with open_sources(archive) as sources:
        inventory = scan(sources)
        assert codes(inventory) == ["archive_limits"]
        assert "200 times its size" in inventory.findings[0].message
        # the half-written member is gone
        assert [p for p in temporary.rglob("*") if p.is_file()] == []
    with open_sources(archive, intake(zip_max_ratio=2000)) as sources:
        assert "archive_limits" not in codes(scan(sources))


def test_the_bytes_of_all_archives_together_are_bounded(tmp_path: Path, temporary: Path) -> None:
    for k in range(3):
        write_ct(tmp_path / "in" / f"{k}", series=f"1.2.{k}", study=f"1.3.{k}")
        zip_of(tmp_path / f"{k}.zip", tmp_path / "in" / f"{k}")
    size = sum(f.stat().st_size for f in (tmp_path / "in" / "0").iterdir())
    paths = [tmp_path / f"{k}.zip" for k in range(3)]
    with open_sources(paths, intake(zip_max_bytes=3 * size)) as sources:
        inventory = scan(sources)
        assert codes(inventory) == []
        assert len(inventory.series) == 3
    with open_sources(paths, intake(zip_max_bytes=3 * size - 1)) as sources:
        inventory = scan(sources)
        assert codes(inventory) == ["archive_limits"]
        written = sum(p.stat().st_size for p in temporary.rglob("*") if p.is_file())
        assert written < 3 * size


def test_archives_within_archives(tmp_path: Path) -> None:
    inner = tmp_path / "0"
    write_ct(inner)
    for level in range(1, 5):
        box = tmp_path / f"{level}"
        box.mkdir()
        inner = zip_of(box / "packed", inner).parent
    three, four = tmp_path / "3" / "packed", tmp_path / "4" / "packed"
    with open_sources(three) as sources:
        inventory = scan(sources)
        assert (codes(inventory), len(inventory.series)) == ([], 1)
    with open_sources(four) as sources:
        inventory = scan(sources)
        assert (codes(inventory), inventory.series) == (["archive_limits"], ())
        assert "nested deeper" in inventory.findings[0].message


def test_an_archive_that_holds_itself_ends(tmp_path: Path) -> None:
    # a quine cannot be written here in short; a chain of boxes in boxes ends the same way
    content = b""
    for _ in range(50):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("again", content)
        content = buffer.getvalue()
    (tmp_path / "chain.zip").write_bytes(content)
    with open_sources(tmp_path) as sources:
        assert codes(scan(sources)) == ["archive_limits"]


def test_too_many_members(tmp_path: Path) -> None:
    for count, expected in ((20, []), (21, ["archive_limits"])):
        path = tmp_path / f"{count}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for k in range(count):
                archive.writestr(f"{k}", b"")
        with open_sources(path, intake(zip_max_members=20)) as sources:
            assert codes(scan(sources)) == expected


def test_a_long_directory_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "long.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(20):
            archive.writestr("n" * 400 + f"{k}", b"")

    def never(*_: object) -> None:
        raise AssertionError("the directory was read")

    monkeypatch.setattr("hoimg.dicom.archive.zipfile.ZipFile", never)
    with open_sources(path, intake(zip_max_members=20)) as sources:
        assert codes(scan(sources)) == ["archive_limits"]


def test_a_zip64_archive_is_read(tmp_path: Path, monkeypatch) -> None:
    write_ct(tmp_path / "scan")
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    archive = zip_of(tmp_path / "big.zip", tmp_path / "scan")
    monkeypatch.undo()
    assert b"PK\x06\x06" in archive.read_bytes()
    with open_sources(archive) as sources:
        assert len(scan(sources).series[0].files) == 6
    with open_sources(archive, intake(zip_max_members=1)) as sources:
        assert codes(scan(sources)) == ["archive_limits"]


def test_encrypted_damaged_and_unusual_archives(tmp_path: Path) -> None:
    write_ct(tmp_path / "scan")
    good = zip_of(tmp_path / "good.zip", tmp_path / "scan").read_bytes()
    locked = bytearray(good)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := locked.find(mark, at + 1)) >= 0:
            locked[at + flags] |= 1
    shaken = bytearray(good)
    shaken[200:260] = bytes(60)  # within the first member
    cases = {
        "locked": (bytes(locked), "archive_encrypted", 0),
        "cut": (good[: len(good) // 2], "archive_damaged", 0),
        "shaken": (bytes(shaken), "archive_damaged", 5),
        "no end": (good[:-10], "archive_damaged", 0),
        "only a start": (b"PK\x03\x04", "archive_damaged", 0),
    }
    for name, (content, code, images) in cases.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        with open_sources(path) as sources:
            inventory = scan(sources)
            assert codes(inventory) == [code], name
            assert sum(len(s.files) for s in inventory.series) == images, name
            assert str(tmp_path) not in inventory.findings[0].message
    packed = zip_of(tmp_path / "bz.zip", tmp_path / "scan", zipfile.ZIP_BZIP2)
    with pytest.raises(InputRefused) as caught:
        read_patient(packed)
    assert caught.value.code == "archive_damaged"
    assert str(packed) in str(caught.value)


def test_other_zips_of_a_tree_are_clutter(tmp_path: Path, temporary: Path) -> None:
    write_ct(tmp_path / "scan")
    with zipfile.ZipFile(tmp_path / "letter.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with open_sources([tmp_path / "scan", tmp_path / "letter.docx", tmp_path / "empty.zip"]) as s:
        assert codes(scan(s)) == []
        assert list(temporary.iterdir()) == []


def test_a_full_disk_is_a_finding(tmp_path: Path, monkeypatch) -> None:
    write_ct(tmp_path / "scan")
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "scan")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hoimg.dicom.archive._write", full)
    with open_sources(archive) as sources:
        assert codes(scan(sources)) == ["archive_damaged"]


def test_a_damaged_file_of_an_archive_is_named_by_archive_and_number(tmp_path: Path) -> None:
    files = write_ct(tmp_path / "scan")
    for file in files:
        file.write_bytes(file.read_bytes()[:-50])
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "scan")
    with open_sources(archive) as sources, pytest.raises(InputRefused) as caught:
        read_patient(sources)
    assert f"{archive} (file " in str(caught.value)


def test_a_forked_worker_does_not_remove_what_its_parent_unpacked(tmp_path: Path) -> None:
    write_ct(tmp_path / "scan")
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "scan")
    with open_sources(archive) as sources:
        file = scan(sources).series[0].files[0]
        sources._owner += 1  # as the object looks from a forked worker
        folder = sources._folder
        sources.close()
        assert file.exists()
    assert folder is not None
    shutil.rmtree(folder)


# ---------------------------------------------------------------- discs


def dicomdir(path: Path, names: list[object]) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    ds.FileSetID = "DISC"
    records = []
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        if name is not None:
            record.ReferencedFileID = name
        records.append(record)
    ds.DirectoryRecordSequence = records
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_named_dicomdir_leads_to_its_own_files_only(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    files = write_ct(disc / "DICOM" / "ST0")
    write_ct(disc / "unlisted", study="1.2.9", series="1.2.9.1")
    write_ct(tmp_path / "secret", study="1.2.8", series="1.2.8.1")
    secret = next((tmp_path / "secret").iterdir())
    (disc / "LINK").symlink_to(secret)
    names: list[object] = [None, *(["dicom", "st0", f.name.upper() + ";1"] for f in files)]
    names += [["DICOM", "ST0", files[0].name]]  # twice
    evil: list[object] = [
        ["..", "secret", secret.name], [str(secret)], f"../secret/{secret.name}", ["LINK"],
        ["DICOM", ".", "ST0"], ["C:", "x"], ["x" * 10_000], ["d"] * 40, ["a\x01b"],
    ]  # fmt: skip
    path = dicomdir(disc / "DICOMDIR", names + evil + [["DICOM", "ST0", "GONE"]])
    inventory = scan(path)
    assert [s.study_uid for s in inventory.series] == [scan(files[0]).series[0].study_uid]
    assert set(inventory.series[0].files) == set(files)
    said = {f.code: f.message for f in inventory.findings}
    assert set(said) == {"dicomdir_missing_files", "dicomdir_refused"}
    assert said["dicomdir_refused"].startswith(f"{len(evil)} name(s)")
    assert said["dicomdir_missing_files"].startswith("1 file(s)")
    # found in its folder it is skipped: the files are there anyway
    walked = scan(disc)
    assert len(walked.series) == 3  # LINK is a link of the tree, not a name of the disc
    assert walked.files_skipped == 1


def test_nul_in_a_dicomdir_is_no_name(tmp_path: Path) -> None:
    write_ct(tmp_path)
    path = dicomdir(tmp_path / "DICOMDIR", [["AB"]])
    path.write_bytes(path.read_bytes().replace(b"AB", b"A\0"))
    assert scan(path).series == ()
    path = dicomdir(tmp_path / "DICOMDIR", [["ABCD"]])
    path.write_bytes(path.read_bytes().replace(b"ABCD", b"A\0CD"))
    assert codes(scan(path)) == ["dicomdir_refused"]


def test_a_damaged_or_huge_dicomdir_is_refused(tmp_path: Path, monkeypatch) -> None:
    write_ct(tmp_path)
    path = dicomdir(tmp_path / "DICOMDIR", [["A"]] * 50)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputRefused) as caught:
        read_patient(path)
    assert caught.value.code in ("dicomdir_damaged", "dicomdir_missing_files")
    path.write_bytes(content)
    monkeypatch.setattr("hoimg.dicom.media.MAX_DICOMDIR", 1000)
    with pytest.raises(InputRefused) as caught:
        read_patient(path)
    assert caught.value.code == "dicomdir_damaged"


def test_the_disc_that_pydicom_brings(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    path = Path(str(get_testdata_file("DICOMDIR")))
    listed = {
        Path(path.parent, *r.ReferencedFileID)
        for r in dcmread(path).DirectoryRecordSequence
        if "ReferencedFileID" in r
    }
    with open_sources(path) as sources:
        assert set(sources.expand_dicomdir(path)) == {p for p in listed if p.exists()}
    assert scan(path).series


# ---------------------------------------------------------------- volume files, lists of paths


def test_volume_files_beside_dicom_wait_to_be_named(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    write_ct(tmp_path / "scan")
    values = np.random.default_rng(0).integers(-1000, 500, (8, 8, 8)).astype(np.int16)
    volume = tmp_path / "scan" / "copy.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1, 1, 1])), volume)
    inventory = scan(tmp_path)
    assert codes(inventory) == ["volume_files_aside"]
    assert [s.source for s in inventory.series] == ["dicom"]
    both = scan([tmp_path, volume])
    assert sorted(s.source for s in both.series) == ["dicom", "nifti"]
    (tmp_path / "alone").mkdir()
    shutil.move(volume, tmp_path / "alone")
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "alone")
    for path in (tmp_path / "alone", archive):
        with open_sources(path) as sources:
            assert [s.source for s in scan(sources).series] == ["nifti"]
    (tmp_path / "alone" / "bad.nii").write_bytes(b"")
    assert scan(tmp_path / "alone").series  # the bad one does not stop the good one


def test_paths_come_from_standard_input() -> None:
    for text in ("a b\n\nc\n", "a b\r\nc", "a b\0c\0"):
        assert named_paths([Path("-"), Path("d")], io.StringIO(text)) == [
            Path("a b"),
            Path("c"),
            Path("d"),
        ]
    assert named_paths([Path("-")], io.StringIO("x\ny\0")) == [Path("x\ny")]
    assert named_paths([Path("./-x")]) == [Path("-x")]
    with pytest.raises(UsageError, match="once only"):
        named_paths([Path("-"), Path("-")], io.StringIO("a"))
    with pytest.raises(UsageError, match="no paths"):
        named_paths([Path("-")], io.StringIO(" \n"))


def test_a_list_without_end_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("hoimg.cli.paths.MAX_LIST", 100)
    with pytest.raises(UsageError, match="too long"):
        named_paths([Path("-")], io.StringIO("x" * 101))


def test_info_takes_archives_and_lists(tmp_path: Path, temporary: Path) -> None:
    app = Typer()
    app.command("info")(info)

    @app.callback()
    def _root(ctx: Context) -> None:
        pass

    write_ct(tmp_path / "scan")
    archive = zip_of(tmp_path / "exam.zip", tmp_path / "scan")
    result = CliRunner().invoke(app, ["info", "-"], input=f"{archive}\n")
    assert result.exit_code == 0
    assert "the only usable CT series" in result.stdout
    assert list(temporary.iterdir()) == []


def test_deflated_members_are_counted_as_they_inflate(tmp_path: Path) -> None:
    # the directory claims 10 bytes; what comes out is counted, not what is claimed
    archive = bomb(tmp_path / "liar.zip", 18)
    content = bytearray(archive.read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(bytes(content))
    with open_sources(archive) as sources:
        assert set(codes(scan(sources))) <= {
            "archive_limits",
            "archive_damaged",
            "unreadable_files",
        }
        assert sources._budget.left > sources.settings.zip_max_bytes - 18 * 2**20
