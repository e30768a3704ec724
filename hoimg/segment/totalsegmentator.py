"""TotalSegmentator as a program of its own, where it is installed: a label map of all bones.

It is not part of hoimg and is never started unless the settings say so. It runs without a network:
its weights must be there already, its usage statistics are switched off, and a proxy that leads
nowhere stops whatever else would call home.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hoimg.image import CTVolume, write_nifti
from hoimg.results import Finding
from hoimg.settings import SegmentSettings

PROGRAM = "TotalSegmentator"
WEIGHTS = {"fast": (297,), "full": (291, 292, 293, 294, 295)}
"""Numbers of the weight folders (``Dataset297_...``) that task ``total`` loads at 3 and 1.5 mm."""
NOWHERE = "http://127.0.0.1:9"
"""The discard port of this computer: nothing is sent."""
TOLD = 200
"""So many letters of the end of its error output are told."""
GRACE_S = 5.0


def installed() -> Path | None:
    """The program, where it is on the PATH."""
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found)


def weights_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where the program keeps its weights, as it decides itself.

    Args:
        environment: Environment variables; None for this process's.
    """
    environment = os.environ if environment is None else environment
    if "TOTALSEG_WEIGHTS_PATH" in environment:
        return Path(environment["TOTALSEG_WEIGHTS_PATH"])
    home = environment.get("TOTALSEG_HOME_DIR")
    return Path(home or Path.home() / ".totalsegmentator") / "nnunet" / "results"


def missing_weights(size: str, environment: Mapping[str, str] | None = None) -> list[int]:
    """Numbers of the weight folders that are not there.

    Args:
        size: ``fast`` or ``full``.
        environment: Environment variables; None for this process's.
    """
    folder = weights_folder(environment)
    return [n for n in WEIGHTS[size] if not any(folder.glob(f"Dataset{n}_*"))]


def run_totalsegmentator(
    volume: CTVolume, folder: Path, settings: SegmentSettings
) -> Path | Finding:
    """Run the program on a CT.

    Args:
        volume: The exam.
        folder: An empty folder for its files; nothing of the patient but the voxels is written.
        settings: Section ``segment``; ``totalsegmentator`` is not ``off``.

    Returns:
        The label map that it wrote, or a finding that says why there is none.
    """
    program = installed()
    if program is None:
        return _unused("it is not installed", "Install it, or give --skeleton.")
    lacking = missing_weights(settings.totalsegmentator)
    if lacking:
        numbers = ", ".join(str(n) for n in lacking)
        return _unused(
            f"its weights {numbers} are not on this computer",
            "Run totalseg_download_weights once, or give --skeleton.",
        )
    scan, out = folder / "ct.nii.gz", folder / "skeleton.nii.gz"
    write_nifti(scan, volume.hu, volume.grid)
    command = [str(program), "-i", str(scan), "-o", str(out), "--ml", "--task", "total"]
    if settings.totalsegmentator == "fast":
        command.append("--fast")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that its own children can be ended with it
    )
    try:
        _, said = process.communicate(timeout=60 * settings.totalsegmentator_minutes)
    except subprocess.TimeoutExpired:
        _end(process)
        return _unused(
            f"it did not end within {settings.totalsegmentator_minutes:g} minutes",
            "Raise totalsegmentator_minutes, or set totalsegmentator to fast.",
        )
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        why = f"it failed (exit code {process.returncode}){_tail(said, folder)}"
        return _unused(why, f"Try {PROGRAM} alone on this computer, or give --skeleton.")
    if not out.is_file():
        return _unused("it wrote no label map", f"Try {PROGRAM} alone, or give --skeleton.")
    return out


def _environment(folder: Path) -> dict[str, str]:
    """This process's environment, with statistics off and no way to a network."""
    home = folder / "home"
    home.mkdir()
    config = {"totalseg_id": "", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps(config), encoding="utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    proxies = {
        name: NOWHERE
        for word in ("http", "https", "all")
        for name in (f"{word}_proxy", f"{word.upper()}_PROXY")
    }
    return {
        **kept,
        **proxies,
        "TOTALSEG_WEIGHTS_PATH": str(weights_folder().absolute()),
        "TOTALSEG_HOME_DIR": str(home),
    }


def _end(process: subprocess.Popen[str]) -> None:
    """End the program with its children, first politely."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, way)
        except ProcessLookupError:
            break
        try:
            process.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        break
    process.wait()


def _tail(said: str, folder: Path) -> str:
    """The last line of its error output, without paths of this computer."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return ""
    last = lines[-1].replace(str(folder), "").replace(str(Path.home()), "~")
    return f": {last[-TOLD:]}"


def _unused(why: str, fix: str) -> Finding:
    return Finding(
        code="model_skeleton_unused",
        level="warning",
        message=f"{PROGRAM} was not used: {why}. The built-in providers decided.",
        fix=fix,
    )
