"""Score hoimg against cases whose truth is known. See ``docs/methods/validate.md``."""

from hoimg.validate.cases import TruthCase, find_cases, read_case
from hoimg.validate.run import Options, validate_cases
from hoimg.validate.score import score_exam
from hoimg.validate.summary import select, summarize
from hoimg.validate.types import CaseScore, ExamScore, FalseLesion, LesionScore, Validation
from hoimg.validate.writer import write_validation

__all__ = [
    "CaseScore",
    "ExamScore",
    "FalseLesion",
    "LesionScore",
    "Options",
    "TruthCase",
    "Validation",
    "find_cases",
    "read_case",
    "score_exam",
    "select",
    "summarize",
    "validate_cases",
    "write_validation",
]
