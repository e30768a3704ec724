"""``report.pdf``: the page as a browser prints it, for who must file paper."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from hoimg.errors import PdfNotMade, UsageError
from hoimg.report import files
from hoimg.report.writer import PDF, written_files
from hoimg.whole_files import write_whole

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "microsoft-edge",
    "msedge",
)
"""Programs that print without a window, in the order in which they are looked for on the PATH."""
SECONDS = 120
_DATES = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}")


def add_pdf(folder: Path) -> Path:
    """Print the page of a written report to ``report.pdf`` beside it, and enter it in the manifest.

    The page is printed by a browser of the Chromium family that is installed here, without network.
    The same page, browser and fonts give the same bytes: the dates in the file are set to 1970.

    Args:
        folder: A report of this version, as :func:`hoimg.report.write_report` left it.

    Returns:
        Path of ``report.pdf``.

    Raises:
        PdfNotMade: when there is no such browser, or it failed. The report stands as it was.
        UsageError: when a ``report.pdf`` is in the way that hoimg did not write.
    """
    target = folder / PDF
    if target.exists() and files.sha256(target) != written_files(folder).get(PDF):
        raise UsageError(f"{target}: was not written by hoimg; move it away or give another folder")
    program = find_browser()
    if program is None:
        raise PdfNotMade(
            f"{target}: not made, since no Chromium, Chrome or Edge was found on the PATH; the "
            f"report is whole: install one, or print {folder / 'report.html'} from any browser"
        )
    with tempfile.TemporaryDirectory(prefix=".hoimg-", suffix=".partial", dir=folder) as name:
        made = Path(name) / PDF
        _print(program, folder / "report.html", made, Path(name) / "profile")
        made.write_bytes(_DATES.sub(rb"/\1 (D:19700101000000", made.read_bytes()))
        made.replace(target)
    _enter(folder, target)
    return target


def find_browser() -> str | None:
    """Path of the first of :data:`BROWSERS` that is on the PATH."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _print(program: str, page: Path, target: Path, profile: Path) -> None:
    words = [
        program,
        "--headless",
        "--disable-3d-apis",
        "--disable-background-networking",
        "--disable-extensions",
        "--no-first-run",
        "--no-pdf-header-footer",
        f"--user-data-dir={profile.resolve()}",
        f"--print-to-pdf={target.resolve()}",
        page.resolve().as_uri(),
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.insert(1, "--no-sandbox")  # Chromium's own sandbox refuses to start as root
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
    # A browser may fail with exit code 0, and succeed with complaints: the file tells.
    if not target.is_file() or target.read_bytes()[:5] != b"%PDF-":
        raise PdfNotMade(
            f"{target.name}: {program} did not print {page}; the report is whole: "
            "print the page from any browser"
        )


def _enter(folder: Path, target: Path) -> None:
    """Add the file to the manifest, in the manifest's own form and order."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    others = [entry for entry in manifest["files"] if entry["path"] != PDF]
    manifest["files"] = sorted(
        [*others, files.file_entry(target, folder)], key=lambda entry: Path(entry["path"])
    )
    write_whole(path, (json.dumps(manifest, indent=2) + "\n").encode())
