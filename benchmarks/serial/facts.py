"""What hoimg says of one patient beside what is true: plain numbers, nothing judged yet.

Truth comes from ``case.json`` and the label maps alone. A true lesion is found in an exam when one
reported lesion covers at least :data:`COVERED` of it, or overlaps it by that much of both together.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

COVERED = 0.25
WHOLE = 0.999
Facts = dict[str, Any]


def analyse(folder: Path, mode: str) -> Facts:
    """Run hoimg on one case and put what it says beside the truth.

    Args:
        folder: With ``case.json``.
        mode: ``none``: ``analyze_patient`` without help. ``mask``: true outlines given at every
            exam, so that tracking, change and label stand alone.
    """
    import hoimg.serial
    from hoimg import analyze_patient, read_patient
    from hoimg.settings import Settings

    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    patient = read_patient([folder / exam["folder"] for exam in case["exams"]])
    found: list[tuple[Any, Any, Any]] = []
    register = hoimg.serial.register

    def noted(
        fixed: Any, fixed_bone: Any, moving: Any, moving_bone: Any, *rest: Any, **more: Any
    ) -> Any:
        made = register(fixed, fixed_bone, moving, moving_bone, *rest, **more)
        found.append((fixed, moving, made))
        return made

    hoimg.serial.register = noted
    try:
        if mode == "none":
            result = analyze_patient(patient)
            lesions, images = result.report.lesions, result.images
            volumes = {k: v.volume for k, v in images.items()}
            maps = {k: v.lesions for k, v in images.items()}
        else:
            lesions, volumes, maps = _with_masks(folder, case, patient, Settings())
    finally:
        hoimg.serial.register = register
    days = {e.days_from_baseline: e.exam_id for e in patient.exams}
    ids = [days[exam["days"]] for exam in case["exams"]]
    names = {id(volumes[k]): k for k in volumes}
    return {
        "case": folder.name,
        "family": case["family"],
        "event": case["event"],
        "mode": mode,
        "exams": [
            {k: e[k] for k in ("days", "slice_mm", "kernel", "kvp", "bends", "metal")}
            for e in case["exams"]
        ],
        "registrations": [
            _registration(case, ids.index(names[id(a)]), ids.index(names[id(b)]), made)
            for a, b, made in found
        ],
        "lesions": _lesions(folder, case, ids, lesions, maps),
    }


def _with_masks(
    folder: Path, case: Facts, patient: Any, settings: Any
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Each exam with its true outlines, then followed as the pipeline does it."""
    from hoimg.analysis import images_of
    from hoimg.follow import Course, followed
    from hoimg.guidance import Guidance
    from hoimg.image import read_mask
    from hoimg.pipeline import analyze_exam

    by_day = {e["days"]: e for e in case["exams"]}
    analyses = []
    for exam in patient.exams:
        mask = read_mask(folder / by_day[exam.days_from_baseline]["labelmap"])
        given = Guidance(mask=mask) if mask.array.any() else None
        made = analyze_exam(exam, settings, given)
        if given is None:  # nothing is there: what was found instead is left out
            empty = replace(mask, array=np.zeros_like(mask.array))
            made = replace(
                made,
                segmentation=replace(made.segmentation, lesions=empty),
                measurements=replace(made.measurements, observations={}),
            )
        analyses.append(made)
    course = Course(
        patient.patient_key,
        {e.exam_id: e.days_from_baseline for e in patient.exams},
        patient.baseline_date,
        None,
    )
    lesions, _, _ = followed(analyses, course, (), settings, lambda _: None)
    images = images_of(analyses)
    return (
        lesions,
        {k: v.volume for k, v in images.items()},
        {k: v.lesions for k, v in images.items()},
    )


def _registration(case: Facts, fixed: int, moving: int, made: Any) -> Facts:
    """A registration's error at the lesions' points, mm; by lesions in view at both exams."""
    bent = any(case["exams"][k]["bends"] for k in (fixed, moving))
    errors = []
    for lesion in case["lesions"]:
        here, there = (lesion["places"][k] for k in (fixed, moving))
        if any(p["in_view"] is not None and p["in_view"] < WHOLE for p in (here, there)):
            continue
        if here["in_view"] is None and there["in_view"] is None:
            continue
        points = np.array(here["points_lps_mm"])
        gaps = np.linalg.norm(made.carry_body(points) - np.array(there["points_lps_mm"]), axis=1)
        errors.append({"lesion": lesion["id"], "where": lesion["where"], "mm": gaps.tolist()})
    return {
        "fixed": fixed,
        "moving": moving,
        "bent": bent,
        "bends": case["exams"][moving]["bends"],
        "accepted": bool(made.accepted),
        "reason": made.reason,
        "errors": errors,
    }


