"""The DICOM codes of films; the rules of :mod:`hoimg.report.dicom_codes` hold here.

Millimetres on a film are those of its spacing source, which stands beside each lesion as a coded
evaluation: at the detector they are longer than in the patient.
"""

from __future__ import annotations

from hoimg.report.dicom_codes import DAY, MM, MM2, PERCENT, PIXELS, RATIO, Coded, MeasureCode
from hoimg.report.dicom_codes import own as _own


def _with_limits(field: str, limits: str, name: Coded, unit: Coded) -> tuple[MeasureCode, ...]:
    """A number with the two ends of its 95 % interval; ``limits`` is the field that holds them."""
    short = name.value if name.scheme == "99HOIMG" else f"HO-{field[0].upper()}-FILM"
    return (
        MeasureCode(field, None, name, unit),
        *(
            MeasureCode(
                limits,
                index,
                _own(f"{short}-{end}", f"{name.meaning}, {word} limit of 95 % interval"),
                unit,
            )
            for index, end, word in ((0, "LOW", "lower"), (1, "HIGH", "upper"))
        ),
    )


FILM_MEASURES: tuple[MeasureCode, ...] = (
    *_with_limits("area_mm2", "area_ci95_mm2", Coded("42798000", "SCT", "Area"), MM2),
    *_with_limits("area_px2", "area_ci95_px2", _own("HO-A-PX", "Area in pixels"), PIXELS),
    *_with_limits("length_mm", "length_ci95_mm", Coded("410668003", "SCT", "Length"), MM),
    MeasureCode("length_px", None, _own("HO-L-PX", "Length in columns"), PIXELS),
    *_with_limits(
        "corticated_fraction",
        "corticated_fraction_ci95",
        _own("HO-CORT", "Corticated fraction of the outline"),
        RATIO,
    ),
    *_with_limits(
        "edge_ratio",
        "edge_ratio_ci95",
        _own("HO-EDGE", "Edge width over that of own cortex"),
        RATIO,
    ),
    *_with_limits(
        "density_index",
        "density_index_ci95",
        _own("HO-DENS", "Density index against cortex"),
        RATIO,
    ),
    MeasureCode("contrast_to_noise", None, _own("HO-CNR", "Contrast to noise"), RATIO),
)
"""Numbers of one lesion on one film, in the order in which they are written."""

FILM_CHANGE_MEASURES: tuple[MeasureCode, ...] = (
    MeasureCode("days", None, _own("HO-C-DAYS", "Days since the compared exam"), DAY),
    MeasureCode("area_change_pct", None, _own("HO-C-AREA", "Change of projected area"), PERCENT),
    MeasureCode(
        "area_rc_pct", None, _own("HO-RC-AREA", "Repeatability coefficient of area"), PERCENT
    ),
)
"""Numbers of one change between two films."""

HIP_MEASURES: tuple[MeasureCode, ...] = (
    *_with_limits("gap_mm", "gap_ci95_mm", _own("HO-GAP", "Gap between opposing bone"), MM),
    MeasureCode("gap_px", None, _own("HO-GAP-PX", "Gap between opposing bone in columns"), PIXELS),
    MeasureCode("largest_island_mm", None, _own("HO-ISLAND", "Length of largest island"), MM),
    MeasureCode("head_centre_yx", 1, _own("HO-HEAD-X", "Column of head's centre, from 0"), PIXELS),
    MeasureCode("head_centre_yx", 0, _own("HO-HEAD-Y", "Row of head's centre, from 0"), PIXELS),
    MeasureCode("head_radius_px", None, _own("HO-HEAD-R", "Radius of head in columns"), PIXELS),
)
"""Numbers of one hip on one film. The centre is counted as in ``report.json``: pixels from 0, whole
numbers in their middle, half a pixel less than in DICOM's annotations."""

SPACING = _own("HO-SPACING", "Where millimeters on this film hold")
SPACINGS: dict[str, Coded] = {
    "calibrated": _own("HO-SP-CAL", "At the depth of the calibration"),
    "detector_corrected": _own("HO-SP-CORR", "In the patient: at detector over magnification"),
    "detector_uncorrected": _own("HO-SP-DET", "At detector, not corrected for magnification"),
    "none": _own("HO-SP-NONE", "No pixel size to be trusted: pixels only"),
}

BROOKER = _own("HO-BROOKER", "Brooker grade by gap on film")
BROOKER_GRADES: dict[str, Coded] = {
    "0": _own("HO-BR-0", "Brooker 0"),
    "I": _own("HO-BR-I", "Brooker I"),
    "II": _own("HO-BR-II", "Brooker II"),
    "borderline II/III": _own("HO-BR-II-III", "Brooker borderline II/III"),
    "III": _own("HO-BR-III", "Brooker III"),
    "IV (apparent)": _own("HO-BR-IV", "Brooker IV (apparent)"),
}
DELLA_VALLE = _own("HO-DELLA-VALLE", "Della Valle grade by gap on film")
DELLA_VALLE_GRADES: dict[str, Coded] = {
    "A": _own("HO-DV-A", "Della Valle A"),
    "B": _own("HO-DV-B", "Della Valle B"),
    "borderline B/C": _own("HO-DV-B-C", "Della Valle borderline B/C"),
    "C": _own("HO-DV-C", "Della Valle C"),
}
BIPLANAR = _own("HO-BIPLANAR", "Biplanar grade by gaps on two films")
BIPLANAR_GRADES: dict[str, Coded] = {
    "1": _own("HO-BI-1", "Biplanar 1"),
    "borderline 1/2": _own("HO-BI-1-2", "Biplanar borderline 1/2"),
    "2": _own("HO-BI-2", "Biplanar 2"),
}
LANDMARKS = _own("HO-LANDMARKS", "Landmarks of the hip")
LANDMARKS_VALUES: dict[str, Coded] = {
    "given": _own("HO-LM-GIVEN", "Given by a reader"),
    "found": _own("HO-LM-FOUND", "Found by the software"),
}
