"""Every DICOM code that hoimg writes, in one table.

Standard codes are used where one says exactly what was measured. Where none does, the code is
private (scheme ``99HOIMG``) and its meaning is spelt out: a near miss in a public scheme would be
read by another program as something that it is not. SNOMED CT has no code of its own for
heterotopic ossification that we could verify; a segment is a *pathologic calcification* whose label
says the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99HOIMG"
PRIVATE_SCHEME_NAME = "hoimg private codes for heterotopic ossification"


class Coded(NamedTuple):
    """A code triplet as DICOM writes it (value, scheme designator, meaning)."""

    value: str
    scheme: str
    meaning: str

    def to_dicom(self) -> Code:
        """The same as pydicom's ``Code``."""
        from pydicom.sr.coding import Code

        return Code(self.value, self.scheme, self.meaning)


@dataclass(frozen=True)
class MeasureCode:
    """How one number of the report is written as a NUM item.

    Attributes:
        field: Field of :class:`hoimg.results.Observation` or :class:`hoimg.results.Change`.
        index: Which element, for a field that holds a pair; None for a plain number.
        name: What was measured.
        unit: UCUM unit.
        derivation: Statistic over the voxels (mean, SD, ...), where the name alone is not enough.
    """

    field: str
    index: int | None
    name: Coded
    unit: Coded
    derivation: Coded | None = None


def own(value: str, meaning: str) -> Coded:
    """A private code."""
    return Coded(value, PRIVATE_SCHEME, meaning)


MM = Coded("mm", "UCUM", "millimeter")
MM2 = Coded("mm2", "UCUM", "square millimeter")
MM3 = Coded("mm3", "UCUM", "cubic millimeter")
HU = Coded("[hnsf'U]", "UCUM", "Hounsfield unit")
HU_MM3 = Coded("[hnsf'U].mm3", "UCUM", "Hounsfield unit times cubic millimeter")
MG = Coded("mg", "UCUM", "milligram")
RATIO = Coded("1", "UCUM", "no units")
PERCENT = Coded("%", "UCUM", "percent")
DAY = Coded("d", "UCUM", "day")
PIXELS = Coded("{pixels}", "UCUM", "pixels")

CATEGORY = Coded("49755003", "SCT", "Morphologically Abnormal Structure")
LESION_TYPE = Coded("18115005", "SCT", "Pathologic calcification")
ALGORITHM_FAMILY = Coded("123104", "DCM", "Morphological Operations")
REPORT_TITLE = Coded("126000", "DCM", "Imaging Measurement Report")
CT_PROCEDURE = Coded("77477000", "SCT", "Computed tomography")
FILM_PROCEDURE = Coded("168537006", "SCT", "Plain radiography")
HIP_JOINT = Coded("24136001", "SCT", "Hip joint structure")
SIDES: dict[str, Coded] = {
    "right": Coded("24028007", "SCT", "Right"),
    "left": Coded("7771000", "SCT", "Left"),
}
BASELINE = Coded("121079", "DCM", "Baseline")
COMMENT = Coded("121106", "DCM", "Comment")

_ATTENUATION = Coded("112031", "DCM", "Attenuation Coefficient")
_MEAN = Coded("373098007", "SCT", "Mean")
_SD = Coded("386136009", "SCT", "Standard Deviation")
_MEDIAN = Coded("373099004", "SCT", "Median")

