"""A stand-in for the analysis of one patient; the name of the patient's file says what it does.

All else is the real thing: process, limits, errors to outcomes. ``HOIMG_TEST_LOG`` names a file to
which each start is noted, ``HOIMG_TEST_SECONDS`` how long a patient takes.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

from hoimg.archive import child
from hoimg.archive.task import REPORT, Outcome, Task
from hoimg.errors import InputRefused
from hoimg.report.files import sha256
from hoimg.results import Change, Exam, Finding, LabelAt, Lesion, Maturity, Observation, Report

ENDS_ITS_PROCESS = {"hang", "eat", "crash", "killed", "silent"}


def main() -> None:
    child._report = act  # type: ignore[assignment]
    child.main()


def act(task: Task) -> Outcome:
    note(f"{task.key}\n")
    path = Path(task.files[0])
    time.sleep(float(os.environ.get("HOIMG_TEST_SECONDS", "0")))
    if path.stem == "hang":
        while True:
            signal.pause()
    if path.stem == "last":  # waits until every patient of the root has been started
        every = len(list(path.parents[1].iterdir()))
        while len(Path(os.environ["HOIMG_TEST_LOG"]).read_text().split()) < every:
            time.sleep(0.05)
    if path.stem == "eat":
        held = []
        while True:
            held.append(bytearray(os.urandom(2**20)) * 20)
    if path.stem == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if path.stem == "silent":
        os._exit(3)
    if path.stem == "refused":
        told = Finding(code="not_hounsfield", level="error", message="No HU.", fix="Give CT.")
        raise InputRefused(f"{path}: no HU", "not_hounsfield", (told,))
    if path.stem == "bug":
        raise ValueError(f"cannot parse {path}")
    if path.stem == "broken-disk":
        raise OSError(errno.EIO, "Input/output error", str(path))
    if path.stem == "flaky" and (seen := path.with_suffix(".seen")) and not seen.exists():
        seen.touch()
        os.utime(path.parent)
        raise OSError(errno.EIO, "Input/output error", str(path))
    if path.stem == "full":
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    folder = Path(task.folder) / REPORT
    folder.mkdir()
    (folder / "report.json").write_text(report_of(task.key).model_dump_json())
    # The manifest last, as the real writer has it.
    (folder / "manifest.json").write_text(
        json.dumps({"files": [{"path": "report.json", "sha256": sha256(folder / "report.json")}]})
    )
    done = sha256(folder / "manifest.json")
    return Outcome(task.key, task.fingerprint, task.folder, "done", manifest_sha256=done)


def note(line: str) -> None:
    if log := os.environ.get("HOIMG_TEST_LOG"):
        with Path(log).open("a") as stream:
            stream.write(line)


def report_of(key: str) -> Report:
    """Two exams, a lesion that grew and is mature, one that was not measured; numbers by key."""
    number = int(key[1:6], 16)
    volume = 500.0 + number % 1000
    lesion = Lesion(
        lesion_id="L1",
        tracking_uid="1.2.3",
        observations=[
            Observation(exam_id="day0000", status="measured", volume_mm3=volume,
                        volume_ci95_mm3=(volume - 20, volume + 25)),
            Observation(exam_id="day0100", status="measured", volume_mm3=2 * volume,
                        centroid_lps_mm=(1.5, -2.5, 3.5), touches_bone=True),
        ],
        changes=[Change(from_exam="day0000", to_exam="day0100", days=100, category="enlarging",
                        volume_change_pct=100.0, flags=["volume_rc_from_intervals"])],
        maturity=Maturity(
            label="mature", exam_id="day0100", reasons=["all_pass"], criteria=[],
            mature_since_exam="day0100",
            history=[LabelAt(exam_id="day0100", day=100, label="mature", reasons=["all_pass"])],
        ),
    )  # fmt: skip
    open_one = Lesion(
        lesion_id="L2",
        tracking_uid="1.2.4",
        observations=[
            Observation(exam_id="day0000", status="not_measurable", flags=["near_metal", "small"])
        ],
        changes=[],
        maturity=Maturity(label="indeterminate", reasons=["not_measured"], criteria=[]),
    )
    exams = [
        Exam(exam_id=f"day{day:04d}", modality="CT", study_instance_uid="1.2",
             series_instance_uid="1.2.1", days_from_baseline=day,
             findings=[Finding(code="thick_slices", level="warning", message="Thick.")])
        for day in (0, 100)
    ]  # fmt: skip
    return Report(
        software="hoimg test", config_sha256="c", patient_key=key, exams=exams,
        lesions=[lesion, open_one], excluded=[],
    )  # fmt: skip
