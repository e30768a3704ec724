"""Files to exams: find, group, check and read DICOM CT. See ``docs/methods/dicom.md``."""

from hoimg.dicom.film import FilmInfo
from hoimg.dicom.findings import FINDINGS
from hoimg.dicom.load import load_volume
from hoimg.dicom.pixel_checks import check_volume
from hoimg.dicom.radiograph import display_8bit, load_radiograph
from hoimg.dicom.read import read_patient
from hoimg.dicom.scan import scan
from hoimg.dicom.sources import Sources, open_sources
from hoimg.dicom.types import Exam, Inventory, Patient, SeriesInfo

__all__ = [
    "FINDINGS",
    "Exam",
    "FilmInfo",
    "Inventory",
    "Patient",
    "SeriesInfo",
    "Sources",
    "check_volume",
    "display_8bit",
    "load_radiograph",
    "load_volume",
    "open_sources",
    "read_patient",
    "scan",
]
