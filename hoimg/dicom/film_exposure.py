"""Which films are images of one exposure: the detector's values, and what was made of them.

They show one moment and one projection, so they are one film: two would count its lesions twice.
Only what the headers state makes them one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hoimg.dicom.quiet import quiet_pydicom
from hoimg.dicom.values import DatasetSource, Values

if TYPE_CHECKING:
    from pydicom import Dataset

    from hoimg.dicom.film import FilmInfo

ASPECT = 0.02
"""Images of one exposure have one form (relative); a part cut out of a plate has another."""
_TO_THE_SECOND = re.compile(r"\d{8}(?!000000)\d{6}.*")
"""Midnight sharp is what writers put where they know no time."""


@dataclass(frozen=True)
class Exposure:
    """What a header states of the exposure.

    Attributes:
        irradiation: IrradiationEventUID; several of a stitched film.
        sources: SOP instance UIDs of the images that it was made of.
        acquired: AcquisitionDateTime, or AcquisitionDate with AcquisitionTime; empty when it is not
            stated to the second.
        number: AcquisitionNumber; empty when it is not stated.
    """

    irradiation: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    acquired: str = ""
    number: str = ""


def exposure_of(dataset: Dataset) -> Exposure:
    """Read what a header states of the exposure."""
    with quiet_pydicom():
        values = Values(DatasetSource(dataset))
        sources: list[str] = []
        try:
            for item in dataset.get("SourceImageSequence") or ():
                sources.append(str(item.ReferencedSOPInstanceUID))
        except Exception:  # a damaged sequence says nothing
            sources = []
        acquired = values.text("AcquisitionDateTime").strip()
        if not acquired:
            acquired = (
                values.text("AcquisitionDate").strip() + values.text("AcquisitionTime").strip()
            )
        return Exposure(
            tuple(values.many("IrradiationEventUID")),
            tuple(sources),
            acquired if _TO_THE_SECOND.fullmatch(acquired) else "",
            values.text("AcquisitionNumber").strip(),
        )


def same_exposure(one: FilmInfo, other: FilmInfo) -> bool:
    """Whether two films of one day are images of one exposure.

    Irradiation event UIDs decide where both state them. Else one was made of the other, or both of
    one and the same image; else one is FOR PROCESSING, the other FOR PRESENTATION, and both were
    acquired in the same second with the same acquisition number. View and side must not contradict,
    and the form must be the same.
    """
    for first, second in (
        (one.view or one.plane, other.view or other.plane),
        (one.side, other.side),
    ):
        if first is not None and second is not None and first != second:
            return False
    across = one.rows * other.columns, other.rows * one.columns
    if abs(across[0] - across[1]) > ASPECT * max(across) or one.frame or other.frame:
        return False
    a, b = one.exposure, other.exposure
    if a.irradiation and b.irradiation:
        return a.irradiation == b.irradiation
    if (one.sop_uid or None) in b.sources or (other.sop_uid or None) in a.sources:
        return len(a.sources) <= 1 and len(b.sources) <= 1
    if a.sources and a.sources == b.sources:
        return len(a.sources) == 1
    intents = {one.intent, other.intent}
    return (
        intents == {"FOR PROCESSING", "FOR PRESENTATION"}
        and a.acquired == b.acquired != ""
        and a.number == b.number
    )


def one_of_each(
    films: Sequence[FilmInfo], preferred: Sequence[bool]
) -> list[tuple[int, list[int]]]:
    """One image of each exposure, and those that it stands for, by number.

    Args:
        films: Of one day.
        preferred: For each, whether the user named its series.

    Returns:
        Of each exposure the film that is kept, and the others.
    """
    groups: list[list[int]] = []
    for k, film in enumerate(films):
        fitting = [g for g in groups if any(same_exposure(films[i], film) for i in g)]
        groups = [g for g in groups if g not in fitting]
        groups.append([*(i for g in fitting for i in g), k])
    made = []
    for group in sorted(groups, key=min):
        best = min(group, key=lambda k: (not preferred[k], *_rank(films[k])))
        made.append((best, sorted(k for k in group if k != best)))
    return made


def _rank(film: FilmInfo) -> tuple[int, int, str]:
    """The lowest is kept: made to be looked at first, then the one with most pixels."""
    intent = 0 if film.intent == "FOR PRESENTATION" else 1 if film.intent is None else 2
    return (intent, -film.rows * film.columns, film.sop_uid)
