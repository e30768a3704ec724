"""A report's DICOM objects into an archive, each once, and read back to see that they are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hoimg.errors import UsageError
from hoimg.pacs.archive import Archive, Instance
from hoimg.pacs.compare import differences
from hoimg.pacs.errors import PacsError
from hoimg.pacs.folder import header_of


@dataclass
class Pushed:
    """What a push has done.

    Attributes:
        stored: Objects that went out now and came back as they were sent.
        held: Objects that were there already, the same.
        changed: Keywords that the archive put right when it filed them (patient and study).
        conflicts: Files whose UID stands for another object in the archive; not sent.
        refused: Files that the archive did not take, or does not give back, and why.
        unread: Files that are there by the archive's own word: it lets nobody fetch.
    """

    stored: int = 0
    held: int = 0
    changed: set[str] = field(default_factory=set)
    conflicts: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outgoing:
    """A DICOM object of a report: its path in the report, and its UIDs."""

    name: str
    path: Path
    instance: Instance


def dicom_objects(report: Path) -> list[Outgoing]:
    """The DICOM objects of a report, as its manifest lists them.

    Args:
        report: The report's folder.

    Raises:
        UsageError: when it is no whole report, has no such objects, or one was changed.
    """
    from hoimg.report.files import sha256
    from hoimg.report.writer import written_files

    written = written_files(report)
    if not written:
        raise UsageError(
            f"{report}: is no folder that hoimg report has written (no manifest.json to be read)"
        )
    found = []
    for name in sorted(n for n in written if n.endswith(".dcm")):
        path = report / name
        header = header_of(path) if path.is_file() and sha256(path) == written[name] else None
        if header is None:
            raise UsageError(
                f"{path}: is missing, or was changed since the report was written; "
                "make the report again with hoimg report"
            )
        uids = Instance(header.study_uid, header.series_uid, header.sop_uid)
        found.append(Outgoing(name, path, uids))
    if not found:
        raise UsageError(
            f"{report}: holds no DICOM objects; they are made for exams read from DICOM files"
        )
    return found


def push(
    archive: Archive, objects: Sequence[Outgoing], on_progress: Callable[[str], None]
) -> Pushed:
    """Store what is not there, and read everything back.

    UIDs follow from the content, so that a second run finds the first one's objects and sends
    none again; a run that broke off goes on where it was.

    Args:
        archive: Where to.
        objects: Of one report.
        on_progress: Called before each object with its path in the report.

    Raises:
        PacsError: when the archive cannot be reached, does not let us in, or breaks off.
    """
    done = Pushed()
    there = _listed(archive, objects)
    for out in objects:
        on_progress(out.name)
        try:
            _push(archive, out, out.instance in there, done)
        except PacsError as error:
            if error.kind != "refused":
                raise
            done.refused.append((out.name, str(error)))
    there = _listed(archive, objects)
    told = {*done.conflicts, *(name for name, _ in done.refused)}
    done.refused += [
        (out.name, "a search of the archive does not find it")
        for out in objects
        if out.name not in told and out.instance not in there
    ]
    return done


def _push(archive: Archive, out: Outgoing, there: bool, done: Pushed) -> None:
    """Store an object that is not there; compare what the archive then has of it."""
    sent = out.path.read_bytes()
    if not there:
        archive.store(sent)
    try:
        held = _held(archive, out.instance)
    except PacsError as error:
        if error.kind != "cannot_fetch":
            raise
        done.unread.append(out.name)
    else:
        changed = None if held is None else differences(sent, held)
        if changed is None:
            if held is None:
                done.refused.append((out.name, "the archive names it and does not give it"))
            else:
                done.conflicts.append(out.name)
            return
        done.changed.update(changed)
    done.stored += not there
    done.held += there


def _held(archive: Archive, instance: Instance) -> bytes | None:
    """The object as the archive gives it; None when it has none of this UID."""
    for _, found in archive.fetch([instance]):
        if not isinstance(found, PacsError):
            return found
        if found.kind != "not_found":
            raise found
    return None


def _listed(archive: Archive, objects: Sequence[Outgoing]) -> set[Instance]:
    """What a search finds in the studies of the objects: viewers search."""
    return {
        instance
        for uid in {out.instance.study_uid for out in objects}
        for instance in archive.instances(uid)[0]
    }
