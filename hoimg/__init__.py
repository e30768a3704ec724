"""Find, measure, follow and stage heterotopic ossification (HO) on serial CT. Research use only.

Three calls make a report::

    patient = hoimg.read_patient("scans/")
    result = hoimg.analyze_patient(patient)
    hoimg.write_report(result, "report/")

They are imported on first use, so that ``import hoimg`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hoimg.dicom import read_patient
    from hoimg.pipeline import analyze_patient
    from hoimg.report import write_report

__version__ = "0.1.0"

__all__ = ["__version__", "analyze_patient", "read_patient", "write_report"]

_HOMES = {
    "read_patient": "hoimg.dicom",
    "analyze_patient": "hoimg.pipeline",
    "write_report": "hoimg.report",
}


def __getattr__(name: str) -> Any:
    """Fetch a public function from the room that owns it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hoimg' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
