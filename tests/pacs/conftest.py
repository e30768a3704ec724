"""Servers for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orthanc_server import Orthanc
from studies import write_study

from hoimg.pacs import web


@pytest.fixture
def start_orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start a server with further settings; all are ended with the test."""
    servers: list[Orthanc] = []

    def start(**more: Any) -> Orthanc:
        server = Orthanc(tmp_path / f"orthanc{len(servers)}", **more)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()  # its storage goes with the test; a clean end would take three seconds


@pytest.fixture
def orthanc(start_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """A server without anything in it."""
    return start_orthanc()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, dict[str, bytes]]]:
    """A server with three studies of two patients, and the bytes of each object by its UID."""
    folder = tmp_path_factory.mktemp("filled")
    made = write_study(folder / "in", 1)
    made |= write_study(folder / "in", 2, date="20240601", accession="A-2", series=1)
    made |= write_study(folder / "in", 3, patient="PAT-1", date="20240601", accession="A-3")
    server = Orthanc(folder / "orthanc").start()
    try:
        for uid in made:
            server.put(folder / "in" / f"{uid}.in")
        assert server.count() == 25
        yield server, made
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def _alone_and_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"HOIMG_PACS_{name}", raising=False)
    monkeypatch.setattr(web, "PAUSE_S", 0.05)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
