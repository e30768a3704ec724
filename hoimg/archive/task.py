"""What is sent to the process that analyses one patient, and what comes back."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import hoimg
from hoimg.dicom.clean import patient_key

SOFTWARE = f"hoimg {hoimg.__version__}"
OUTCOME = "outcome.json"
REPORT = "report"
TRACE = "trace.txt"
SCANS = "scans"
"""Names in the folder of a task."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Errors of writing that meet every other patient too."""
CHILD = "hoimg.archive.child"
"""Module whose ``main`` a patient's process runs."""


@dataclass(frozen=True)
class Task:
    """One patient to analyse; it holds paths, never pixels.

    Attributes:
        key: The patient's key.
        files: The patient's files, absolute.
        settings: All settings as JSON.
        fingerprint: Of input, settings and software: equal ones give an equal report.
        folder: Where the process writes; absolute, not there yet, nobody else's.
        earlier: Folder of the patient's earlier report, which names the lesions.
        probe: What :func:`~hoimg.dicom.clean.patient_key` makes of nothing here: another machine
            must hash with the same secret.
        software: Which hoimg sent it.
        entry: Module whose ``main`` the process runs.
        url: The PACS that has the images, in place of files.
        studies: The patient's studies there.
    """

    key: str
    files: tuple[str, ...]
    settings: str
    fingerprint: str
    folder: str
    earlier: str | None = None
    probe: str = ""
    software: str = SOFTWARE
    entry: str = CHILD
    url: str | None = None
    studies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    Attributes:
        key: The patient's key.
        fingerprint: As of the task.
        folder: As of the task.
        status: ``done`` when the report is whole.
        code: Why it failed, a stable name.
        message: The same in a sentence, without identity or path.
        findings: What the input's checks said, where they refused it.
        manifest_sha256: Of the report's ``manifest.json``.
        passing: Whether another attempt may go well.
        fatal: Whether every other patient would fail as well (no space, other software).
        limit: The limit that it went over, minutes or GB.
        seconds: How long it took.
        peak_mb: Most memory of its processes together at a time, 10^6 bytes.
        machine: Where it ran.
        attempts: The how manyeth it was in this run.
    """

    key: str
    fingerprint: str
    folder: str
    status: Literal["done", "failed"]
    code: str | None = None
    message: str | None = None
    findings: tuple[dict[str, Any], ...] = ()
    manifest_sha256: str | None = None
    passing: bool = False
    fatal: bool = False
    limit: float | None = None
    seconds: float = 0.0
    peak_mb: float = 0.0
    machine: str = ""
    attempts: int = 1


def failed(task: Task, code: str, message: str, **more: Any) -> Outcome:
    """The outcome of a task that failed."""
    return Outcome(task.key, task.fingerprint, task.folder, "failed", code, message, **more)


def outcome_text(outcome: Outcome) -> str:
    """As one line of JSON."""
    return json.dumps(asdict(outcome))


def read_outcome(text: str) -> Outcome:
    """The outcome that :func:`outcome_text` wrote.

    Raises:
        ValueError: when it is none.
    """
    content = json.loads(text)
    names = {f.name for f in fields(Outcome)}
    if not isinstance(content, dict) or not {"key", "fingerprint", "folder", "status"} <= set(
        content
    ):
        raise ValueError("no outcome")
    made = Outcome(**{k: v for k, v in content.items() if k in names})
    return replace(made, findings=tuple(made.findings))


def fingerprint(key: str, input_sha256: str, config_sha256: str, software: str = SOFTWARE) -> str:
    """Hash of all that a patient's report depends on: files, settings, and the software."""
    words = [key, input_sha256, config_sha256, software]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def probe() -> str:
    """Tells whether two machines hash identities with the same secret."""
    return patient_key("probe:")
