"""A folder of DICOM files to a new folder of de-identified ones; one bad file never ends it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import hoimg
from hoimg.deidentify.keys import Pseudonyms
from hoimg.deidentify.objects import mark, why_not
from hoimg.deidentify.rules import Patient, cleaned
from hoimg.deidentify.texts import known_of
from hoimg.dicom.elements import DamagedFile
from hoimg.dicom.header import FileKind, Pool, look
from hoimg.dicom.people import identity
from hoimg.dicom.quiet import quiet_pydicom

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

_IMPLEMENTATION = "2.25.213385017342017634226325061226943512621"
"""Implementation class UID of files written here; any fixed one."""


@dataclass(frozen=True)
class Outcome:
    """What became of the files.

    Attributes:
        written: Files written.
        patients: Patients among them.
        refused: DICOM files that were not written, each with the reason.
        left: Files that hold no DICOM object, each with what it is.
        burned_in: How many of the images written state *yes*, *no* or nothing about text in
            their pixels (keys ``YES``, ``NO``, ``""``).
    """

    written: int
    patients: int
    refused: tuple[tuple[Path, str], ...]
    left: tuple[tuple[Path, str], ...]
    burned_in: dict[str, int]


class _Refused(Exception):
    """A file that is not written; the text says why, without any of its values."""


def deidentify_files(
    files: Sequence[Path],
    output: Path,
    pseudonyms: Pseudonyms,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """De-identify files into a folder, named by pseudonyms: patient / study / series / image.

    Pixel data are kept byte by byte. What cannot be read or cleaned is refused, never copied.

    Args:
        files: Files of any kind.
        output: New or empty folder; made when missing.
        pseudonyms: What stands for patients, UIDs and dates.
        on_progress: Called with (files done, files to do).

    Raises:
        OSError: when the output cannot be written.
    """
    refused: list[tuple[Path, str]] = []
    left: list[tuple[Path, str]] = []
    patients: set[str] = set()
    burned_in: Counter[str] = Counter()
    written = 0
    output.mkdir(parents=True, exist_ok=True)
    with quiet_pydicom():
        for number, file in enumerate(files, 1):
            try:
                kind = _kind(file)
                if kind:
                    left.append((file, kind))
                    continue
                new = _new_object(file, pseudonyms)
                data = _encoded(new)
            except _Refused as error:
                refused.append((file, str(error)))
            except Exception as error:  # whatever a parser fed with garbage may raise
                refused.append((file, f"cannot be read ({type(error).__name__})"))
            else:
                folder = _folder(output, new, pseudonyms)
                _write(data, folder, pseudonyms.name("image", str(new.SOPInstanceUID)))
                patients.add(folder.parent.parent.name)
                written += 1
                if "PixelData" in new and new.get("Modality") != "SEG":
                    burned_in[str(new.get("BurnedInAnnotation") or "")] += 1
            if on_progress is not None:
                on_progress(number, len(files))
    return Outcome(written, len(patients), tuple(refused), tuple(left), dict(burned_in))


def _kind(file: Path) -> str:
    """What a file is that holds no DICOM object; empty for one that does."""
    try:
        found = look(file, Pool())
    except DamagedFile as error:
        raise _Refused("is damaged") from error
    except OSError as error:
        raise _Refused(f"cannot be opened ({error.strerror})") from error
    if found is FileKind.DICOMDIR:
        return "an index of a disc (DICOMDIR)"
    if found is FileKind.ARCHIVE:
        raise _Refused("is an archive; unpack it and give the folder")
    if found is FileKind.OTHER:
        if file.suffix.lower() in (".dcm", ".dicom", ".ima"):
            raise _Refused("is called DICOM and is none, or is damaged")
        return "no DICOM"
    if not isinstance(found, FileKind) and found.truncated:
        raise _Refused("ends before its pixels do")
    return ""


def _new_object(file: Path, pseudonyms: Pseudonyms) -> Dataset:
    """The de-identified object of a file, with its file meta information."""
    from pydicom import dcmread
    from pydicom.uid import UID

    dataset = dcmread(file, force=True)
    reason = why_not(dataset)
    if reason:
        raise _Refused(reason)
    syntax = _syntax(dataset)
    if UID(syntax).type != "Transfer Syntax":
        raise _Refused("has a private or unknown transfer syntax")
    patient_id, issuer, study = (
        str(dataset.get(k, "") or "").strip(" \0")
        for k in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")
    )
    who = identity(patient_id, issuer, study)
    patient = Patient(
        name=pseudonyms.patient(who),
        shift=pseudonyms.shift(who),
        uid=pseudonyms.uid,
        known=known_of(dataset),
        has_id=bool(patient_id),
    )
    new = cleaned(dataset, patient)
    mark(new, dataset)
    new.file_meta = _meta(new, syntax)
    return new


def _syntax(dataset: Dataset) -> str:
    """The stated transfer syntax; where none is stated, the one that was read."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    stated = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "")
    if stated:
        return stated
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _meta(new: Dataset, syntax: str) -> FileMetaDataset:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = new.SOPClassUID
    meta.MediaStorageSOPInstanceUID = new.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = f"HOIMG_{hoimg.__version__}"[:16]
    return meta


def _encoded(new: Dataset) -> bytes:
    from pydicom import dcmwrite

    buffer = BytesIO()
    dcmwrite(buffer, new, enforce_file_format=True)
    return buffer.getvalue()


def _folder(output: Path, new: Dataset, pseudonyms: Pseudonyms) -> Path:
    patient = str(new.get("PatientName") or "")
    study = pseudonyms.name("study", str(new.StudyInstanceUID))
    return output / patient / study / pseudonyms.name("series", str(new.SeriesInstanceUID))


def _write(data: bytes, folder: Path, name: str) -> None:
    """Write under the first free name; images with one UID stand beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (f"{name}.dcm" if number == 1 else f"{name}-{number}.dcm")
        try:
            stream = path.open("xb")
        except FileExistsError:
            number += 1
            continue
        try:
            with stream:
                stream.write(data)
        except OSError:
            os.unlink(path)  # noqa: PTH108 - half a file is worse than none
            raise
        return
