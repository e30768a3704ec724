"""What is done with a mutant, and what must hold whatever it is."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_corpus import mask_grid

from hoimg.errors import HoimgError, InputRefused, UsageError

IDENTITY = ("Secret", "ID-7", "ID-9")
"""Of the corpus' patients: must not be in anything that is written or logged."""
CODES = ("pixels_unreadable", "decode_crashed", "decode_timeout", "decode_too_large")
EXAM_ID = re.compile(r"day-?\d{4,}_[a-z]{2}_[0-9a-f]{6,64}")
KEY = re.compile(r"[0-9a-z]{1,40}")
UID = re.compile(r"[0-9.]{1,64}")
LOAD_COMPRESSED = 0.03
"""Part of the compressed series that are loaded: each starts a process of its own."""


class Broken(Exception):
    """Something that must always hold does not."""


def run(lane: str, folder: Path, named: Sequence[Path], chance: float) -> str:
    """Take one mutant through the intake.

    Args:
        lane: ``scan`` or ``mask``.
        folder: Its files.
        named: Those that are named; the folder when empty.
        chance: A number from 0 to 1 by which a part of the mutants is loaded.

    Returns:
        The outcome in a word, for the counts.

    Raises:
        Broken: when what comes out is no good.
        Exception: whatever escapes; the caller tells typed errors from others.
    """
    if lane == "mask":
        return _mask(folder)
    return _scan(folder, named or [folder], chance)


def _scan(folder: Path, paths: Sequence[Path], chance: float) -> str:
    from hoimg.cli.info import _patients, as_json
    from hoimg.cli.info_table import print_tables
    from hoimg.dicom import display_8bit, load_radiograph, open_sources, scan

    with open_sources(paths) as sources:
        inventory = scan(sources)
        patients, refusals = _patients(inventory, paths)
        text = json.dumps(as_json(inventory, patients), allow_nan=False)
        table = io.StringIO()
        with redirect_stdout(table):
            print_tables(inventory, patients)
        _check_words(text, folder)
        _check_words(table.getvalue(), folder)
        for series in inventory.series:
            if not (KEY.fullmatch(series.patient_key) and UID.fullmatch(series.series_uid)):
                raise Broken(f"key {series.patient_key!r} or UID {series.series_uid!r}")
        outcome = "refused " + refusals[0].code if not patients else "volume"  # type: ignore[attr-defined]
        for patient in patients.values():
            for exam in patient.exams:
                if not EXAM_ID.fullmatch(exam.exam_id):
                    raise Broken(f"exam id {exam.exam_id!r}")
                outcome = _load(exam, chance)
        for film in (f for s in inventory.series for f in s.films):
            if film.usable and (film.stored.syntax in PLAIN or chance < LOAD_COMPRESSED):
                outcome = "film"
                try:
                    pixels = load_radiograph(film).pixels
                    shown = display_8bit(film)
                except HoimgError as error:
                    outcome = f"film {getattr(error, 'code', '')}"
                else:
                    if pixels.shape != shown.shape or not np.isfinite(pixels).all():
                        raise Broken("a film with values that are no numbers")
    return outcome


PLAIN = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def _load(exam: Any, chance: float) -> str:
    from hoimg.dicom import check_volume, load_volume

    stack = exam.series.stack
    plain = stack is None or all(s.stored.syntax in PLAIN for s in stack.slices)
    if not plain and chance >= LOAD_COMPRESSED:
        return "volume (not loaded)"
    try:
        volume = load_volume(exam, children=1)
    except InputRefused as error:
        return f"load {error.code}"
    grid = exam.series.grid
    if volume.hu.shape != volume.grid.size_zyx or volume.grid.size_zyx != grid.size_zyx:
        raise Broken(f"{volume.hu.shape} on a grid of {grid.size_zyx}")
    if not np.isfinite(volume.hu).all():
        raise Broken("HU that are no numbers")
    if not (np.isfinite(grid.origin_lps_mm).all() and min(grid.spacing_zyx_mm) > 0):
        raise Broken(f"a grid at {grid.origin_lps_mm}, spacing {grid.spacing_zyx_mm}")
    check_volume(volume)
    return "volume loaded"


def _mask(folder: Path) -> str:
    from hoimg.dicom.masks import put_on, read_given

    grid: Any = mask_grid()
    files = sorted(p for p in folder.iterdir() if p.is_file())
    path = files[0] if len(files) == 1 else folder
    outcome = "mask"
    for use in ("roi", "mask", "skeleton"):
        try:
            placed = put_on(read_given(path, use), grid, use)  # type: ignore[arg-type]
        except (InputRefused, UsageError) as error:
            outcome = f"mask {getattr(error, 'code', 'usage')}"
            continue
        if placed.mask.array.shape != grid.size_zyx or not placed.mask.array.any():
            raise Broken(f"a mask of shape {placed.mask.array.shape}, or an empty one")
        _check_words(" ".join(f.message for f in placed.findings), folder)
        outcome = "mask placed"
    return outcome


def decode(files: Sequence[Path]) -> list[str]:
    """Give the first frame of each file to real child processes; one outcome a file."""
    from hoimg.decoding.limits import Limits
    from hoimg.decoding.pool import DecodePool, Failed, Request
    from hoimg.dicom.elements import DamagedFile
    from hoimg.dicom.header import read_header
    from hoimg.dicom.pixels import _check, _form
    from hoimg.dicom.quiet import quiet_pydicom

    requests: list[Request] = []
    outcomes = []
    limits = Limits(seconds=5.0)
    for file in files:
        try:
            with quiet_pydicom():
                header = read_header(file)
            stored = header.stored if header is not None else None
            if stored is None or stored.syntax in PLAIN:
                raise DamagedFile("no frame")
            _check(file, stored, limits)
        except (DamagedFile, InputRefused, OSError):
            outcomes.append("frame refused by header")
            continue
        requests.append(Request(file, stored.element_offset, 0, stored.frames, _form(stored)))
    seen = []
    with DecodePool(requests, 1, limits) as pool:
        for result in pool.results():
            seen.append(result.index)
            if isinstance(result, Failed):
                if result.code not in CODES or not result.reason.isprintable():
                    raise Broken(f"{result.code}: {result.reason!r}")
                if str(files[0].parent) in result.reason:
                    raise Broken(f"a path in a finding: {result.reason}")
                outcomes.append(f"frame {result.code}")
            else:
                if result.values.size != requests[result.index].form.pixels:
                    raise Broken("a frame of another size")
                outcomes.append("frame decoded")
    if sorted(seen) != list(range(len(requests))):
        raise Broken("frames without a result, or with two")
    return outcomes


def _check_words(text: str, folder: Path) -> None:
    """No path, no identity and no control character in what is shown."""
    for word in (*IDENTITY, str(folder.parent)):
        if word in text:
            at = text.index(word)
            raise Broken(f"{word!r} in what is written: {text[max(at - 80, 0) : at + 40]!r}")
    if any(ord(c) < 32 and c != "\n" for c in text):
        raise Broken("control characters in what is written")
