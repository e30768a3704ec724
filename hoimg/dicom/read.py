"""One patient from files and folders: the exams that can be analysed, and why others cannot."""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hoimg.dicom.choose import choose_together
from hoimg.dicom.clean import clean_text, patient_key
from hoimg.dicom.film import FilmInfo
from hoimg.dicom.film_exposure import one_of_each
from hoimg.dicom.findings import finding
from hoimg.dicom.scan import Progress, scan
from hoimg.dicom.sources import Sources
from hoimg.dicom.types import Exam, Inventory, Patient, SeriesInfo
from hoimg.errors import InputRefused, UsageError
from hoimg.results import Finding
from hoimg.settings import Settings


@dataclass(frozen=True)
class _Choice:
    """What becomes an exam: a CT series with the reason why it, or one film of a series."""

    series: SeriesInfo
    reason: str
    notes: tuple[Finding, ...] = ()
    film: FilmInfo | None = None

    @property
    def key(self) -> str:
        """What tells the exam from all others, without its day."""
        if self.film is None:
            return self.series.study_uid
        named = self.film.sop_uid or f"{self.series.series_uid}|{self.film.file.name}"
        return f"{named}|{self.film.frame}"

    @property
    def order(self) -> tuple[object, ...]:
        """By date and time; of one study the CT first, then films from the front."""
        series, film = self.series, self.film
        planes = ("frontal", "lateral", "oblique", None)
        place = 0 if film is None else 1 + planes.index(film.plane)
        date = series.date or datetime.date.min
        return (date, series.study_time, series.study_uid, place, self.key)


def read_patient(
    paths: Path | Sequence[Path] | Sources,
    settings: Settings | None = None,
    *,
    patient: str | None = None,
    series: str | None = None,
    on_progress: Progress | None = None,
) -> Patient:
    """Read the exams of one patient: a CT series of each study, and every film.

    Args:
        paths: Files or folders, searched recursively, zip archives, a DICOMDIR; or
            :func:`hoimg.dicom.open_sources`, which decides how long unpacked archives stay.
        settings: Limits of the checks; the defaults when None.
        patient: PatientID or patient key, when several patients are under the paths.
        series: SeriesInstanceUID of the CT to take in its study, instead of the one hoimg would
            choose; other studies keep their own choice. Films are all read, whatever it names.
        on_progress: Called with (files read, files to read).

    Returns:
        The patient with at least one exam. Studies that failed their checks are in ``findings``
        and ``unused``; they do not stop the others.

    Raises:
        UsageError: no such path, several patients and none named, unknown patient or series.
        InputRefused: nothing under the paths can be measured.
    """
    if isinstance(paths, Sources):
        roots: Sequence[Path] = paths.roots
    else:
        paths = roots = [paths] if isinstance(paths, Path) else list(paths)
    inventory = scan(paths, settings, on_progress=on_progress)
    return select_patient(inventory, roots, patient=patient, series=series)


def select_patient(
    inventory: Inventory,
    roots: Sequence[Path],
    *,
    patient: str | None = None,
    series: str | None = None,
) -> Patient:
    """Choose patient, studies and series from what a scan found (see :func:`read_patient`)."""
    key = _the_patient(inventory, roots, patient)
    own = [s for s in inventory.series if s.patient_key == key]
    if series is not None and not any(s.series_uid == series for s in own):
        raise UsageError(f"{_name(roots)}: no series {clean_text(series)}; see 'hoimg info'")
    studies: dict[str, list[SeriesInfo]] = defaultdict(list)
    for info in own:
        studies[info.study_uid].append(info)
    findings = [*inventory.findings, *inventory.patient_findings.get(key, ())]
    films, copies = _films(own)
    films = _one_film_of_each_exposure(films, series)
    findings += copies
    with_film = {c.series.study_uid for c in films}
    for uid, members in studies.items():
        if not _candidates(members, series):
            findings += _study_findings(members, read=uid in with_film)
        findings += _films_refused(members)
    chosen = [*_choose(list(studies.values()), series), *films]
    if not chosen:
        raise refusal(own, inventory, roots)
    chosen, undated = _dated(chosen, roots)
    findings += undated
    exams = _exams(chosen)
    used = {id(exam.series) for exam in exams}
    return Patient(
        patient_key=key,
        exams=exams,
        findings=tuple(findings),
        unused=tuple(s for s in own if id(s) not in used),
    )


