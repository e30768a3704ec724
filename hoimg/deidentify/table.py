"""PS3.15 Table E.1-1 as data, and the few choices that the table leaves open."""

from __future__ import annotations

from functools import cache

EDITION = "PS3.15 2026c"
"""Edition of the table in ``ps3_15_e1_1.csv``."""


@cache
def actions() -> dict[int, str]:
    """Tag to its action in the Basic Profile, as the table writes it (``X``, ``Z/D``, ...)."""
    from importlib.resources import files

    text = (files("hoimg.deidentify") / "ps3_15_e1_1.csv").read_text()
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    return {int(tag, 16): action for tag, action, _keyword in rows}


GONE_GROUPS = frozenset({
    *(0x0000, 0x0002, 0x0004),  # commands, file meta (made anew), directories
    *(0x0032, 0x0038, 0x4000, 0x4008),  # orders, visits, free text, results
    *(0x0400, 0xFFFA, 0xFFFC),  # signatures, copies of original attributes, padding
    *range(0x5000, 0x5100, 2), *range(0x6000, 0x6100, 2),  # curves, overlays
})  # fmt: skip
"""Groups removed whole. Group 0010, the patient, keeps only name, ID, birth date and sex."""

TEXTS_KEPT = frozenset({
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel"),
    *("FilterType", "TypeOfFilters", "RescaleType", "ModalityLUTType", "StackID", "PlateType"),
    *("SequenceName", "PulseSequenceName", "AcquisitionDeviceProcessingCode"),
    *("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion"),
    *("CodeMeaning", "CodingSchemeName", "DimensionDescriptionLabel"),
    *("SegmentAlgorithmName", "AlgorithmName", "AlgorithmVersion"),
    *("ImagedNucleus", "ResonantNucleus", "TransmitCoilName", "ReceiveCoilName"),
})  # fmt: skip
"""Texts of device, technique and codes that stay where they hold nothing of a person."""

TEXTS_NEEDED = frozenset(
    {"SoftwareVersions", "SegmentAlgorithmName", "AlgorithmName", "AlgorithmVersion"}
)
"""Of these, those that a segmentation may not lack (Type 1): a dummy stands for what cannot stay.
Not so the kernel or the scanner: equal dummies would say that two exams had the same."""

EMPTIED = frozenset(
    {
        "OperatorsName",
        "PositionReferenceIndicator",
        "ReferencedPerformedProcedureStepSequence",
    }
)
"""What has to go and may not be missing: present, without a value (Type 2)."""

TEXTS_OF_WORDS = frozenset({
    *("SeriesDescription", "SegmentLabel", "SegmentDescription", "ContentDescription"),
    *("TrackingID", "ROIName", "LUTExplanation", "WindowCenterWidthExplanation"),
})  # fmt: skip
"""Texts of which only words of a fixed vocabulary stay (Clean Descriptors Option)."""

SEQUENCES_KEPT = frozenset({
    "ContentSequence", "ReferencedImageSequence", "SourceImageSequence",
    "VerifyingObserverSequence",
})  # fmt: skip
"""Sequences for which the table offers cleaning in place of removal."""

GRAPHICS = frozenset({"GraphicAnnotationSequence", "GraphicLayerSequence"})
"""What is drawn over an image (Clean Graphics Option); only hoimg's own layers stay."""
OWN_LAYERS = frozenset({"HO_OUTLINES", "HO_HIPS"})
"""The layers of hoimg's presentation states."""

BINARY_KEPT = frozenset({
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "LUTData"),
    *(f"{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
    *(f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
})  # fmt: skip
"""Bulk values that stay; any other could hold a text."""

UNIVERSAL_DATES = (
    *("Calibration", "Manufacture", "Installation", "Ethics", "Expiration", "Certified"),
    *("ContextGroup", "TemplateVersion", "TemplateLocalVersion", "HangingProtocol", "Effective"),
)
"""Parts of keywords of dates that are no patient's: the same date under two patients' shifts, or
one that is published, would tell the shifts. Removed."""

CONTEXT_OF_CODES = frozenset({"ContextIdentifier", "ContextUID", "ContextGroupExtensionFlag"})
"""What goes with the version of a context group, which is one of those dates."""
