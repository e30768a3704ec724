"""Self-signed certificates, by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key, and both in one file; each is the authority of its own."""

    cert: Path
    key: Path
    both: Path

    def server(self) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.both)
        return tls


def certificate(folder: Path, name: str, file: str | None = None) -> Certificate:
    """One that speaks of a host; ``file`` names its files, which else are called like the host."""
    folder.mkdir(parents=True, exist_ok=True)
    cert, key, both = (folder / f"{file or name}.{end}" for end in ("pem", "key", "both"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return Certificate(cert, key, both)