def refusal(
    series: Sequence[SeriesInfo], inventory: Inventory, roots: Sequence[Path]
) -> InputRefused:
    """One line that says why nothing under the paths can be measured, and what to do."""
    name = _name(roots)
    broken = [*inventory.unreadable, *(f for s in series for f in s.bad_files)]
    if broken and not any(s.usable for s in series):
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return InputRefused(
            f"{inventory.origins.get(broken[0], broken[0])}{more}: the file is truncated or "
            "damaged; copy or export it again",
            "truncated_files",
        )
    refused = [
        f for f in inventory.findings if f.code.startswith(("archive_", "dicomdir_", "closed_"))
    ]
    if refused and not series:
        said = " ".join(f.message for f in refused)
        return InputRefused(f"{name}: {said} {refused[0].fix}", refused[0].code)
    if inventory.files_seen == 0:
        return InputRefused(
            f"{name}: the folder is empty; give a folder with a CT series", "empty_folder"
        )
    if not series:
        return InputRefused(
            f"{name}: holds no DICOM images ({inventory.files_seen} other file(s)); "
            "give a folder with a CT series",
            "no_dicom",
        )
    # The series with most images is the one that the user meant.
    tried = [s for s in series if s.kind == "volume"] or list(series)
    largest = max(tried, key=lambda s: (len(s.files), s.series_uid))
    reasons = largest.errors or largest.findings
    said = " ".join(f.message for f in reasons) or "No CT volume."
    codes = ", ".join(f.code for f in reasons)
    code, fix = "not_a_volume", "Give a folder with a CT series."
    if reasons:
        code = reasons[0].code
        fix = (reasons[0].level != "info" and reasons[0].fix) or fix
    return InputRefused(f"{name}: nothing to measure [{codes}]: {said} {fix}", code)


def exam_ids(keyed: Sequence[tuple[int, str, str]]) -> list[str]:
    """Unique, path-safe names from (days, modality, a key), e.g. ``day0090_ct_1a2b3c``.

    The key is the StudyInstanceUID of a CT; of a film its SOPInstanceUID and frame.
    """
    for length in range(6, 65):
        names = [
            f"day{days:04d}_{modality.lower()}_{hashlib.sha256(uid.encode()).hexdigest()[:length]}"
            for days, modality, uid in keyed
        ]
        if len(set(names)) == len(names):
            return names
    raise ValueError("two exams carry the same key")


def _the_patient(inventory: Inventory, roots: Sequence[Path], wanted: str | None) -> str:
    keys = inventory.patient_keys
    if not keys:
        raise refusal((), inventory, roots)
    if wanted is not None:
        if wanted in keys:
            return wanted
        named = patient_key(f"id:{wanted.strip()}")
        own = [
            k for k in keys if inventory.patient_ids.get(k) == wanted.strip() != "" or k == named
        ]
        if len(own) == 1:
            return own[0]
        if own:
            raise UsageError(
                f"{_name(roots)}: {len(own)} patients of different issuers have the ID "
                f"{clean_text(wanted)}; name one by its key: --patient {' or '.join(own)}"
            )
        raise UsageError(f"{_name(roots)}: no patient {clean_text(wanted)}; see 'hoimg info'")
    # A label map beside a scan states no patient, and is nobody's scan.
    scans = {s.patient_key for s in inventory.series if s.kind != "label_map"}
    if not scans:
        raise refusal(inventory.series, inventory, roots)
    keys = tuple(key for key in keys if key in scans)
    if len(keys) > 1:
        named = ", ".join(_label(key, inventory.patient_ids) for key in keys[:8])
        more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
        raise UsageError(
            f"{_name(roots)}: {len(keys)} patients ({named}{more}); "
            "analyse one at a time with --patient ID"
        )
    return keys[0]


def _label(key: str, patient_ids: Mapping[str, str]) -> str:
    identity = clean_text(patient_ids.get(key, ""), 24)
    return f"{identity} [{key}]" if identity else f"no ID [{key}]"


def _name(roots: Sequence[Path]) -> str:
    return ", ".join(str(r) for r in roots[:3]) + (" ..." if len(roots) > 3 else "")


def _candidates(members: Sequence[SeriesInfo], wanted: str | None) -> list[SeriesInfo]:
    """The usable series of a study; of the one that the user named, where it is in the study."""
    named = [s for s in members if s.series_uid == wanted and s.kind != "radiograph"]
    return [s for s in named or members if s.usable]


def _choose(studies: Sequence[Sequence[SeriesInfo]], wanted: str | None) -> list[_Choice]:
    """For each study with something usable: the series, the reason, and what was refused."""
    lists = [(members, _candidates(members, wanted)) for members in studies]
    lists = [pair for pair in lists if pair[1]]
    chosen: list[_Choice] = []
    for (members, _), (best, reason) in zip(
        lists, choose_together([usable for _, usable in lists]), strict=True
    ):
        if best.series_uid == wanted:
            reason = "named by the user (--series)"
        notes = tuple(
            finding(
                "series_refused",
                f"Another CT series of the study ({len(s.files)} images) was refused: "
                f"{', '.join(f.code for f in s.errors)}.",
            )
            for s in members
            if s.kind == "volume" and s.errors
        )
        chosen.append(_Choice(best, reason, notes))
    return chosen


def _films(series: Sequence[SeriesInfo]) -> tuple[list[_Choice], list[Finding]]:
    """Every film that can be read, each once, and whether some were there twice."""
    found: dict[str, _Choice] = {}
    copies = 0
    for info in series:
        for film in info.films:
            choice = _Choice(info, "every film is read", film.findings, film)
            if not film.usable:
                continue
            copies += choice.key in found
            found.setdefault(choice.key, choice)
    said = f"{copies} film(s) are copies of others."
    return list(found.values()), [finding("identical_copies", said)] if copies else []


