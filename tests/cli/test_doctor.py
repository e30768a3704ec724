"""doctor finds what is missing on a machine."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import socket
import sys
import tomllib
from pathlib import Path

import pytest

from hoimg.cli import doctor as module
from hoimg.cli.main import run
from hoimg.decoding.codecs import NAMES
from hoimg.errors import HoimgError


@pytest.fixture
def no_dask(monkeypatch):
    """Starting a worker takes seconds; one test does it."""
    monkeypatch.setattr(module, "_dask", lambda _problems: None)


def test_this_machine_is_ready(capsys, tmp_path):
    assert run(["doctor", "-o", str(tmp_path / "not" / "yet" / "there")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "ready"
    assert "none" not in out
    assert f"GB at {tmp_path}" in out
    assert re.search(r"^Dask worker +starts", out, re.MULTILINE)
    assert re.search(r"^cores +\d+ of \d+$", out, re.MULTILINE)
    assert re.search(r"^OMP_NUM_THREADS ", out, re.MULTILINE)
    browser = shutil.which("chromium") or "not installed"
    assert re.search(rf"^browser for --pdf +{browser}", out, re.MULTILINE)
    for name in (*module.LIBRARIES, *NAMES.values(), "deflated"):
        assert name in out


@pytest.mark.parametrize("name", ["python-gdcm", "pydicom"])
def test_a_library_that_is_missing_is_named(capsys, monkeypatch, name, no_dask):
    real = importlib.metadata.version

    def version(wanted: str) -> str:
        if wanted == name:
            raise importlib.metadata.PackageNotFoundError(wanted)
        return real(wanted)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert run(["doctor"]) == 1
    assert f"PROBLEM  {name} is not installed" in capsys.readouterr().out


def test_pixels_that_cannot_be_decoded_are_named(capsys, monkeypatch, no_dask):
    monkeypatch.setitem(sys.modules, "jpeg_ls", None)
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    said = "JPEG-LS lossless pixels (1.2.840.10008.1.2.4.80) cannot be decoded: install pyjpegls"
    assert said in out
    assert "JPEG 2000 pixels" not in out


@pytest.mark.parametrize(("free_gb", "code"), [(4.0, 0), (3.99, 1)])
def test_little_disk_is_told(capsys, monkeypatch, free_gb, code, no_dask):
    real = shutil.disk_usage

    def usage(path):
        total, used, _free = real(path)
        return type(real(path))(total, used, int(free_gb * 1e9))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(module, "_free_memory_gb", lambda: None)
    assert run(["doctor"]) == code
    assert ("of disk are free" in capsys.readouterr().out) == (code == 1)


def test_free_memory_is_read_in_kibibytes(tmp_path, capsys, monkeypatch, no_dask):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2000000 kB\n")
    none = tmp_path / "absent"
    assert module._free_memory_gb(meminfo, none) == pytest.approx(2.048)
    meminfo.write_text("MemTotal: 9 kB\n")
    assert module._free_memory_gb(meminfo, none) is None
    assert module._free_memory_gb(none, none) is None
    monkeypatch.setattr(module, "_free_memory_gb", lambda: 1.0)
    assert run(["doctor"]) == 1
    assert "only 1.0 GB of memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("most", "free_gb"), [("3000000000", 1.9), ("9000000000", 4.0), ("max", 4.0)]
)
def test_the_limit_of_a_container_counts(tmp_path, most, free_gb):
    (tmp_path / "meminfo").write_text(f"MemAvailable: {4_000_000_000 // 1024} kB\n")
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1100000000\ninactive_file 400000000\n")
    found = module._free_memory_gb(tmp_path / "meminfo", tmp_path)
    assert found == pytest.approx(free_gb, rel=1e-6)


def test_every_library_that_is_declared_is_looked_for():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert [re.split("[>=<]", wanted)[0] for wanted in project["dependencies"]] == list(
        module.LIBRARIES
    )


def test_no_worker_is_a_problem(capsys, monkeypatch):
    def broken(self):
        raise HoimgError("the local cluster: no Dask worker can be reached there")

    monkeypatch.setattr("hoimg.archive.cluster.Cluster.__enter__", broken)
    assert run(["doctor"]) == 1
    assert "PROBLEM  hoimg batch cannot run here: the local cluster" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/dicom-web", "dicom://PACS@127.0.0.1:{}"])
def test_an_archive_that_is_not_there(capsys, monkeypatch, no_dask, form):
    monkeypatch.setattr("hoimg.pacs.web.PAUSE_S", 0.01)
    with socket.socket() as held:  # bound and never listening: refused for as long as it is held
        held.bind(("127.0.0.1", 0))
        assert run(["doctor", "--pacs", form.format(held.getsockname()[1])]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^PACS +no$", out, re.MULTILINE)
    assert re.search(r"^PROBLEM .*127\.0\.0\.1:\d+.*: cannot be reached", out, re.MULTILINE)


@pytest.mark.parametrize("words", [["--pacs", "ftp://x"], ["--aet", "ME"], ["--ca", "x.pem"]])
def test_what_is_no_address_is_a_usage_error(no_dask, words):
    assert run(["doctor", *words]) == 2
