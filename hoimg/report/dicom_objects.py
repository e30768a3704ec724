"""A report as DICOM objects in the patient's own study: outlines, numbers, a picture of the table.

Of a CT they are SEG, SR and secondary capture, of a film a presentation state beside them.

These objects are made for the archive (PACS) that holds the source images. DICOM files them by the
patient's name and number, so they repeat those of the source headers, nothing more and nothing
less; where the source was de-identified, so are they. See ``docs/methods/dicom_objects.md``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.geometry import bounding_box
from hoimg.report.dicom_context import ObjectContext, Segment
from hoimg.report.dicom_source import read_source
from hoimg.results import Exam, ExamImages, FilmImages, PatientResult, Report
from hoimg.whole_files import write_whole

if TYPE_CHECKING:
    from pydicom import Dataset

SEG_NAME = "lesions.seg.dcm"
SR_NAME = "measurements.sr.dcm"
SC_NAME = "summary.sc.dcm"
PR_NAME = "outlines.pr.dcm"


def write_dicom_objects(result: PatientResult, folder: Path) -> list[Path]:
    """Write the objects of every exam that was read from DICOM files.

    Under ``folder/exams/<exam_id>/``: ``lesions.seg.dcm`` (one binary segment per lesion; not
    written for an exam without lesions, as a Segmentation without a segment is invalid),
    ``measurements.sr.dcm`` (Comprehensive 3D SR, TID 1500) and ``summary.sc.dcm`` (the table as a
    picture). Of a film ``lesions.seg.dcm`` (not of a file of several frames),
    ``measurements.sr.dcm`` (Comprehensive SR, outlines as closed lines), ``outlines.pr.dcm`` (a
    presentation state that draws them) and ``summary.sc.dcm``; the first and third are not written
    where nothing was outlined. The same result gives the same bytes. A file is complete or
    not there at all.

    Args:
        result: The report and the pixels behind it; exams without source files are passed over.
        folder: The report's folder; made where it is missing.

    Returns:
        The paths written, in order of exam and of kind.

    Raises:
        InputRefused: when source files are gone or unreadable, or the label map does not lie on
            their grid.
        ValueError: when the result contradicts itself (a label without a lesion, an exam id that
            is no plain folder name).
    """
    written: list[Path] = []
    for exam in result.report.exams:
        images, film = result.images.get(exam.exam_id), result.films.get(exam.exam_id)
        place = folder / "exams" / _folder_name(exam.exam_id)
        objects: list[tuple[str, Dataset]] = []
        if images is not None and images.source_files:
            objects = _exam_objects(result.report, exam, images)
        elif film is not None and film.source_file is not None:
            objects = _film_objects(result.report, exam, film, film.source_file)
        for name, dataset in objects:
            written.append(_write(dataset, place / name))
    return written


def _exam_objects(report: Report, exam: Exam, images: ExamImages) -> list[tuple[str, Dataset]]:
    from hoimg.report.dicom_sc import build_summary_image
    from hoimg.report.dicom_seg import build_segmentation
    from hoimg.report.dicom_sr import build_measurement_report

    if not images.lesions.grid.same_as(images.volume.grid):
        raise InputRefused(
            f"{exam.exam_id}: the label map is on another grid than the exam; resample it first",
            "dicom_source_misaligned",
        )
    source = read_source(
        images.source_files,
        images.lesions.grid,
        study_uid=exam.study_instance_uid,
        series_uid=exam.series_instance_uid,
        resampled=images.resampled,
    )
    labels = images.lesions.array
    box = bounding_box(labels)
    start, stop = (0, 1) if box is None else (box[0].start, box[0].stop)
    segments = () if box is None else _segments(report, exam.exam_id, np.unique(labels[box]))
    crop = np.ascontiguousarray(labels[box] if box else labels[:0], dtype=np.uint16)
    cited = [str(header.SOPInstanceUID) for header in source.headers]
    content = _content_sha256(report, exam, crop, {"box": repr(box), "images": cited})
    objects: list[tuple[str, Dataset]] = []
    with quiet_pydicom():
        context = ObjectContext(
            report, exam, source, source.plane_images(start, stop), segments, content
        )
        segmentation = (
            build_segmentation(context, source, labels, start, stop) if segments else None
        )
        if segmentation is not None:
            objects.append((SEG_NAME, segmentation))
        objects.append((SR_NAME, build_measurement_report(context, segmentation)))
        objects.append((SC_NAME, build_summary_image(context)))
    return objects


def _film_objects(
    report: Report, exam: Exam, images: FilmImages, file: Path
) -> list[tuple[str, Dataset]]:
    from hoimg.report.dicom_film_source import read_film_source
    from hoimg.report.dicom_film_sr import build_film_report
    from hoimg.report.dicom_pr import build_presentation_state
    from hoimg.report.dicom_sc import build_summary_image
    from hoimg.report.dicom_seg import build_film_segmentation
    from hoimg.report.film_polygons import outlines_of_film

    source = read_film_source(file, exam)
    outlines = outlines_of_film(exam, images)
    said = exam.model_dump(mode="json", include={"film", "hips", "findings", "outlines"})
    said["image"] = str(source.image.SOPInstanceUID)
    content = _content_sha256(report, exam, images.labels_yx, said)
    of_series = [e for e in report.exams if e.series_instance_uid == exam.series_instance_uid]
    objects: list[tuple[str, Dataset]] = []
    with quiet_pydicom():
        number = [e.exam_id for e in of_series].index(exam.exam_id) + 1
        segments = _segments(report, exam.exam_id, np.array(sorted(outlines)))
        context = ObjectContext(report, exam, source, (source.image,), segments, content, number)
        # Of a file of several frames highdicom wants to know where each lies in the patient.
        if segments and source.frame_number is None:
            segmentation = build_film_segmentation(context, source, outlines)
            objects.append((SEG_NAME, segmentation))
        objects.append((SR_NAME, build_film_report(context, source, outlines)))
        if outlines:
            state = build_presentation_state(context, source, images, outlines)
            objects.append((PR_NAME, state))
        objects.append((SC_NAME, build_summary_image(context)))
    return objects


def _segments(report: Report, exam_id: str, values: np.ndarray) -> tuple[Segment, ...]:
    """One segment per label, in order of the report's lesions.

    Two lesions that share a label (they have merged) share the segment; it carries the tracking
    UID of the first.
    """
    present = {int(value) for value in values} - {0}
    segments: list[Segment] = []
    for lesion in report.lesions:
        for seen in lesion.observations:
            if seen.exam_id == exam_id and seen.label in present:
                present.discard(seen.label)
                number = len(segments) + 1
                segments.append(Segment(number, seen.label, lesion.lesion_id, lesion.tracking_uid))
    if present:
        raise ValueError(f"{exam_id}: label map values {sorted(present)} belong to no lesion")
    return tuple(segments)


def _content_sha256(
    report: Report, exam: Exam, labels: np.ndarray, more: Mapping[str, object]
) -> str:
    """Hash of all that the objects of an exam depend on."""
    digest = hashlib.sha256()
    said = {
        "software": report.software,
        "statement": report.statement,
        "exam": exam.model_dump(mode="json", include={"exam_id", "days_from_baseline"}),
        "last": report.exams[-1].exam_id,
        "lesions": [
            {
                "id": [lesion.lesion_id, lesion.tracking_uid],
                "seen": [
                    o.model_dump(mode="json")
                    for o in lesion.observations
                    if o.exam_id == exam.exam_id
                ],
                "changes": [
                    c.model_dump(mode="json") for c in lesion.changes if c.to_exam == exam.exam_id
                ],
                "maturity": lesion.maturity.model_dump(mode="json"),
                "reader": [
                    lesion.reader_label,
                    *(
                        said.model_dump(mode="json")
                        for said in report.reader
                        if said.lesion_id == lesion.lesion_id
                    ),
                ],
            }
            for lesion in report.lesions
        ],
        **more,
    }
    digest.update(json.dumps(said, sort_keys=True).encode())
    digest.update(labels.tobytes())
    return digest.hexdigest()


def _folder_name(exam_id: str) -> str:
    if not exam_id or exam_id in {".", ".."} or any(c in exam_id for c in "/\\\0:"):
        raise ValueError(f"exam_id {exam_id!r} is no plain folder name")
    return exam_id


def _write(dataset: Dataset, path: Path) -> Path:
    from pydicom import dcmwrite

    path.parent.mkdir(parents=True, exist_ok=True)
    # zeros, so that the file cannot be a program or a page at the same time
    dataset.preamble = b"\0" * 128
    stream = BytesIO()
    with quiet_pydicom():
        dcmwrite(stream, dataset, enforce_file_format=True)
    write_whole(path, stream.getvalue())
    return path
