"""A real Orthanc on the loopback, started and ended by the tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

PROGRAM = shutil.which("Orthanc", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NEEDS_ORTHANC = pytest.mark.skipif(
    PROGRAM is None or not PLUGIN.exists(),
    reason="no Orthanc with DICOMweb (Debian: apt-get install orthanc orthanc-dicomweb)",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Orthanc:
    """One server with its own storage; it keeps its ports when it is started again."""

    folder: Path
    more: dict[str, Any] = field(default_factory=dict)
    http: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> str:
        return f"http://localhost:{self.http}"

    @property
    def web(self) -> str:
        return f"{self.root}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dicom://ORTHANC@127.0.0.1:{self.dicom}"

    def start(self) -> Orthanc:
        config = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "store"),
            "IndexDirectory": str(self.folder / "store"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            **self.more,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(config))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([str(PROGRAM), str(path)], stdout=log, stderr=log)
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{self.root}/system", timeout=5)
                return self
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        raise AssertionError("Orthanc did not start within 30 s")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def put(self, path: Path) -> None:
        """Store a file by Orthanc's own interface, so that no code of hoimg is involved."""
        answer = requests.post(f"{self.root}/instances", data=path.read_bytes(), timeout=30)
        answer.raise_for_status()

    def count(self) -> int:
        return int(requests.get(f"{self.root}/statistics", timeout=5).json()["CountInstances"])

    def files(self) -> list[bytes]:
        """Every file it holds, by its own interface."""
        ids = requests.get(f"{self.root}/instances", timeout=5).json()
        return [requests.get(f"{self.root}/instances/{i}/file", timeout=5).content for i in ids]