def _one_film_of_each_exposure(films: Sequence[_Choice], wanted: str | None) -> list[_Choice]:
    """Of several images of one exposure one; it says which ones it stands for."""
    days: dict[object, list[_Choice]] = defaultdict(list)
    for choice in films:
        # Images of one exposure may have been filed in two studies of its day.
        days[choice.series.date or choice.series.study_uid].append(choice)
    kept: list[_Choice] = []
    for members in days.values():
        shown = [c.film for c in members if c.film is not None]
        named = [c.series.series_uid == wanted for c in members]
        for best, others in one_of_each(shown, named):
            choice = members[best]
            kept.append(_for_all(choice, [members[k] for k in others]) if others else choice)
    return kept


def _for_all(choice: _Choice, others: Sequence[_Choice]) -> _Choice:
    """An image of an exposure that stands for others of it."""
    film = choice.film
    assert film is not None
    size = (film.rows, film.columns)
    left = [(c, c.film) for c in others if c.film is not None]
    twins = [
        uid
        for c, f in left
        if (f.rows, f.columns) == size
        for uid in (f.sop_uid, c.series.series_uid)
        if uid and uid != choice.series.series_uid
    ]
    # By the end of the exam_id that each would have had: UIDs are identity.
    said = ", ".join(f"{f.intent or 'no intent stated'} ({_short(c)})" for c, f in left)
    note = finding(
        "same_exposure",
        f"Other image(s) of this exposure were left out: {said}; this one is "
        f"{film.intent or 'of no stated intent'}. One exposure is one film.",
    )
    film = replace(
        film,
        twins=tuple(dict.fromkeys(twins)),
        left_out=tuple(f.sop_uid for _, f in left if f.sop_uid),
    )
    return replace(choice, film=film, notes=(*choice.notes, note))


def _short(choice: _Choice) -> str:
    return hashlib.sha256(choice.key.encode()).hexdigest()[:6]


def _films_refused(members: Sequence[SeriesInfo]) -> list[Finding]:
    """That films of a study cannot be read, and why."""
    bad = [f for s in members for f in s.films if not f.usable]
    if not bad:
        return []
    codes = ", ".join(sorted({n.code for f in bad for n in f.findings if n.level == "error"}))
    return [finding("film_refused", f"{len(bad)} film(s) of a study were left out: {codes}.")]


def _study_findings(members: Sequence[SeriesInfo], *, read: bool) -> list[Finding]:
    """Why a study gives no CT; films that are not read, and MR, are only mentioned.

    Args:
        members: Its series.
        read: Whether films of the study are exams, so that it is not left out as a whole.
    """
    films = [f for s in members if s.kind == "radiograph" and not s.films for f in s.findings[:1]]
    others = [s for s in members if s.kind != "radiograph"]
    refused = [f for s in others for f in s.errors]
    if read and refused:
        codes = ", ".join(sorted({f.code for f in refused}))
        return [*films, finding("series_refused", f"CT beside films was refused: {codes}.")]
    if not refused:
        return [*films, *(f for s in others for f in s.findings if f.level == "warning")]
    codes = ", ".join(sorted({f.code for f in refused}))
    short = hashlib.sha256(members[0].study_uid.encode()).hexdigest()[:6]
    # The study is named by its hash: dates and UIDs are identity.
    return [finding("study_refused", f"Study {short} was left out: {codes}."), *refused]


def _dated(chosen: list[_Choice], roots: Sequence[Path]) -> tuple[list[_Choice], list[Finding]]:
    """Exams in order; of several, those without a date cannot be put into order and are left."""
    if len({c.series.study_uid for c in chosen}) == 1:  # one day, whichever it was
        return sorted(chosen, key=lambda c: c.order), []
    dated = [c for c in chosen if c.series.date is not None]
    if not dated:
        folder = chosen[0].series.files[0].parent
        raise InputRefused(
            f"{_name(roots)}: {len(chosen)} exams without a study date (e.g. {folder}); "
            "give exams with dates, or one exam alone",
            "missing_date",
        )
    missing = len(chosen) - len(dated)
    note = [finding("missing_date", f"{missing} exam(s) state no date and were left out.")]
    dated.sort(key=lambda c: c.order)
    return dated, note if missing else []


def _exams(chosen: Sequence[_Choice]) -> tuple[Exam, ...]:
    start = chosen[0].series.date
    days = [(c.series.date - start).days if c.series.date and start else 0 for c in chosen]
    names = exam_ids([(d, c.series.modality, c.key) for d, c in zip(days, chosen, strict=True)])
    return tuple(
        Exam(
            exam_id=name,
            modality=c.series.modality,
            study_uid=c.series.study_uid,
            series=c.series,
            date=c.series.date,
            days_from_baseline=day,
            acquisition=c.series.acquisition.model_copy(update={"series_choice": c.reason}),
            findings=(*(c.series.findings if c.film is None else ()), *c.notes),
            film=c.film,
        )
        for name, day, c in zip(names, days, chosen, strict=True)
    )
