"""Studies out of an archive into a folder: what is there whole stays, the rest is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hoimg.pacs.archive import Archive, Instance, Query, chosen
from hoimg.pacs.errors import PacsError
from hoimg.pacs.folder import PullFolder


@dataclass(frozen=True)
class Pulled:
    """What a pull has done.

    Attributes:
        studies: Number of studies that match.
        instances: Number of objects in them by the archive's own count; all of them are there.
        fetched: How many of these came now; the others were there.
        others: Studies that the archive named although they do not match; they were not fetched.
    """

    studies: int
    instances: int
    fetched: int
    others: int


def pull(
    archive: Archive, query: Query, folder: Path, on_progress: Callable[[int, int], None]
) -> Pulled:
    """Fetch all studies that match, and see that every object that the archive lists is there.

    Stopped at any moment and run again, it goes on where it was: no object comes twice, none is
    left out, and a file that was changed since is fetched again.

    Args:
        archive: Where from.
        query: Which studies.
        folder: Where to; see :class:`~hoimg.pacs.folder.PullFolder`.
        on_progress: Called before each object with the number of those at hand and of all.

    Returns:
        The counts.

    Raises:
        PacsError: nothing matches, the archive cannot be reached or breaks off, or some objects
            could not be had; the others are there.
        UsageError: when the folder cannot be used.
    """
    here = PullFolder(folder)
    studies, others = chosen(archive, query)
    if not studies:
        raise PacsError("the archive has no study that matches", "nothing_found")
    try:
        listed = [archive.instances(study) for study in studies]
        wanted = [instance for instances, _ in listed for instance in instances]
        missing = [i for i in wanted if not here.holds(i)]
        refused = _fetch(archive, missing, here, len(wanted), on_progress)
    finally:
        # Also when it breaks off: what came is not fetched again.
        here.save()
    if refused:
        first = next(iter(refused.values()))
        raise PacsError(
            f"{len(refused)} of {len(wanted)} objects could not be had (the first: {first}); the "
            "others are in the folder, run the command again for the rest",
            "incomplete",
        )
    counted = sum(count for _, count in listed)
    if counted != len(wanted) or not wanted:
        raise PacsError(
            f"the archive counts {counted} objects and names {len(wanted)}; these are in the "
            "folder. Images may still be arriving: run the command again later",
            "incomplete",
        )
    return Pulled(len(studies), len(wanted), len(missing), others)


def _fetch(
    archive: Archive,
    missing: list[Instance],
    here: PullFolder,
    total: int,
    on_progress: Callable[[int, int], None],
) -> dict[Instance, PacsError]:
    """Fetch what is missing, series by series; give those that could not be had."""
    absent = {i: PacsError("the archive did not send it", "bad_answer") for i in missing}
    done = total - len(missing)
    for _, members in groupby(missing, key=lambda i: (i.study_uid, i.series_uid)):
        on_progress(done, total)
        for instance, found in archive.fetch(list(members)):
            if isinstance(found, PacsError):
                absent[instance] = found
                continue
            try:
                here.add(instance, found)
            except PacsError as error:
                absent[instance] = error
                continue
            del absent[instance]
            done += 1
            on_progress(done, total)
    return absent
