"""Which structures of a given skeleton are bone: by class number, by code or by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hoimg.dicom.findings import finding
from hoimg.dicom.masks.given import Region
from hoimg.dicom.masks.planes import Piece
from hoimg.errors import InputRefused
from hoimg.results import Finding

TOTALSEGMENTATOR_BONES = frozenset([*range(25, 51), *range(69, 79), 91, *range(92, 117)])
"""Class numbers of bone in TotalSegmentator's task ``total``, version 2: sacrum, vertebrae, humeri,
scapulae, clavicles, femora, hips, skull, ribs, sternum."""
TOTALSEGMENTATOR_CLASSES = 117
"""The largest class number of that task."""

BONE_FILES = (
    "sacrum", "vertebrae_", "humerus", "scapula", "clavicula", "femur", "hip", "skull", "rib_",
    "sternum", "patella", "tibia", "fibula", "tarsal", "metatarsal", "phalanges", "ulna", "radius",
    "carpal", "metacarpal",
)  # fmt: skip
"""Beginnings of the names of bone masks in such a program's output folder."""

_BONE = re.compile(
    r"bones?|bony|skelet\w*|oss?(?:is|a)|cortical|femurs?|femora|(?:femoral|humeral) ?heads?"
    r"|femoralheads?|humer(?:us|i)|scapulae?|clavicul\w*|clavicles?|sacrum|coccyx|vertebra\w*|vb"
    r"|spine|vertebral ?(?:column|body|bodies)|ribs?|ribcage|rib ?cage|sternum|manubrium"
    r"|skull|crani(?:um|al ?bones?)|mandible|mandibula|maxilla|zygoma\w*|hyoid|hips?"
    r"|ili(?:um|ac ?bones?|ac ?crests?)|ischium|pubis|acetabul\w*|patellae?|tibiae?|fibulae?"
    r"|tarsals?|metatarsals?|calcane\w*|talus|cuboid|cuneiforms?|phalan\w+|ulnae?|radi(?:us|i)"
    r"|carpals?|metacarpals?|scaphoid|lunate|triquetr\w*|pisiform|trapezi\w*|capitate|hamate"
)
_NO_BONE = re.compile(
    r"muscles?|arter\w*|veins?|venous|vessels?|cartilages?|costal ?cartilage|implants?|prosthe\w*"
    r"|nails?|screws?|plates?|pins?|rods?|metal|hardware|arthroplasty|replacement|cords?|canal"
    r"|marrow|nerves?|joints?|dis[ck]s?|ligaments?|tendons?|bursae?|capsules?|skin|fat|air"
    r"|tumou?rs?|metasta\w*|lesions?|mass|ossificat\w*|ho|calcif\w*|callus|myositis|exostos\w*"
    r"|abscess|hematoma|haematoma|lymph|nodes?|prv|avoid\w*|scalenes?|glut\w*|obturator|psoas"
    r"|iliopsoas|non|not|no"
)
# fmt: off
BONE_CODES = frozenset({
    1626008, 3138006, 5329002, 6229007, 7610001, 11068009, 11994002, 12611008, 12989004,
    14293000, 14806007, 21387005, 22356005, 23215003, 23416004, 24924006, 31640002, 36054005,
    36470004, 36978003, 39976000, 45296009, 49668003, 51282000, 51283005, 51299004, 52374004,
    53733008, 54735007, 56401006, 56873002, 58742003, 59066005, 60911003, 62413002, 62487009,
    64234005, 64688005, 64864005, 66794005, 67453005, 70925003, 71341001, 72001000, 73071006,
    73117003, 74386004, 74872008, 79601000, 80144004, 82687006, 85050009, 87166008, 87342007,
    87391001, 89546000, 91397008, 91609006, 110517009, 113197003, 113205007, 122494005,
    122495006, 122496007, 272673000, 272710004, 312779009, 371195002, 421060004, 1217253001,
    1217254007, 1217256009, 1217257000,
})
# fmt: on
"""SNOMED CT codes of bones in DICOM's context groups (as pydicom's dictionary names them)."""


def bone_by_name(*names: str) -> bool | None:
    """Whether any of the names says bone; None when all are empty.

    Words are looked at one by one (``Femur_Head_L``, ``vertebrae_L5``, ``VB_L1``,
    ``FemoralHead_R``); a name with a word such as *muscle*, *prosthesis* or *ossification* is none.
    """
    if not any(names):
        return None
    for name in names:
        split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        words = [w.lower() for w in re.findall(r"[^\W\d_]+", split)]
        pairs = words + [f"{a} {b}" for a, b in pairwise(words)]
        if any(_NO_BONE.fullmatch(w) for w in pairs):
            continue
        if any(_BONE.fullmatch(w) for w in pairs):
            return True
    return False


def bone_by_code(value: str, scheme: str) -> bool:
    """Whether a code is that of a bone; SNOMED's older notation (SRT) is known."""
    from pydicom.sr.coding import Code

    if scheme == "SCT":
        return value.isdigit() and int(value) in BONE_CODES
    if scheme not in ("SRT", "SNM3", "99SDM"):
        return False
    code = Code(value, scheme, "")
    return any(code == Code(str(bone), "SCT", "") for bone in BONE_CODES)


def bone_by_class(labels: Sequence[int]) -> frozenset[int] | None:
    """The labels that are bone in a file of TotalSegmentator's ``total`` task without names.

    Such a file has more than ten classes, none above 117; None for any other.
    """
    if len(labels) > 10 and max(labels) <= TOTALSEGMENTATOR_CLASSES:
        return TOTALSEGMENTATOR_BONES & set(labels)
    return None


def choose_bones(
    regions: Sequence[Region], pieces: Sequence[Piece], *, closed_names: bool = False
) -> tuple[tuple[Piece, ...], list[Finding]]:
    """The bones among the structures of a given skeleton.

    Where codes, names or class numbers tell bone from other structures, only bone counts; where
    they tell nothing, everything does.

    Args:
        regions: All structures of the file.
        pieces: Their voxels.
        closed_names: See :class:`GivenMask`.

    Raises:
        InputRefused: ``mask_empty`` for classes of which none is bone.
    """
    bones = {r.label for r in regions if r.bone}
    known = [r for r in regions if r.bone is not None]
    if not bones:
        notes = []
        if known and closed_names:
            raise InputRefused(
                "--skeleton: the label map holds no bone; give a mask of the skeleton",
                "mask_empty",
            )
        if known:
            notes.append(
                finding(
                    "skeleton_not_named",
                    f"None of the {len(regions)} structure(s) in the given skeleton is named or "
                    "coded as bone; all of them were taken for bone.",
                )
            )
        return tuple(pieces), notes
    left = len(regions) - len(bones)
    if not left:
        return tuple(pieces), []
    kept = []
    for piece in pieces:
        lowest = piece.labels.dtype.type(0)
        kept.append(
            Piece(np.where(np.isin(piece.labels, list(bones)), piece.labels, lowest), piece.planes)
        )
    note = finding(
        "skeleton_chosen",
        f"{len(bones)} of {len(regions)} structures in the given skeleton are bone by code, name "
        "or class number; the others were left out.",
    )
    return tuple(kept), [note]
