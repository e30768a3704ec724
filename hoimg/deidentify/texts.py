"""Which texts may stay: none that holds a word of a person of this file, a date or a long number.

The persons of a file are known from the file itself: every person's name, identifier and address
that it states anywhere, private elements excepted. That catches a name typed into a description
only where the file also states it; descriptions are therefore cut to words of a vocabulary first.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_MEASURES = re.compile(r"\d{1,2}(?:[.,]\d{1,3})? ?mm|\d{2,3} ?(?:kev|kv)|3d|2d|2nd|1st")
# A lesion's or a segment's short label, a vertebra, an exam's day without the trace of its UID.
_LABEL = re.compile(r"(?:[lcts]|ho|roi|seg|segment|lesion|region)[ _-]?\d{1,3}|day\d{4}")
_SAFE_VALUES = re.compile(
    r"hoimg(?: ?v?\d+(?:\.\d+){1,3}(?:[.+-]?(?:dev|rc|a|b|post)\d*)?)?|config_sha256=[0-9a-f]{64}"
)
_TOKEN = re.compile(r"\d+(?:[.,]\d+)? ?(?:mm|kev|kv)\b|[^\W_]+", re.IGNORECASE)
_NUMBERED = re.compile(r"\d{5}|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")
_EXAM = re.compile(r"(day\d{4})_[a-z]{2,4}_[0-9a-f]{6,64}")

PUBLIC_SCHEMES = frozenset({
    "DCM", "SCT", "SRT", "SNM3", "99SDM", "UCUM", "LN", "RADLEX", "FMA", "NCIt", "UMLS", "IBSI",
    "MSH", "ICDO3", "I10", "I9", "I9C", "ISO639_2", "RFC3066", "RFC5646", "ISO3166_1", "BARI",
    "99HOIMG", "99PMP", "HL7", "UBERON", "NEU", "PUBCHEM_CID", "RO", "ITIS_TSN", "SOPUID",
})  # fmt: skip
"""Coding schemes whose meanings are published; of others the meaning is free text."""

_IDENTIFIERS = frozenset({
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID", "ServiceEpisodeID",
    "RequestedProcedureID", "PerformedProcedureStepID", "ScheduledProcedureStepID",
    "ClinicalTrialSubjectID", "MedicalRecordLocator", "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest", "InsurancePlanIdentification", "DeviceSerialNumber",
    "PatientBirthDate",
})  # fmt: skip
_PLACES = frozenset({
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "PatientAddress",
    "PatientTelephoneNumbers", "StationName", "IssuerOfPatientID", "PatientComments",
})  # fmt: skip
_MAX_DEPTH = 32
_LETTERS = re.compile(r"[^\W\d_]+")
# What NFKD leaves as it is, or typists write in two letters.
_PLAIN = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th"})
_DOUBLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


@dataclass(frozen=True)
class Known:
    """What a file states of its persons, in lower case.

    Attributes:
        words: Parts of names, three letters and more, also without accents and joined
            ("o'hara" is "hara" and "ohara").
        short: Parts of two letters: surnames such as Li, beside prefixes. Many codes are as short.
        whole: Identifiers, institutions and addresses, full names in each of their writings.
    """

    words: frozenset[str]
    short: frozenset[str]
    whole: frozenset[str]

    def in_text(self, text: str) -> bool:
        """Whether a text holds one of them."""
        low = text.casefold()
        words = set(_LETTERS.findall(low))
        return (
            not self.words.isdisjoint(words)
            or not self.short.isdisjoint(words)
            or any(len(word) >= 5 and word in low for word in self.words)
            or self.in_code(text)
        )

    def in_code(self, text: str) -> bool:
        """Whether a code word, which may be a name by chance, holds an identifier or full name."""
        low = text.casefold()
        return any(value in low for value in self.whole)

    def is_code(self, text: str) -> bool:
        """Whether a code is an identifier or a name; long codes hold short numbers by chance."""
        low = text.strip().casefold()
        words = _LETTERS.findall(low)
        return low in self.whole or not self.words.isdisjoint(words)

    def is_name(self, text: str) -> bool:
        """Whether a coded string has a part of a name in it that is no word of radiology."""
        named = self.words.intersection(_LETTERS.findall(text.casefold()))
        return any(len(word) >= 4 and word not in vocabulary() for word in named)


def known_of(dataset: Dataset) -> Known:
    """Names and identifiers that a data set states at any depth.

    Raises:
        ValueError: when sequences are nested deeper than any real object's.
    """
    words: set[str] = set()
    whole: set[str] = set()
    stack = [(dataset, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise ValueError("sequences are nested too deeply")
        for tag in item.keys():  # noqa: SIM118 - iterating a data set converts its elements
            if tag.is_private:
                continue
            try:
                element = item[tag]
            except Exception:  # unreadable here, and so never copied
                continue
            if element.VR == "SQ":
                stack += [(inner, depth + 1) for inner in element.value]
            elif element.VR == "PN":
                for name in _texts(element):
                    parts, full = _names(name)
                    words |= parts
                    whole |= full
            elif element.keyword in _IDENTIFIERS | _PLACES:
                whole.update(text.strip().casefold() for text in _texts(element))
    return Known(
        words=frozenset(word for word in words if len(word) >= 3),
        short=frozenset(word for word in words if len(word) == 2),
        whole=frozenset(text for text in whole if len(text) >= 4),
    )


def _names(name: str) -> tuple[set[str], set[str]]:
    """The words of a person's name, and its full forms; alphabetic, ideographic and phonetic
    writing ("=" between them, PS3.5 6.2.1) each by itself."""
    words: set[str] = set()
    whole: set[str] = set()
    for writing in name.casefold().split("="):
        for spelling in _spellings(writing):
            parts = _LETTERS.findall(spelling)
            whole |= {" ".join(parts), "^".join(parts)}
            words.update(parts)
            joined = [*spelling.split("^"), *re.split(r"[\s^-]", spelling)]
            words.update("".join(_LETTERS.findall(part)) for part in joined)
    return words, whole


def _spellings(text: str) -> set[str]:
    """A text as it is, without accents, and with umlauts as two letters."""
    made = {text, text.translate(_PLAIN), text.translate(_DOUBLED)}
    bare = {unicodedata.normalize("NFKD", spelling) for spelling in made}
    return made | {"".join(c for c in s if not unicodedata.combining(c)) for s in bare}


def _texts(element: DataElement) -> list[str]:
    """The values as texts. A person's name is a value, though it can be iterated over."""
    if not element.value:
        return []
    return [str(part) for part in element.value] if element.VM > 1 else [str(element.value)]


