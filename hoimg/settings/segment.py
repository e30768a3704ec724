"""Section ``segment``: what is native bone, what is a lesion."""

from __future__ import annotations

from typing import Literal

from hoimg.settings.threshold import Section, threshold


class SegmentSettings(Section):
    """Finding ectopic mineral apart from the skeleton."""

    mineral_hu_120kvp: float = threshold(
        150.0,
        unit="HU at 120 kVp",
        meaning="Voxels above this are mineral; corrected for the exam's tube voltage.",
        source="150-200 HU in HO papers",
        status="default",
    )
    metal_hu: float = threshold(
        2500.0,
        unit="HU",
        meaning="Voxels above this are metal or cement.",
        source="metal and cement exceed 2500-3000 HU or saturate",
        status="default",
    )
    least_score: float = threshold(
        0.08,
        unit="score",
        meaning="Free candidates with at least this score of the classifier are called.",
        source="false and missed lesions on tuning, training and varied cases, cross-validated",
        status="default",
        gt=0,
        lt=1,
    )
    attached_score: float = threshold(
        0.045,
        unit="score",
        meaning="The same for candidates that touch native bone.",
        source="as above: fewer of them are false",
        status="default",
        gt=0,
        lt=1,
    )
    doubtful_score: float = threshold(
        0.2,
        unit="score",
        meaning="The same for candidates on bone that are larger than 10 mL, or of which less than "
        "40 % lies off mirrored bone: they may be a whole bone.",
        source="no lesion of 156 varied cases was lost for it (cross-validated); a whole iliac "
        "wing was called at 0.09 on a scan of another simulator",
        status="default",
        gt=0,
        lt=1,
    )
    alone_score: float = threshold(
        0.45,
        unit="score",
        meaning="The same for candidates on bone in a scan without another side.",
        source="46 halves of varied scans cut at the midline, 20 scans of digital hips and arms: "
        "115 of 118 false candidates had less, of 71 that fit a lesion four",
        status="default",
        gt=0,
        lt=1,
    )
    end_score: float = threshold(
        0.5,
        unit="score",
        meaning="The same for what comes as near to the first or last slice as scan_end_mm: ribs, "
        "vessels and glands cut there show no more of their form than a lesion does.",
        source="engineering choice: more likely a lesion than not",
        status="default",
        gt=0,
        lt=1,
    )
    contrast_score: float = threshold(
        0.1,
        unit="score",
        meaning="The same for all candidates where a contrast agent is named.",
        source="as above: 0.5 false lesions a chest instead of 0.75, and none missed for it",
        status="default",
        gt=0,
        lt=1,
    )
    coarse_score: float = threshold(
        0.4,
        unit="score",
        meaning="The same where voxels are coarser than 2.5 mm, which the classifier never saw.",
        source="one scan of 3 mm without lesions",
        status="default",
        gt=0,
        lt=1,
    )
    new_score: float = threshold(
        0.05,
        unit="score",
        meaning="The same for mineral that an earlier exam of the patient did not have.",
        source="engineering choice",
        status="default",
        gt=0,
        lt=1,
    )
    given_score: float = threshold(
        0.035,
        unit="score",
        meaning="The same for what stands on, or within 4 mm of, a skeleton that was given.",
        source="tuning cases: as many false ones as at 0.1 with an earlier classifier",
        status="default",
        gt=0,
        lt=1,
    )
    min_lesion_mm3: float = threshold(
        150.0,
        unit="mm3",
        meaning="Candidates smaller than this are listed under excluded as too_small.",
        source="engineering choice",
        status="default",
        gt=0,
    )

    working_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Spacing of the grid on which candidates are found (outlines use the native one).",
        source="finer adds time, not lesions of 0.2 mL and more",
        status="default",
        gt=0,
    )
    mirror_tolerance_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="Bone this close to mirrored bone is native.",
        source="97.6 % of bone lies within 3 mm of its mirrored partner (one pelvis)",
        status="default",
    )
    mirror_loose_mm: float = threshold(
        8.0,
        unit="mm",
        meaning="Long thin pieces (ribs) this close to mirrored bone are native.",
        source="asymmetry of ribs in two scans",
        status="default",
    )
    shell_soft_outside: float = threshold(
        0.73,
        unit="fraction",
        meaning="A closed shell is a lesion's when this much of its outside is soft tissue.",
        source="planted 0.73-0.99, native bone up to 0.7 (tuning cases)",
        status="default",
        gt=0,
        le=1,
    )
    shell_compactness: float = threshold(
        7.0,
        unit="volumes of the inscribed sphere",
        meaning="A closed shell's core larger than this is drawn out, as ribs and processes are.",
        source="planted 2-7 (tuning cases)",
        status="default",
        gt=1,
    )
    shell_inscribed_mm: float = threshold(
        2.3,
        unit="mm",
        meaning="Least radius of the largest sphere in a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_rim_over_core: float = threshold(
        1.1,
        unit="ratio",
        meaning="The rim of a closed shell is at least this many times as dense as its core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_pass_ratio: float = threshold(
        0.75,
        unit="ratio",
        meaning="A ridge lower than this times the rim joins the cores on its two sides.",
        source="joins septa of a lesion and noise across ribs, keeps cortex (tuning cases)",
        status="default",
        gt=0,
        lt=1,
    )
    shell_min_mm3: float = threshold(
        100.0,
        unit="mm3",
        meaning="Least volume of a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_max_mm3: float = threshold(
        60_000.0,
        unit="mm3",
        meaning="Largest volume of a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    mirror_faint_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="Outgrowths of bone this close to anything dense on the other side are native.",
        source="one pelvis; 4 mm lost small attached lesions",
        status="default",
    )
    given_tolerance_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Bone this close to a given skeleton mask, or within a voxel of it, is native.",
        source="92-98 % of bone lies within 1 mm of a model's mask (pelvis, two scans)",
        status="default",
    )
    totalsegmentator: Literal["off", "fast", "full"] = threshold(
        "off",
        unit="",
        meaning="Let TotalSegmentator draw the native skeleton, where it is installed with its "
        "weights and no skeleton is given; fast is its 3 mm model.",
        source="engineering choice: it takes minutes and is a program of its own",
        status="default",
    )
    totalsegmentator_minutes: float = threshold(
        30.0,
        unit="min",
        meaning="TotalSegmentator is ended after this long.",
        source="engineering choice: its 1.5 mm models take minutes even without a GPU",
        status="default",
        gt=0,
    )
    given_doubted_below: float = threshold(
        0.85,
        unit="fraction",
        meaning="A given skeleton that agrees with less of the bone gets a warning.",
        source="0.87-1.0 for masks of a model, 0.7 and less when mirrored or moved by 10 mm",
        status="default",
        ge=0,
        le=1,
    )
    given_refused_below: float = threshold(
        0.6,
        unit="fraction",
        meaning="A given skeleton that agrees with less of the bone is refused.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    prior_exam: bool = threshold(
        True,
        unit="",
        meaning="Bone that the patient's earliest CT did not have is suspect in the later ones.",
        source="engineering choice",
        status="default",
    )
    prior_tolerance_mm: float = threshold(
        2.5,
        unit="mm",
        meaning="Bone this close to the bone of an earlier exam was there before.",
        source="one and a half voxels of the grid on which exams are laid on each other",
        status="default",
        gt=0,
    )
    prior_agreement: float = threshold(
        0.9,
        unit="fraction",
        meaning="Least fraction of the bone, and of that round a suspect, that must lie on the "
        "bone of an earlier exam before that exam adds suspects.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    skeleton_component_mm3: float = threshold(
        40_000.0,
        unit="mm3",
        meaning="A connected dense piece this large holds native bone.",
        source="engineering choice",
        status="default",
    )
    cut_bone_mm3: float = threshold(
        1500.0,
        unit="mm3",
        meaning="Without another side, a piece this large that leaves the scan is a cut bone.",
        source="engineering choice",
        status="default",
    )
    faint_excess_hu: float = threshold(
        35.0,
        unit="HU",
        meaning="Local mean above muscle that makes a faint floccule, where also uneven.",
        source="84 HU local mean in one pelvis",
        status="default",
    )
    faint_sd_hu: float = threshold(
        38.0,
        unit="HU",
        meaning="Local unevenness (SD in 2 mm) of a faint floccule, beyond the scan's own noise.",
        source="one pelvis",
        status="default",
    )
    group_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Mineral pieces closer than this are one lesion.",
        source="floccules of one lesion lie 1-4 mm apart",
        status="default",
    )
    scan_end_mm: float = threshold(
        4.5,
        unit="mm",
        meaning="Pieces this close to the first or last slice cannot be told from cut bone.",
        source="one pelvis",
        status="default",
    )
