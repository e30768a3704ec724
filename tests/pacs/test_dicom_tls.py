"""DIMSE over TLS, with a real Orthanc: who is believed, who is let in, fetching and storing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import pytest
import requests
from certificates import Certificate, certificate
from orthanc_server import NEEDS_ORTHANC, Orthanc, free_port
from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from studies import SECRET_ID, files_in, write_study

from hoimg.cli.main import run
from hoimg.pacs import tls as tls_module
from hoimg.pacs.inbox import Inbox
from hoimg.pacs.listen import Listener
from hoimg.pacs.tls import Tls

pytestmark = NEEDS_ORTHANC


@pytest.fixture(scope="module")
def server_cert(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("server"), "localhost", "server")


@pytest.fixture(scope="module")
def our_cert(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("ours"), "localhost", "ours")


def settings(server: Certificate, trusted: Path, *, asks: bool) -> dict[str, object]:
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(server.cert),
        "DicomTlsPrivateKey": str(server.key),
        "DicomTlsTrustedCertificates": str(trusted),
        "DicomTlsRemoteCertificateRequired": asks,
    }


def filled(server: Orthanc, folder: Path) -> int:
    made = write_study(folder)
    for uid in made:
        server.put(folder / f"{uid}.in")
    return len(made)


def test_a_server_is_believed_when_its_certificate_is_trusted_and_of_its_name(
    start_orthanc: Callable[..., Orthanc], server_cert: Certificate, our_cert: Certificate,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    server = start_orthanc(more=settings(server_cert, server_cert.cert, asks=False))
    count = filled(server, tmp_path / "in")
    plain = start_orthanc()
    out = tmp_path / "out"
    given = ["-o", str(out), "--patient", SECRET_ID]
    url = f"dicoms://ORTHANC@localhost:{server.dicom}"
    right = ["--ca", str(server_cert.cert)]
    for where, more, said in (
        (url, [], "certificate is not trusted"),
        (url, ["--ca", str(our_cert.cert)], "certificate is not trusted"),
        (url.replace("localhost", "127.0.0.1"), right, "certificate is not trusted"),
        (url.replace("dicoms:", "dicom:"), [], "may want TLS (dicoms://)"),
        (
            url.replace(str(server.dicom), str(plain.dicom)),
            right,
            "check that this port speaks TLS",
        ),
        (url.replace(str(server.dicom), str(free_port())), right, "cannot be reached"),
        (url.replace("ORTHANC", "OTHER"), right, "check both AE titles"),
    ):
        assert run(["pull", where, *given, *more]) == 1
        assert said in capsys.readouterr().err
        assert files_in(out) == {}
    for more, said in (
        (["--ca", str(tmp_path / "none")], "no certificates (PEM)"),
        ([*right, "--cert", str(server_cert.cert)], "no certificate with its key"),
        ([*right, "--listen", str(free_port())], "give it with --cert"),
    ):
        assert run(["pull", url, *given, *more]) == 2
        assert said in capsys.readouterr().err
    assert run(["pull", url, *given, *right]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{count} object(s)")
    assert "not encrypted" not in told.err
    assert len(files_in(out)) == count


def test_a_server_that_asks_for_our_certificate_gets_it_by_both_ways(
    start_orthanc: Callable[..., Orthanc], server_cert: Certificate, our_cert: Certificate,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    port = free_port()
    us = {"AET": "HOIMG", "Host": "localhost", "Port": port, "UseDicomTls": True}
    server = start_orthanc(
        more={
            **settings(server_cert, our_cert.cert, asks=True),
            "DicomModalities": {"us": us},
        }
    )
    count = filled(server, tmp_path / "in")
    url = f"dicoms://ORTHANC@localhost:{server.dicom}"
    trust = ["--ca", str(server_cert.cert)]
    ours = [*trust, "--cert", str(our_cert.both)]
    wanted = ["--patient", SECRET_ID]
    for certs in (trust, [*trust, "--cert", str(server_cert.both)]):
        assert run(["pull", url, "-o", str(tmp_path / "none"), *wanted, *certs]) == 1
        assert "(--cert)" in capsys.readouterr().err
    assert files_in(tmp_path / "none") == {}
    for out, more in (("get", []), ("move", ["--listen", f"127.0.0.1:{port}"])):
        assert run(["pull", url, "-o", str(tmp_path / out), *wanted, *ours, *more]) == 0
        assert len(files_in(tmp_path / out)) == count


def test_a_reports_objects_go_to_a_server_that_asks_for_our_certificate(
    start_orthanc: Callable[..., Orthanc], server_cert: Certificate, our_cert: Certificate,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    # For push a report is what its manifest lists; two slices stand for the objects.
    report = tmp_path / "report"
    made = write_study(report, series=1, slices=2)
    listed = []
    for uid, data in made.items():
        (report / f"{uid}.in").rename(report / f"{uid}.dcm")
        listed.append({"path": f"{uid}.dcm", "sha256": hashlib.sha256(data).hexdigest()})
    (report / "manifest.json").write_text(json.dumps({"files": listed}))
    server = start_orthanc(more=settings(server_cert, our_cert.cert, asks=True))
    words = ["push", str(report), f"dicoms://ORTHANC@localhost:{server.dicom}"]
    words += ["--ca", str(server_cert.cert)]
    assert run(words) == 1
    assert "certificate of ours (--cert)" in capsys.readouterr().err
    assert server.count() == 0
    assert run([*words, "--cert", str(our_cert.both)]) == 0
    assert capsys.readouterr().out == "2 object(s) stored, 0 already there\n"
    assert by_uid(server.files()) == by_uid(made.values())


def by_uid(files: Iterable[bytes]) -> dict[str, Dataset]:
    return {data.SOPInstanceUID: data for data in map(dcmread, map(BytesIO, files))}


def test_a_listener_with_tls_takes_only_from_those_who_show_a_certificate(
    start_orthanc: Callable[..., Orthanc], server_cert: Certificate, our_cert: Certificate,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tls_module, "HANDSHAKE_S", 3.0)
    inbox = Inbox(tmp_path / "inbox", "c" * 64)
    tls = Tls(server_cert.cert, our_cert.both).server()
    listener = Listener(inbox, "HOIMG", "127.0.0.1", 0, tls=tls)
    # One who connects and says nothing does not keep the others out.
    silent = socket.create_connection(("127.0.0.1", listener.port))
    try:
        us = {"AET": "HOIMG", "Host": "localhost", "Port": listener.port, "UseDicomTls": True}
        server = start_orthanc(
            more={
                **settings(server_cert, our_cert.cert, asks=False),
                "DicomModalities": {"us": us},
            }
        )
        count = filled(server, tmp_path / "in")
        studies = requests.get(f"{server.root}/studies", timeout=5).json()
        sent = requests.post(f"{server.root}/modalities/us/store", json=studies, timeout=60)
        assert sent.status_code == 200, sent.text
        assert len(files_in(tmp_path / "inbox")) == count
        # Without TLS, and with TLS and no certificate.
        ae = AE("PACS")
        ae.add_requested_context(Verification)
        nameless = Tls(our_cert.cert).client()
        for args in (None, (nameless, "localhost")):
            link = ae.associate("localhost", listener.port, tls_args=args)
            assert not link.is_established
        named = Tls(our_cert.cert, server_cert.both).client()
        link = ae.associate("localhost", listener.port, tls_args=(named, "localhost"))
        assert link.is_established
        link.release()
    finally:
        silent.close()
        listener.close()


def test_the_command_wants_its_certificates_together(
    our_cert: Certificate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["listen", "-o", str(tmp_path / "x"), "--port", "0"]
    for more, said in (
        (["--ca", str(our_cert.cert)], "--ca goes with --cert"),
        (["--cert", str(our_cert.cert)], "no certificate with its key"),
        (["--cert", str(our_cert.both), "--ca", str(our_cert.key)], "no certificates (PEM)"),
    ):
        assert run([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
