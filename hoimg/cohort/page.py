"""``cohort.html``: everybody of a batch on one self-contained page without any request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hoimg.archive.plan import PATIENTS
from hoimg.archive.queries import GROWING
from hoimg.cohort.figures import KINDS, counts, regions, waterfall
from hoimg.cohort.read import LesionCourse, Patient, read_cohort
from hoimg.cohort.swimmer import legend, swimmer
from hoimg.cohort.thumbnails import thumbnail
from hoimg.report import scripted, words
from hoimg.report.reasons import reason_text
from hoimg.report.templating import environment
from hoimg.results import STATEMENT
from hoimg.whole_files import write_whole

COHORT = "cohort.html"
PICTURES_BYTES = 24_000_000
"""Of all pictures on the page; who comes after that has none there."""
MOST_REASONS = 12
_LABELS = ("immature", "indeterminate", "mature")

Step = Callable[[int, int], None]


def write_cohort(out: Path, on_progress: Step = lambda _done, _total: None) -> Path:
    """Write the page beside the database of a batch.

    Args:
        out: Folder of the results.
        on_progress: Called with reports looked into, and all of them.

    Returns:
        Path of the page.

    Raises:
        UsageError: when the folder holds no results of a batch, or too many patients for a page.
        OSError: when it cannot be written; a page of before stands then.
    """
    page = page_html(read_cohort(out), out, on_progress)
    write_whole(out / COHORT, page.encode())
    return out / COHORT


def page_html(
    patients: Sequence[Patient], out: Path, on_progress: Step = lambda _done, _total: None
) -> str:
    """Render the page.

    Args:
        patients: Of the batch.
        out: Folder of the results; reports are looked for in it.
        on_progress: As of :func:`write_cohort`.
    """
    from markupsafe import Markup

    lesions = [lesion for patient in patients for lesion in patient.lesions]
    left, rows = PICTURES_BYTES, []
    for number, patient in enumerate(patients):
        row = _row(patient, out)
        if row["link"] is not None and left > 0:
            row["picture"] = thumbnail(out / PATIENTS / patient.key / "report.html")
            left -= len(row["picture"] or "")
        rows.append(row)
        on_progress(number + 1, len(patients))
    bars, lanes = waterfall(lesions), swimmer(lesions)
    failed = Counter(p.code or "unknown" for p in patients if not p.done)
    examples = {p.code or "unknown": p.message or "" for p in reversed(patients) if not p.done}
    opened = Counter(
        reason_text(code) for x in lesions if x.label == "indeterminate" for code in x.reasons
    )
    return environment("hoimg.cohort").get_template("cohort.html.j2").render(
        style=Markup(_style()),
        script=Markup(_script()),
        policy=scripted.policy_of(_style(), _script()),
        answer=answer(patients),
        rows=rows,
        bars=bars,
        bar_kinds=[(k, words.CATEGORIES.get(k, "not compared")) for k in KINDS if bars.kinds[k]],
        without=words.join([f"{n} {words.CATEGORIES[c]}" for c, n in bars.without.most_common()]),
        lanes=lanes,
        legend=legend(),
        regions=regions(lesions),
        failed=counts("Patients without a report by reason", failed.most_common()),
        failed_rows=[(code, n, examples[code]) for code, n in failed.most_common()],
        opened=counts("Lesions without a label by reason", opened.most_common(MOST_REASONS)),
        more_reasons=max(0, len(opened) - MOST_REASONS),
        statement=STATEMENT,
    )  # fmt: skip


def answer(patients: Sequence[Patient]) -> str:
    """The cohort in one line."""
    done = sum(p.done for p in patients)
    labels = Counter(lesion.label for p in patients for lesion in p.lesions)
    told = f"{done} of {words.count(len(patients), 'patient')} with a report"
    if not labels:
        return f"{told}: no heterotopic ossification was called"
    return f"{told}, {_label_words(labels)} on imaging"


def _row(patient: Patient, out: Path) -> dict[str, Any]:
    """What the table and the gallery show of a patient."""
    labels = Counter(lesion.label for lesion in patient.lesions)
    changes = [lesion.change for lesion in patient.lesions if lesion.change is not None]
    largest = max((c.volume_pct for c in changes if c.volume_pct is not None), default=None)
    report = out / PATIENTS / patient.key / "report.html"
    volume = words.cm3(patient.total_mm3)
    return {
        "key": patient.key,
        "status": patient.status,
        "why": f"{patient.code}: {patient.message or ''}" if patient.code else "",
        # Quoted whole, so that no key leads out of the folder.
        "link": f"{PATIENTS}/{quote(patient.key, safe='')}/report.html"
        if patient.done and _plain(patient.key) and report.is_file()
        else None,
        "picture": None,
        "exams": len(patient.days),
        "days": patient.days[-1] - patient.days[0] if patient.days else None,
        "lesions": len(patient.lesions) if patient.done else None,
        "labels": {name: labels[name] for name in _LABELS} if patient.done else {},
        "growing": sum(c.category in GROWING for c in changes) if patient.done else None,
        "volume": volume,
        "volume_text": words.number(volume) if volume is not None else "–",
        "change": largest,
        "change_text": words.percent(largest) if largest is not None else "–",
        "warnings": patient.warnings,
        "brief": _brief(patient),
        "search": " ".join(
            [patient.key, patient.code or "", *sorted(_words_of(patient.lesions))]
        ).lower(),
    }


def _brief(patient: Patient) -> str:
    if not patient.lesions:
        return "no lesion called"
    return _label_words(Counter(lesion.label for lesion in patient.lesions))


def _label_words(labels: Counter[str]) -> str:
    """E.g. ``3 lesions: 2 immature and 1 mature``."""
    parts = words.join([f"{labels[x]} {x}" for x in _LABELS if labels[x]])
    return f"{words.count(labels.total(), 'lesion')}: {parts}"


def _words_of(lesions: Sequence[LesionCourse]) -> set[str]:
    """What a reader may look for: labels, regions, reasons and categories of change."""
    found = {word for x in lesions for word in (x.label, x.region or "", *x.reasons)}
    return found | {x.change.category for x in lesions if x.change is not None}


def _plain(key: str) -> bool:
    return bool(key) and key not in (".", "..") and not set(key) & set("/\\\0")


@cache
def _style() -> str:
    return _template("hoimg.report", "report.css") + _template("hoimg.cohort", "cohort.css")


@cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + _template("hoimg.cohort", "cohort.js") + "})();\n"


def _template(package: str, name: str) -> str:
    return files(package).joinpath("templates", name).read_text(encoding="utf-8")
