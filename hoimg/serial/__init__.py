"""Exams of one patient over time: registration, matched lesions, changes.

``register`` places one exam onto another by their bones and checks the result, ``track`` follows
lesions through all exams, ``compare`` says what changed between two of them against the
repeatability. Thresholds of maturity are not known here.
"""

from hoimg.serial.change import LONG_INTERVAL, comparability, compare
from hoimg.serial.course import fit_course
from hoimg.serial.followed import ExamLesions
from hoimg.serial.identity import Known
from hoimg.serial.placement import Part, Registration
from hoimg.serial.registration import register
from hoimg.serial.repeatability import rc_density_hu, rc_mass_pct, rc_volume_pct
from hoimg.serial.totals import totals_of
from hoimg.serial.tracking import Track, track

__all__ = [
    "LONG_INTERVAL",
    "ExamLesions",
    "Known",
    "Part",
    "Registration",
    "Track",
    "comparability",
    "compare",
    "fit_course",
    "rc_density_hu",
    "rc_mass_pct",
    "rc_volume_pct",
    "register",
    "totals_of",
    "track",
]
