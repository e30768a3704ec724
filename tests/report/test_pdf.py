"""``report.pdf`` is an extra: made where a browser is, and never at the report's cost."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from synthetic_report import patient

from hoimg.cli.main import run
from hoimg.errors import PdfNotMade, UsageError
from hoimg.report import files, write_report
from hoimg.report.pdf import add_pdf

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_report(patient(), folder)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "report"))


@pytest.fixture
def only_program(tmp_path, monkeypatch):
    """The PATH holds one browser, which does as it is told; None: it holds none."""

    def make(script: str | None) -> None:
        place = tmp_path / "bin"
        place.mkdir()
        if script is not None:
            program = place / "chromium"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}{os.pathsep}/bin" if script else str(place))

    return make


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_disk_that_is_full_leaves_the_manifest_as_it_was(folder, only_program, monkeypatch):
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    only_program(
        'for word; do case "$word" in --print-to-pdf=*) printf %%PDF- > "${word#*=}";; esac; done'
    )
    before = (folder / "manifest.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            add_pdf(folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert not list(folder.glob(".hoimg-*"))


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "exec sleep 60"])
def test_a_browser_that_fails_costs_nothing(folder, only_program, monkeypatch, script):
    from hoimg.report import pdf

    monkeypatch.setattr(pdf, "SECONDS", 0.5)
    only_program(script)
    before = snapshot(folder)
    with pytest.raises(PdfNotMade, match="did not print"):
        add_pdf(folder)
    assert snapshot(folder) == before


def test_the_command_says_what_is_missing_and_the_report_stands(
    tmp_path, only_program, monkeypatch, sample_data, capsys
):
    only_program(None)
    monkeypatch.setattr("hoimg.pipeline.analyze_patient", lambda *a, **k: patient())
    out = tmp_path / "out"
    assert run(["report", str(sample_data / "patient"), "-o", str(out), "--pdf", "-q"]) == 1
    err = capsys.readouterr().err
    assert "no Chromium, Chrome or Edge was found" in err
    assert (out / "report.html").is_file()
    assert (out / "manifest.json").is_file()
    assert not (out / "report.pdf").exists()


def test_the_printed_page_is_legible_named_in_the_manifest_and_repeats(folder):
    pypdf = pytest.importorskip("pypdf")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on this machine: scripts/system-packages.sh chromium=chromium")
    names = set(snapshot(folder))
    target = add_pdf(folder)
    assert set(snapshot(folder)) == names | {"report.pdf"}
    pages = [page.extract_text().replace("\n", " ") for page in pypdf.PdfReader(target).pages]
    assert "1 immature, 1 indeterminate and 1 mature on imaging" in pages[0]
    # Three lesions at four dates; on the layout of a phone they took 31 pages.
    assert len(pages) <= 12
    whole = " ".join(pages)
    for said in ("Lesion L3", "Criteria", "Numbers per exam", "Methods in short", "Acquisition"):
        assert said in whole
    entries = json.loads((folder / "manifest.json").read_text())["files"]
    assert [e["path"] for e in entries] == sorted(e["path"] for e in entries)
    assert [e["sha256"] for e in entries if e["path"] == "report.pdf"] == [files.sha256(target)]
    once = snapshot(folder)
    add_pdf(folder)
    assert snapshot(folder) == once
    # A new page without a print takes the old print away, and a foreign one stays.
    write_report(patient(), folder)
    assert not target.exists()
    target.write_bytes(b"%PDF- of somebody else")
    write_report(patient(), folder)
    with pytest.raises(UsageError, match="was not written by hoimg"):
        add_pdf(folder)
    assert target.read_bytes() == b"%PDF- of somebody else"
