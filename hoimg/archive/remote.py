"""Patients of a PACS: asked for by a query in an address, pulled when it is their turn."""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from pathlib import Path
from urllib.parse import parse_qsl

from hoimg.archive.census import Case, Census
from hoimg.dicom.clean import patient_key
from hoimg.dicom.people import identity
from hoimg.errors import UsageError
from hoimg.pacs.archive import Archive, Query
from hoimg.pacs.connect import connect
from hoimg.pacs.folder import MANIFEST
from hoimg.pacs.pull import pull

_KEYS = ("PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate", "ModalitiesInStudy")


def split_query(address: str) -> tuple[str, Query]:
    """An address with a query, such as ``https://host/dicom-web?ModalitiesInStudy=CT``.

    Args:
        address: As ``hoimg pull`` takes it, with a query as QIDO-RS writes it behind: PatientID,
            StudyInstanceUID, AccessionNumber, StudyDate (a day or ``A-B``), ModalitiesInStudy.

    Returns:
        The address without it, and the query.

    Raises:
        UsageError: without a query, or with a key that an answer could not be held to.
    """
    url, _, words = address.partition("?")
    pairs = parse_qsl(words, keep_blank_values=True)
    given = dict(pairs)
    if not pairs or len(given) < len(pairs) or not set(given) <= set(_KEYS):
        raise UsageError(
            f"{url}: say whose studies with ?KEY=VALUE&..., each of {', '.join(_KEYS)} at most once"
        )
    since, until = _days(given.get("StudyDate"))
    return url, Query(
        given.get("PatientID"),
        given.get("StudyInstanceUID"),
        given.get("AccessionNumber"),
        since,
        until,
        given.get("ModalitiesInStudy"),
    )


def census_of_pacs(archive: Archive, query: Query, url: str) -> Census:
    """Who has studies that match; nothing is pulled.

    The hash of the input is that of the studies and of how many objects the archive counts in
    each: an object that is replaced by another one is not noticed.

    Args:
        archive: Open.
        query: Which studies.
        url: Where the archive is, for who pulls them.

    Raises:
        PacsError: when it cannot be asked.
    """
    counts: dict[str, dict[str, str]] = defaultdict(dict)
    for study in filter(query.matches, archive.studies(query)):
        uid = study["StudyInstanceUID"]
        who = identity(study["PatientID"].strip(), study["IssuerOfPatientID"].strip(), uid)
        counts[patient_key(who)][uid] = study["NumberOfStudyRelatedInstances"]
    cases = []
    for key, studies in sorted(counts.items()):
        words = "\n".join(f"{uid} {number}" for uid, number in sorted(studies.items()))
        digest = hashlib.sha256(words.encode()).hexdigest()
        cases.append(Case(key, (), digest, url, tuple(sorted(studies))))
    return Census(tuple(cases), (), 0)


def pull_studies(url: str, studies: tuple[str, ...], folder: Path) -> None:
    """Pull the studies of a patient; user and password are those of the worker's environment.

    Args:
        url: Of the archive.
        studies: Study Instance UIDs.
        folder: Where to; see :class:`~hoimg.pacs.folder.PullFolder`.

    Raises:
        PacsError: when not all of it can be had.
    """
    archive, _ = connect(url)
    with archive:
        for study in studies:
            pull(archive, Query(study_uid=study), folder, lambda _done, _total: None)
    # A report counts every file that is no image; this one is ours.
    (folder / MANIFEST).unlink()


def _days(text: str | None) -> tuple[datetime.date | None, datetime.date | None]:
    """First and last day of ``20240101``, ``20240101-20240630``, ``20240101-`` or ``-20240630``."""
    if text is None:
        return None, None
    first, dash, last = text.partition("-")
    try:
        since, until = (
            datetime.datetime.strptime(day, "%Y%m%d").date() if day else None
            for day in (first, last if dash else first)
        )
    except ValueError:
        since = until = None
    if since is None and until is None:
        raise UsageError("StudyDate: give a day as YYYYMMDD, or A-B, of which one may lack")
    return since, until