@cache
def vocabulary() -> frozenset[str]:
    """Words that a description may keep, in lower case."""
    from importlib.resources import files

    lines = (files("hoimg.deidentify") / "vocabulary.txt").read_text().splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def only_words(text: str, known: Known) -> str:
    """The words of a description that are of the vocabulary and of no person, in their order."""
    if not text.isascii():
        text = "".join(c if c.isascii() else " " for c in text)
    kept = [
        token
        for token in _TOKEN.findall(text)
        if (
            token.casefold() in vocabulary()
            or _MEASURES.fullmatch(token.casefold())
            or _LABEL.fullmatch(token.casefold())
        )
        and not known.in_text(token)
    ]
    return ("_" if "_" in text and " " not in text.strip() else " ").join(kept)[:64]


def plain_text(text: str, known: Known) -> str:
    """A text of device or technique as it is; empty where it holds anything of a person.

    A version with three numbers looks like a date, except one of hoimg's own.
    """
    if _SAFE_VALUES.fullmatch(text) and not known.in_code(text):
        return text
    if not (text.isascii() and text.isprintable()) or known.in_text(text):
        return ""
    return "" if _NUMBERED.search(text) else text


def report_text(text: str, known: Known) -> str:
    """Text of a structured report: short labels and hoimg's own fixed forms; else empty."""
    text = text.strip()
    exam = _EXAM.fullmatch(text)
    if exam is not None:
        return exam.group(1)
    if _SAFE_VALUES.fullmatch(text) and not known.in_code(text):
        return text
    return text if text and only_words(text, known) == text else ""
