"""The earliest CT of a patient, handed to the later exams while exams are analysed side by side."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from hoimg.image import CTVolume

if TYPE_CHECKING:
    from hoimg.segment.prior import PriorScan


class EarlierScans:
    """Which earlier CT each exam is compared with: the earliest one that could be read.

    The earliest, since a lesion was there least. An exam waits until those before it have been
    read, not until they have been analysed; work on the exams must begin in their order.

    Args:
        exam_ids: Of the patient's exams in date order.
    """

    def __init__(self, exam_ids: list[str]) -> None:
        self._ids = exam_ids
        self._scans: list[Future[PriorScan | None]] = [Future() for _ in exam_ids]

    def before(self, exam_id: str, volume: CTVolume) -> PriorScan | None:
        """The earliest readable CT before an exam; the first one's own small copy is kept.

        Args:
            exam_id: One of the exams.
            volume: Its pixels, which have passed their checks.
        """
        from hoimg.segment.prior import make_prior_scan

        here = self._ids.index(exam_id)
        for scan in self._scans[:here]:
            earlier = scan.result()
            if earlier is not None:
                return earlier
        if here + 1 < len(self._ids):
            self._scans[here].set_result(make_prior_scan(volume, f"exam {exam_id}"))
        return None

    def over(self, exam_id: str) -> None:
        """An exam is through, or could not be read: nobody waits for it any longer."""
        scan = self._scans[self._ids.index(exam_id)]
        if not scan.done():
            scan.set_result(None)
