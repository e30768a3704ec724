"""View and side of a film from its header; None with a reason where the header does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hoimg.dicom.film import Plane, Side, View
from hoimg.dicom.findings import finding
from hoimg.results import Finding

_PLANES: dict[View, Plane] = {
    "AP": "frontal",
    "PA": "frontal",
    "LAT": "lateral",
    "oblique": "oblique",
}
# fmt: off
_POSITIONS: dict[str, View] = {
    "AP": "AP", "PA": "PA",
    **dict.fromkeys(("LL", "RL", "LAT", "LATERAL", "LM", "ML"), "LAT"),
    **dict.fromkeys(
        ("LLO", "RLO", "OBL", "OBLIQUE", "LAO", "RAO", "LPO", "RPO", "MLO", "LMO"), "oblique"
    ),
}
"""ViewPosition: the terms of the CR and DX modules, and what vendors write beside them."""
_CODES: dict[str, View] = {
    "399348003": "AP", "R-10206": "AP", "272479007": "PA", "R-10214": "PA",
    **dict.fromkeys(
        ("399067008", "399173006", "399198007", "399260004", "399352003", "30730003",
         "R-10228", "R-10232", "R-10236"),
        "LAT",
    ),
}
# fmt: on
"""ViewCodeSequence, CID 4010: SNOMED CT, and the older SRT codes of the same views. Obliques, of
which there are many, are known by their meaning."""
_AXES = {"L": "x", "R": "x", "A": "y", "P": "y", "F": "z", "H": "z"}


@dataclass(frozen=True)
class FilmView:
    """View and plane of a projection.

    Attributes:
        view: None when it is not stated.
        plane: Known for a frontal film of which AP or PA is not stated.
        reason: Where both come from, or why they are None.
        findings: ``view_doubtful`` where tags contradict each other.
    """

    view: View | None
    plane: Plane | None
    reason: str
    findings: tuple[Finding, ...] = ()


def film_view(position: str, code: tuple[str, str] | None, orientation: Sequence[str]) -> FilmView:
    """View of a film: ViewCodeSequence before ViewPosition before PatientOrientation.

    Args:
        position: ViewPosition.
        code: Code value and meaning of the first item of ViewCodeSequence; None without one.
        orientation: PatientOrientation: where rows and columns point.
    """
    stated: list[tuple[str, View | None, Plane | None]] = []
    if code is not None and (named := _of_code(*code)) != (None, None):
        stated.append(("ViewCodeSequence", *named))
    term = position.strip().upper()
    if term in _POSITIONS:
        stated.append(("ViewPosition", _POSITIONS[term], _PLANES[_POSITIONS[term]]))
    if (plane := _of_orientation(orientation)) is not None:
        stated.append(("PatientOrientation", None, plane))
    if not stated:
        if term or code is not None:
            return FilmView(None, None, "the stated view is none that is known")
        return FilmView(None, None, "no view is stated")
    source, view, plane = stated[0]
    other = next((s for s in stated[1:] if view is None and s[1] and s[2] == plane), None)
    if other is not None:  # "frontal" and AP
        source, view = other[0], other[1]
    doubts = [s[0] for s in stated if s[2] != plane or (s[1] and view and s[1] != view)]
    reason = source if view else f"{source} says {plane}; the direction is not stated"
    found: tuple[Finding, ...] = ()
    if doubts:
        said = f"{source} says {view or plane}, {' and '.join(doubts)} something else."
        found = (finding("view_doubtful", said),)
    return FilmView(view, plane, reason, found)


def film_side(image: str, part: str) -> tuple[Side | None, str, list[Finding]]:
    """Side of a film from ImageLaterality and Laterality.

    Args:
        image: ImageLaterality (DX), or FrameLaterality: R, L, U (unpaired), B (both).
        part: Laterality of the (paired) body part in the series: R or L.

    Returns:
        The side, where it comes from or why it is None, and ``side_conflict`` where both differ.
    """
    known: dict[str, Side] = {"R": "R", "L": "L", "B": "B", "U": "U"}
    first, second = known.get(image.strip().upper()), known.get(part.strip().upper())
    if first and second and first != second:
        said = f"ImageLaterality says {first}, Laterality {second}."
        return None, "the header contradicts itself", [finding("side_conflict", said)]
    if first:
        return first, "ImageLaterality", []
    if second:
        return second, "Laterality", []
    return None, "no side is stated", []


def _of_code(value: str, meaning: str) -> tuple[View | None, Plane | None]:
    letters = "".join(c for c in meaning.lower() if c.isalpha())
    view: View | None = _CODES.get(value.strip())
    if view is None and "oblique" in letters:
        view = "oblique"
    elif view is None and letters == "anteroposterior":
        view = "AP"
    elif view is None and letters == "posteroanterior":
        view = "PA"
    elif view is None and "lateral" in letters and "decubitus" not in letters:
        view = "LAT"
    if view is not None:
        return view, _PLANES[view]
    return None, "frontal" if letters == "frontal" else None


def _of_orientation(orientation: Sequence[str]) -> Plane | None:
    """Plane that the directions of rows and columns span; None when they span none of ours."""
    words = [w.strip().upper() for w in orientation]
    if len(words) != 2 or not all(words) or any(c not in _AXES for w in words for c in w):
        return None
    axes = [{_AXES[c] for c in w} for w in words]
    spanned = axes[0] | axes[1]
    planes: dict[frozenset[str], Plane] = {
        frozenset("xz"): "frontal",
        frozenset("yz"): "lateral",
        frozenset("xyz"): "oblique",
    }
    return planes.get(frozenset(spanned))
