"""What the header says an image is: a slice of a scan, or one of the many things beside it."""

from __future__ import annotations

import re

from hoimg.dicom.findings import finding
from hoimg.dicom.header import Header
from hoimg.results import Finding

ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
)
RADIOGRAPHS = ("CR", "DX", "RG", "PX", "MG", "RF", "XA")
LOCALIZER_WORDS = {
    *("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM", "SCANO", "PLANNING"),
    *("CT_SOM5 TOP", "CT_SOM7 TOP"),
}
NO_VOLUME_WORDS = {
    *("MIP", "MINIP", "MAXIP", "RAYSUM", "VRT", "SSD", "VOLREN", "VOLUME RENDER", "SURFACE RENDER"),
    *("MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "SUBTRACTION", "STD_DEVIATION", "PROJECTION IMAGE"),
    *("PERFUSION", "RCBF", "RCBV", "RBV", "RBF", "MTT", "TTP", "TMAX", "PERFUSION_CT"),
    *("DOSE", "DOSE_INFO", "SCREEN SAVE", "REF_SURVIEW", "CT_SOM5 PROT", "CT_SOM7 PROT"),
    *("CT_SOM5 MIP", "CT_SOM7 MIP", "CT_SOM5 EVA", "CT_SOM5 VRT", "CT_SOM5 SSD"),
}
"""Words of ImageType whose images hold no HU of one place: projections, renderings, maps, reports.
Averages over a slab are not among them: they hold true mean HU and count as reformats."""
SLAB_PER_STEP = 2.0
"""Reformats whose slices are at least so many steps thick overlap by half: slabs, not slices."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_IMAGES = ("CT", "MR", "PT", "NM", "US", "OT", "SC", "ES", "OP", "XC", "IO", *RADIOGRAPHS)
# A projection that only its description gives away; trusted where the image is called derived.
_PROJECTION = re.compile(r"\b(MIP|MIN[ _-]?IP|MAX[ _-]?IP|MNIP|VRT|RAYSUM|SSD)\b")
_REFORMAT_WORDS = {"MPR", "REFORMATTED", "RESAMPLED", "CPR", "CURVED MPR", "CSAPARALLEL", "AVERAGE"}
_GREY = ("", "MONOCHROME1", "MONOCHROME2")


def kind_of(header: Header) -> str:
    """What the header says an image is; the words are those of ``SeriesInfo.kind``."""
    words = set(header.image_type)
    derived = "DERIVED" in words
    if header.rows is None or header.modality not in ("", *_IMAGES):
        return "object"  # CT raw data and vendor reports carry the modality CT without pixels
    if header.sop_class.startswith(_SECONDARY_CAPTURE):
        # A film that was scanned is stored as a capture that says so.
        return "radiograph" if is_digitised_film(header) else "secondary_capture"
    if header.modality in RADIOGRAPHS:
        return "radiograph"
    if header.modality != "CT":
        return "other_image"
    if words & LOCALIZER_WORDS:
        return "localizer"
    if words & NO_VOLUME_WORDS:
        return "derived_image"
    if derived and _PROJECTION.search(header.description.upper().replace("_", " ")):
        return "derived_image"
    if derived and header.stored is not None and header.stored.photometric not in _GREY:
        return "secondary_capture"  # a coloured page that calls itself a CT image
    if header.sop_class in ENHANCED or header.frames > 1:
        return "multiframe"
    return "volume"


def is_original(header: Header) -> bool:
    """Whether the header calls the image original, i.e. reconstructed from the raw data."""
    words = set(header.image_type)
    return "ORIGINAL" in words and not words & _REFORMAT_WORDS


def check_reformat(header: Header, step_mm: float | None) -> list[Finding]:
    """Whether a volume was calculated from other images, and whether its slices are thick slabs.

    Args:
        header: Of any slice.
        step_mm: Distance between slices; None when they form no volume.
    """
    if is_original(header) or not header.image_type:
        return []
    found = []
    if set(header.image_type) & _REFORMAT_WORDS:
        said = "The images were reformatted from others (ImageType)."
        found.append(finding("reformatted", said))
    thickness = header.thickness_mm
    if thickness and step_mm and thickness >= SLAB_PER_STEP * step_mm:
        said = f"Slices are averages over {thickness:g} mm, {step_mm:g} mm apart."
        found.append(finding("thick_slab", said))
    return found


def is_digitised_film(header: Header) -> bool:
    """Whether a film/screen exposure was scanned: modality RG, or a capture of a film (DF)."""
    capture = header.sop_class.startswith(_SECONDARY_CAPTURE)
    return header.modality == "RG" or (capture and header.conversion == "DF")
