"""DICOM files without the people in them: PS3.15 Annex E, dates moved, references kept.

Knows nothing of lesions and never decodes a pixel.
"""

from hoimg.deidentify.dates import Shift
from hoimg.deidentify.keys import Pseudonyms, read_key
from hoimg.deidentify.run import Outcome, deidentify_files

__all__ = ["Outcome", "Pseudonyms", "Shift", "deidentify_files", "read_key"]