OBSERVATION_MEASURES: tuple[MeasureCode, ...] = (
    MeasureCode("volume_mm3", None, Coded("118565006", "SCT", "Volume"), MM3),
    MeasureCode("volume_ci95_mm3", 0, own("HO-V-LOW", "Volume, lower limit of 95 % interval"), MM3),
    MeasureCode(
        "volume_ci95_mm3", 1, own("HO-V-HIGH", "Volume, upper limit of 95 % interval"), MM3
    ),
    MeasureCode(
        "threshold_volume_mm3", None, own("HO-V-MIN", "Volume at or above fixed threshold"), MM3
    ),
    MeasureCode(
        "mineral_mass_hu_mm3", None, own("HO-MASS-HU", "Integrated excess attenuation"), HU_MM3
    ),
    MeasureCode(
        "mineral_mass_mg", None, own("HO-MASS-HA", "Mineral mass, hydroxyapatite equivalent"), MG
    ),
    MeasureCode(
        "mineral_mass_ci95_mg", 0, own("HO-MASS-LOW", "Mineral mass, lower limit of 95 %"), MG
    ),
    MeasureCode(
        "mineral_mass_ci95_mg", 1, own("HO-MASS-HIGH", "Mineral mass, upper limit of 95 %"), MG
    ),
    MeasureCode(
        "mineral_mass_k2hpo4_mg", None, own("HO-MASS-K", "Mineral mass, K2HPO4 equivalent"), MG
    ),
    MeasureCode("mean_hu", None, _ATTENUATION, HU, _MEAN),
    MeasureCode("sd_hu", None, _ATTENUATION, HU, _SD),
    MeasureCode("median_hu", None, _ATTENUATION, HU, _MEDIAN),
    MeasureCode("p95_hu", None, own("HO-P95", "Attenuation, 95th percentile"), HU),
    MeasureCode(
        "max_diameter_mm", None, Coded("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"), MM
    ),
    MeasureCode("surface_area_mm2", None, Coded("C0JK", "IBSI", "Surface Area of Mesh"), MM2),
    MeasureCode("sphericity", None, Coded("QCFX", "IBSI", "Sphericity"), RATIO),
    MeasureCode("rim_fraction", None, own("HO-RIM", "Fraction of surface with cortex"), RATIO),
    MeasureCode("edge_ratio", None, own("HO-EDGE", "Edge width over that of own cortex"), RATIO),
    MeasureCode("zone_contrast_hu", None, own("HO-ZONE", "Shell minus core attenuation"), HU),
    MeasureCode(
        "core_marrow_fraction", None, own("HO-CORE", "Marrow-like fraction of the core"), RATIO
    ),
    MeasureCode("background_hu", None, own("HO-BACKGROUND", "Local soft tissue"), HU),
    MeasureCode("distance_to_bone_mm", None, own("HO-D-BONE", "Distance to native bone"), MM),
    MeasureCode("distance_to_metal_mm", None, own("HO-D-METAL", "Distance to metal"), MM),
)
"""Numbers of one lesion at one exam, in the order in which they are written."""

CHANGE_MEASURES: tuple[MeasureCode, ...] = (
    MeasureCode("days", None, own("HO-C-DAYS", "Days since the compared exam"), DAY),
    MeasureCode("volume_change_pct", None, own("HO-C-VOLUME", "Change of volume"), PERCENT),
    MeasureCode(
        "volume_rc_pct", None, own("HO-RC-VOLUME", "Repeatability coefficient of volume"), PERCENT
    ),
    MeasureCode("mass_change_pct", None, own("HO-C-MASS", "Change of mineral mass"), PERCENT),
    MeasureCode(
        "mass_rc_pct", None, own("HO-RC-MASS", "Repeatability coefficient of mass"), PERCENT
    ),
    MeasureCode("density_change_hu", None, own("HO-C-DENSITY", "Change of mean attenuation"), HU),
    MeasureCode(
        "density_rc_hu", None, own("HO-RC-DENSITY", "Repeatability coefficient of density"), HU
    ),
    MeasureCode("rim_change", None, own("HO-C-RIM", "Change of the rim fraction"), RATIO),
    MeasureCode("rim_rc", None, own("HO-RC-RIM", "Repeatability coefficient of the rim"), RATIO),
)
"""Numbers of one change between two exams."""

MATURITY = own("HO-MATURITY", "Imaging maturity of heterotopic ossification")
MATURITY_LABELS: dict[str, Coded] = {
    "immature": own("HO-IMMATURE", "Immature on imaging"),
    "mature": own("HO-MATURE", "Mature on imaging"),
    "indeterminate": own("HO-INDETERMINATE", "Indeterminate on imaging"),
}

READER_LABEL = own("HO-READER-LABEL", "Imaging maturity of heterotopic ossification by the reader")

STATUS = own("HO-STATUS", "Lesion status at this exam")
STATUS_VALUES: dict[str, Coded] = {
    "measured": own("HO-MEASURED", "Present and measured"),
    "not_measurable": own("HO-UNMEASURABLE", "Present or in view, not measurable"),
    "absent": own("HO-ABSENT", "Absent at this exam"),
    "none_found": own("HO-NONE-FOUND", "No heterotopic ossification found"),
    "not_looked_for": own("HO-NOT-LOOKED", "Not looked for: no region was given"),
}

CHANGE = own("HO-CHANGE", "Change since the compared exam")
CHANGE_VALUES: dict[str, Coded] = {
    "new": Coded("7147002", "SCT", "New"),
    "enlarging": Coded("263768009", "SCT", "Larger"),
    "shrinking": Coded("263796003", "SCT", "Smaller"),
    "no_detectable_change": own("HO-C-NONE", "No detectable change"),
    "resolved": own("HO-C-RESOLVED", "Resolved"),
    "merged": own("HO-C-MERGED", "Merged from several lesions"),
    "split": own("HO-C-SPLIT", "Split from one lesion"),
}
