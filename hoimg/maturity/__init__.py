"""Measurements and changes become criteria, criteria become a label.

``assess`` labels one tracked lesion, ``assess_over_time`` at each of its exams. The rules, one
function each, stand in ``gate`` (is it measurable), ``rules`` (rim, margin, inside, age, zoning)
and ``stability`` (change over time); ``decide`` is the label logic itself, ``followup`` names the
scan that would let an open lesion be judged. ``grade_hip`` gives a hip its Brooker-, Della Valle-
and Mavrogenis-equivalents on CT; ``assess_on_films`` labels what only radiographs show. Nothing
here sees a pixel.
"""

from hoimg.maturity.film import FilmFacts, assess_on_films
from hoimg.maturity.gate import gate, gate_reasons
from hoimg.maturity.hip import grade_hip
from hoimg.maturity.history import assess_over_time
from hoimg.maturity.label import Evidence, assess, decide
from hoimg.maturity.rules import r1_rim, r2_margin, r3_inside, r5_age, r6_zoning
from hoimg.maturity.stability import Stability, r4_serial
from hoimg.maturity.wording import reason_words

__all__ = [
    "Evidence",
    "FilmFacts",
    "Stability",
    "assess",
    "assess_on_films",
    "assess_over_time",
    "decide",
    "gate",
    "gate_reasons",
    "grade_hip",
    "r1_rim",
    "r2_margin",
    "r3_inside",
    "r4_serial",
    "r5_age",
    "r6_zoning",
    "reason_words",
]
