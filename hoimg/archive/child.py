"""What runs in the process of one patient: the same as ``hoimg report``, with its outcome as data.

It ends itself, and all that it started, when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from hoimg.archive.task import (
    NO_ROOM,
    OUTCOME,
    REPORT,
    SCANS,
    SOFTWARE,
    TRACE,
    Outcome,
    Task,
    failed,
    outcome_text,
    probe,
)
from hoimg.archive.wording import safe_message
from hoimg.errors import HoimgError, InputRefused
from hoimg.pacs.errors import PacsError
from hoimg.report.files import sha256
from hoimg.settings import Settings
from hoimg.whole_files import write_whole

MAX_SAID = 2000
MAX_FINDINGS = 20


def main() -> None:
    """Read a task from standard input, do it, write the outcome to standard output.

    The one argument is the number of a file that never says anything: its end is that of the
    process which waits for us.
    """
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    answer = os.dup(1)
    # Libraries may print; only the outcome goes out.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    task = Task(**json.load(sys.stdin))
    _die_first()
    outcome = do(task)
    with os.fdopen(answer, "w") as stream:
        stream.write(outcome_text(outcome))


def do(task: Task) -> Outcome:
    """Analyse the patient, write the report and last the outcome; every error becomes one."""
    outcome = _attempt(task)
    try:
        write_whole(Path(task.folder) / OUTCOME, outcome_text(outcome).encode())
    except OSError as error:
        outcome = _of_system(task, error)
    return outcome


def _attempt(task: Task) -> Outcome:
    if task.software != SOFTWARE:
        said = f"The worker has {SOFTWARE}, not {task.software}; install the same on both."
        return failed(task, "worker_other_version", said, fatal=True)
    if task.probe != probe():
        said = "The worker lacks the same HOIMG_PATIENT_KEY; set it there too."
        return failed(task, "worker_other_key", said, fatal=True)
    try:
        return _report(task)
    except PacsError as error:
        return _of_pacs(task, error)
    except InputRefused as error:
        said = safe_message(error, map(Path, task.files), _scans(task))[:MAX_SAID]
        told = tuple(f.model_dump(mode="json") for f in error.findings[:MAX_FINDINGS])
        return failed(task, error.code, said, findings=told)
    except HoimgError as error:
        if isinstance(error.__cause__, OSError):
            return _of_system(task, error.__cause__)
        return failed(task, "usage", safe_message(error, map(Path, task.files)))
    except OSError as error:
        return _of_system(task, error)
    except MemoryError:
        return failed(task, "over_memory", "The system gave no more memory.")
    except Exception as error:
        return _unexpected(task, error)


def _report(task: Task) -> Outcome:
    from hoimg.dicom import open_sources, read_patient
    from hoimg.names import names_in
    from hoimg.pipeline import analyze_patient
    from hoimg.report import write_report

    settings = Settings.model_validate_json(task.settings)
    target = Path(task.folder) / REPORT
    names = None if task.earlier is None else names_in(Path(task.earlier), task.key)
    files = [Path(f) for f in task.files]
    if task.url is not None:
        from hoimg.archive.remote import pull_studies

        files = [_scans(task)]
        pull_studies(task.url, task.studies, files[0])
    with open_sources(files, settings) as sources:
        patient = read_patient(sources, settings, patient=None if task.url else task.key)
        if patient.patient_key != task.key:
            said = "The images that came are of another patient, or issuer, than the PACS said."
            return failed(task, "other_patient", said)
        write_report(analyze_patient(patient, settings, names=names), target)
    manifest = sha256(target / "manifest.json")
    return Outcome(task.key, task.fingerprint, task.folder, "done", manifest_sha256=manifest)


def _scans(task: Task) -> Path:
    """Where the images of a patient in a PACS are pulled to; it goes with the task's folder."""
    return Path(task.folder) / SCANS


def _of_pacs(task: Task, error: PacsError) -> Outcome:
    """What a PACS did not do; its message names nobody."""
    if error.kind in {"unauthorized", "tls_refused"}:
        return failed(task, "pacs_closed", str(error), fatal=True)
    may_pass = error.kind in {"unreachable", "broken_off", "incomplete", "bad_answer"}
    return failed(task, f"pacs_{error.kind}", str(error)[:MAX_SAID], passing=may_pass)


def _of_system(task: Task, error: OSError) -> Outcome:
    """An error of the system: its own words name a file, and are left away."""
    said = error.strerror if error.strerror and not error.strerror.startswith("/") else "I/O error"
    if error.errno in NO_ROOM:
        return failed(task, "no_room", f"Results cannot be written: {said}.", fatal=True)
    return failed(task, "io_error", f"A file could not be read or written: {said}.", passing=True)


def _unexpected(task: Task, error: Exception) -> Outcome:
    """A fault of hoimg or a library. Only the places in the code are kept: values may be PHI."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    text = "\n".join([*lines, type(error).__name__, ""])
    try:
        write_whole(Path(task.folder) / TRACE, text.encode())
    except OSError as full:
        return _of_system(task, full)
    last = frames[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return failed(task, "unexpected", f"Unexpected {type(error).__name__} at {place}.")


def _end_with(life: int) -> None:
    """Wait until nobody holds the other end, then end the whole group of processes."""
    while os.read(life, 1):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _die_first() -> None:
    """When memory runs out, the system shall take this process rather than who watches it."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return
