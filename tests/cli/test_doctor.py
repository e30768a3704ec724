"""doctor finds what is missing on a machine."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys

import pytest

from hoimg.cli import doctor as module
from hoimg.cli.main import run
from hoimg.decoding.codecs import NAMES


def test_this_machine_is_ready(capsys, tmp_path):
    assert run(["doctor", "-o", str(tmp_path / "not" / "yet" / "there")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "ready"
    assert "none" not in out
    assert f"GB at {tmp_path}" in out
    for name in (*module.LIBRARIES, *NAMES.values(), "deflated"):
        assert name in out


@pytest.mark.parametrize("name", ["python-gdcm", "pydicom"])
def test_a_library_that_is_missing_is_named(capsys, monkeypatch, name):
    real = importlib.metadata.version

    def version(wanted: str) -> str:
        if wanted == name:
            raise importlib.metadata.PackageNotFoundError(wanted)
        return real(wanted)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert run(["doctor"]) == 1
    assert f"PROBLEM  {name} is not installed" in capsys.readouterr().out


def test_pixels_that_cannot_be_decoded_are_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jpeg_ls", None)
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    said = "JPEG-LS lossless pixels (1.2.840.10008.1.2.4.80) cannot be decoded: install pyjpegls"
    assert said in out
    assert "JPEG 2000 pixels" not in out


@pytest.mark.parametrize(("free_gb", "code"), [(4.0, 0), (3.99, 1)])
def test_little_disk_is_told(capsys, monkeypatch, free_gb, code):
    real = shutil.disk_usage

    def usage(path):
        total, used, _free = real(path)
        return type(real(path))(total, used, int(free_gb * 1e9))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(module, "_free_memory_gb", lambda: None)
    assert run(["doctor"]) == code
    assert ("of disk are free" in capsys.readouterr().out) == (code == 1)


def test_free_memory_is_read_in_kibibytes(tmp_path, capsys, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2000000 kB\n")
    assert module._free_memory_gb(meminfo) == pytest.approx(2.048)
    meminfo.write_text("MemTotal: 9 kB\n")
    assert module._free_memory_gb(meminfo) is None
    assert module._free_memory_gb(tmp_path / "absent") is None
    monkeypatch.setattr(module, "_free_memory_gb", lambda: 1.0)
    assert run(["doctor"]) == 1
    assert "only 1.0 GB of memory" in capsys.readouterr().out
