"""Read ``case.json``: the truth of a simulated, planted or reader-drawn case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hoimg.errors import InputRefused, UsageError

FILE = "case.json"


class _Truth(BaseModel):
    """Fields beyond these may stand in the file; they are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TruthExam(_Truth):
    """One exam of a case; paths are relative to the file."""

    folder: str
    days: int = 0
    labelmap: str | None = Field(default=None, description="None: no lesion is drawn.")
    skeleton: str | None = Field(default=None, description="Mask for runs guided by a skeleton.")


class TruthObservation(_Truth):
    """A lesion in one exam."""

    exam: int = Field(ge=0)
    label: int = Field(gt=0)
    volume_mm3: float = Field(gt=0)
    stage: float | None = Field(default=None, ge=0, le=1)
    merged_into: str | None = None


class TruthLesion(_Truth):
    """A lesion over all exams."""

    id: str
    observations: tuple[TruthObservation, ...]
    label: str | None = None
    where: Literal["free", "near", "attached"] | None = None


class TruthCase(_Truth):
    """The whole of ``case.json``."""

    exams: tuple[TruthExam, ...] = Field(min_length=1)
    lesions: tuple[TruthLesion, ...] = ()
    family: str | None = Field(default=None, description="Kind of case, for tables per kind.")

    def in_exam(self, index: int) -> list[tuple[TruthLesion, TruthObservation]]:
        """Lesions that are drawn in one exam; one that another took up counts as the other."""
        return [
            (lesion, seen)
            for lesion in self.lesions
            for seen in lesion.observations
            if seen.exam == index and seen.merged_into is None
        ]


def find_cases(path: Path) -> list[Path]:
    """Folders with a ``case.json``: the one that is given, or those below it, by name.

    Raises:
        UsageError: when there is none.
    """
    if (path / FILE).is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; name a case folder or a folder of cases")
    # The search does not follow links; a folder of links to cases is welcome all the same.
    linked = {child for child in path.iterdir() if (child / FILE).is_file()}
    found = sorted({file.parent for file in path.rglob(FILE)} | linked)
    if not found:
        raise UsageError(f"{path}: no {FILE} in it; make cases with 'hoimg simulate'")
    return found


def read_case(folder: Path) -> TruthCase:
    """Read and check one ``case.json``.

    Raises:
        InputRefused: when it cannot be read, lacks a field or names an exam that is not there.
    """
    file = folder / FILE
    try:
        raw: Any = json.loads(file.read_text(encoding="utf-8"))
        case = TruthCase.model_validate(raw)
    except (OSError, ValueError) as error:
        where = ""
        if isinstance(error, ValidationError):
            where = " (" + "/".join(str(part) for part in error.errors()[0]["loc"]) + ")"
        raise InputRefused(
            f"{file}: is no truth of a case{where}; see docs/contracts.md for its fields",
            "case_unreadable",
        ) from error
    for lesion in case.lesions:
        for seen in lesion.observations:
            if seen.exam >= len(case.exams) or case.exams[seen.exam].labelmap is None:
                raise InputRefused(
                    f"{file}: lesion {lesion.id} is seen in exam {seen.exam}, which has no label "
                    "map; mend the file",
                    "case_unreadable",
                )
    return case