def _lesions(
    folder: Path, case: Facts, ids: list[str], lesions: list[Any], maps: dict[str, Any]
) -> list[Facts]:
    import SimpleITK as sitk

    owner = {
        (o.exam_id, o.label): lesion
        for lesion in lesions
        for o in lesion.observations
        if o.label is not None
    }
    matched: list[dict[int, int]] = []
    for index, exam in enumerate(case["exams"]):
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / exam["labelmap"])))
        matched.append(_overlaps(truth, maps[ids[index]].array) if ids[index] in maps else {})
    out = []
    for lesion in case["lesions"]:
        states = {o["exam"]: o for o in lesion["observations"]}
        seen: list[Facts] = []
        for index in range(len(ids)):
            place, state = lesion["places"][index], states.get(index)
            label = None if state is None else matched[index].get(state["label"])
            track = None if label is None else owner.get((ids[index], label))
            seen.append(
                {
                    "volume_mm3": None if state is None else state["volume_mm3"],
                    "stage": None if state is None else state["stage"],
                    "merged": bool(state and state.get("merged_into")),
                    "in_view": place["in_view"],
                    "metal_mm": place["metal_mm"],
                    "reported": label,
                    "track": None if track is None else track.lesion_id,
                    "measured_mm3": _measured(track, ids[index]),
                    "flags": _flags(track, ids[index]),
                }
            )
        tracks = sorted({s["track"] for s in seen if s["track"]})
        named = {t.lesion_id: t for t in lesions}
        out.append(
            {
                "id": lesion["id"],
                "story": lesion["story"],
                "where": lesion["where"],
                "label": lesion["label"],
                "red_flag": lesion["red_flag"],
                "split_from": lesion["split_from"],
                "merged_into": next(
                    (o["merged_into"] for o in states.values() if o.get("merged_into")), None
                ),
                "seen": seen,
                "tracks": {
                    name: {
                        "label": named[name].maturity.label,
                        "reasons": list(named[name].maturity.reasons),
                        "changes": [
                            {
                                "from": ids.index(c.from_exam),
                                "to": ids.index(c.to_exam),
                                "category": c.category,
                                "comparable": c.comparable,
                                "volume_change_pct": c.volume_change_pct,
                                "volume_rc_pct": c.volume_rc_pct,
                                "parents": list(c.parents),
                                "flags": list(c.flags),
                            }
                            for c in named[name].changes
                        ],
                    }
                    for name in tracks
                },
            }
        )
    return out


def _measured(track: Any, exam_id: str) -> float | None:
    if track is None:
        return None
    return next((o.volume_mm3 for o in track.observations if o.exam_id == exam_id), None)


def _flags(track: Any, exam_id: str) -> list[str]:
    if track is None:
        return []
    return next((list(o.flags) for o in track.observations if o.exam_id == exam_id), [])


def _overlaps(truth: np.ndarray, reported: np.ndarray) -> dict[int, int]:
    """True label to the reported one that shows it."""
    if truth.shape != reported.shape:
        raise ValueError(f"the label maps differ in shape: {truth.shape}, {reported.shape}")
    out = {}
    sizes = np.bincount(reported.ravel())
    for label in np.unique(truth[truth > 0]).tolist():
        inside = truth == label
        counts = np.bincount(reported[inside], minlength=len(sizes)).astype(float)
        counts[0] = 0
        best = int(counts.argmax())
        whole = inside.sum() + sizes[best] - counts[best]
        if counts[best] >= COVERED * inside.sum() or counts[best] / whole >= COVERED:
            out[label] = best
    return out


def planted_failure(kind: str, one: Path, other: Path) -> Facts:
    """A registration that must be refused: ``mirrored``, ``another patient`` or ``no overlap``.

    Args:
        kind: Which.
        one: The case whose first exam is fixed.
        other: For ``another patient`` the case whose first exam moves; else not used.
    """
    from hoimg.image import CTVolume
    from hoimg.segment import segment_exam
    from hoimg.serial import register

    def volume(folder: Path, index: int) -> CTVolume:
        from hoimg.dicom import load_volume, read_patient

        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        return load_volume(read_patient([folder / case["exams"][index]["folder"]]).exams[0])

    fixed = volume(one, 0)
    moving = volume(other, 0) if kind == "another patient" else volume(one, -1)
    if kind == "mirrored":
        moving = CTVolume(np.ascontiguousarray(moving.hu[:, :, ::-1]), moving.grid)
    if kind == "no overlap":
        half = int(0.45 * min(fixed.hu.shape[0], moving.hu.shape[0]))
        fixed = _slab(fixed, 0, half)
        moving = _slab(moving, moving.hu.shape[0] - half, moving.hu.shape[0])
    bones = [segment_exam(v).skeleton for v in (fixed, moving)]
    made = register(fixed, bones[0], moving, bones[1])
    return {
        "kind": kind,
        "case": one.name,
        "other": other.name,
        "accepted": bool(made.accepted),
        "reason": made.reason,
    }


def _slab(volume: Any, start: int, stop: int) -> Any:
    _, ny, nx = volume.hu.shape
    return volume.crop((slice(start, stop), slice(0, ny), slice(0, nx)))
