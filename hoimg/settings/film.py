"""Section ``film``: outlines, measures and grades on radiographs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hoimg.settings.threshold import Section, threshold

Magnification = Annotated[float, Field(ge=1.0, le=3.0)]
"""Shadow over object; a source that is nearer than this to the patient is no radiograph's."""


class FilmSettings(Section):
    """Numbers of a film. Lengths are at the detector where the film states no better spacing."""

    outline_min_contrast_to_noise: float = threshold(
        1.0,
        unit="ratio",
        meaning="Below this mean contrast to the unevenness around it, no outline is given.",
        source="what the reference of simulated films calls invisible",
        status="default",
        ge=0,
    )
    outline_min_step_to_noise: float = threshold(
        0.7,
        unit="ratio",
        meaning="Three quarters of an outline have to stand out of what is just outside by this "
        "many times the unevenness, or none is given.",
        source="simulated films, tuning set",
        status="default",
        ge=0,
    )
    outline_max_edge_cost: float = threshold(
        0.4,
        unit="cost (0.05 a perfect edge, 1.05 none)",
        meaning="An outline that lies on weaker edges than this on the average is not given.",
        source="simulated films, tuning set",
        status="default",
        gt=0,
    )
    outline_max_own_edge_cost: float = threshold(
        0.5,
        unit="cost (0.05 a perfect edge, 1.05 none)",
        meaning="The same where edges that go on outside of the outline, as those of bone do, "
        "count as none: an outline that lies on them for the greater part is not given.",
        source="simulated films, tuning set: mostly more where nothing is, less round lesions",
        status="default",
        gt=0,
    )
    outline_clear_step_to_noise: float = threshold(
        2.75,
        unit="ratio",
        meaning="Where three quarters of an outline stand out by this many times the unevenness, "
        "it is given on edges that go on as well.",
        source="simulated films, tuning set: less where nothing is (98 %)",
        status="default",
        ge=0,
    )
    native_min_radius_mm: float = threshold(
        12.0,
        unit="mm",
        meaning="Edges of native bone are followed through a region while they bend no more.",
        source="engineering choice: shafts and femoral heads bend less, lesions more",
        status="default",
        gt=0,
    )
    native_outside_mm: float = threshold(
        5.0,
        unit="mm",
        meaning="An edge is native when it goes on outside of the region for this far.",
        source="engineering choice",
        status="default",
        ge=0.5,
    )
    assumed_spacing_mm: float = threshold(
        0.15,
        unit="mm",
        meaning="Pixel size by which a film without a spacing is smoothed; no length is given.",
        source="detectors have pixels of 0.1 to 0.2 mm",
        status="default",
        gt=0,
    )
    outline_sd_mm: float = threshold(
        0.3,
        unit="mm",
        meaning="Standard deviation of where an outline on perfect edges lies, all round it.",
        source="simulated films, tuning set; how round the body's side is, is not known",
        status="default",
        gt=0,
    )
    outline_sd_mm_per_cost: float = threshold(
        6.0,
        unit="mm for an edge cost of 1 above 0.05",
        meaning="What poorer edges add to that standard deviation, in quadrature.",
        source="simulated films, tuning set",
        status="default",
        ge=0,
    )
    depth_relative_sd: float = threshold(
        0.03,
        unit="fraction",
        meaning="A lesion, or the gap of a hip, lies in front of or behind the plane whose "
        "magnification is stated: standard deviation of its own over that.",
        source="25 mm at 850 mm from the source, 30 mm at 1 m (calculated)",
        status="default",
        ge=0,
    )
    profile_min_step_to_noise: float = threshold(
        2.0,
        unit="ratio",
        meaning="A place of the outline whose edge stands out less is not cortex-like, and its "
        "width is not read.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    corticated_min_fall: float = threshold(
        0.2,
        unit="fraction of the edge's height",
        meaning="A cortex-like edge is a line: the film falls again by this much inside of it.",
        source="engineering choice",
        status="default",
        gt=0,
        lt=1,
    )
    cortex_within_mm: float = threshold(
        60.0,
        unit="mm",
        meaning="The film's own cortex is looked for this far round the lesion.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    cortex_min_length_mm: float = threshold(
        30.0,
        unit="mm",
        meaning="Less of the own cortex leaves edge ratio and density index unrated.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    registration_within_mm: float = threshold(
        50.0,
        unit="mm",
        meaning="A later film is placed by what lies this far round the lesion.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    registration_leave_out_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="Margin round the lesion that is not used to place a film.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    registration_min_likeness: float = threshold(
        0.65,
        unit="correlation",
        meaning="Films whose surroundings of the lesion are less alike are not placed.",
        source="simulated films, tuning set: 0.89 or more unchanged",
        status="default",
        ge=0,
        le=1,
    )
    projection_min_likeness: float = threshold(
        0.8,
        unit="correlation",
        meaning="Films that are placed but less alike may show different projections: their areas "
        "are not compared.",
        source="simulated films, tuning set: 0.89 or more unchanged, 0.50 to 0.86 turned",
        status="default",
        ge=0,
        le=1,
    )
    projection_max_moved_mm: float = threshold(
        1.8,
        unit="mm",
        meaning="Blocks of bone that lie farther from where the similarity puts them (80th "
        "percentile) tell another projection.",
        source="simulated films, tuning set: 1.2 or less unchanged, 2.0 or more turned",
        status="default",
        gt=0,
    )
    projection_max_lost: float = threshold(
        0.5,
        unit="fraction of the blocks",
        meaning="More blocks of bone that are found nowhere near tell another projection.",
        source="simulated films, tuning set",
        status="default",
        ge=0,
        le=1,
    )
    projection_max_lesion_aside_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="A lesion whose outlines reach beyond each other by more moved against the bone: "
        "another projection.",
        source="simulated films, tuning set",
        status="default",
        gt=0,
    )
    projection_max_both_ways: float = threshold(
        0.1,
        unit="fraction of the lesser area",
        meaning="A lesion whose outlines, drawn on both films at once, each have more that the "
        "other has not turned or moved against the bone: another projection.",
        source="simulated films, tuning set: 0.03 or less grown, 0.13 or more turned (3 pairs); "
        "3 of 12 unchanged pairs are above and are not compared",
        status="default",
        gt=0,
    )
    carried_regions_count: bool = threshold(
        False,
        unit="",
        meaning="A region that was given on one date only is carried to the patient's other films "
        "of that view and measured there, without a reader who confirms it.",
        source="engineering choice: what a program suggests, a reader confirms",
        status="default",
    )
    rc_area_pct: float = threshold(
        25.0,
        unit="%",
        meaning="The repeatability coefficient of a projected area is never below this.",
        source="engineering choice; as of volume",
        status="default",
        ge=25,
    )
    area_min_shown: float = threshold(
        0.4,
        unit="fraction of the lesion's contrast",
        meaning="A change of area beyond its RC counts only where the films differ by this much "
        "between the two outlines; else the outlines alone differ.",
        source="simulated films, tuning set: 0.53 or more grown, 0.27 or less wrongly drawn",
        status="default",
        ge=0,
    )
    area_shared_error: float = threshold(
        0.75,
        unit="correlation coefficient",
        meaning="How far the errors of two comparable areas of a lesion are one and the same (the "
        "same neighbouring bone, blur) and cancel in their change; 0 for independent errors.",
        source="simulated films, tuning set: 0.94 from 9 pairs, too few for as much",
        status="default",
        ge=0,
        le=1,
    )
    hip_head_min_radius_mm: float = threshold(
        19.0,
        unit="mm on the film",
        meaning="No smaller circle is looked at as a femoral head.",
        source="adult heads are 38-58 mm wide",
        status="default",
        gt=0,
    )
    hip_head_max_radius_mm: float = threshold(
        34.0,
        unit="mm on the film",
        meaning="No larger circle is looked at as a femoral head.",
        source="adult heads are 38-58 mm wide; magnified by 1.2 at the detector",
        status="default",
        gt=0,
    )
    hip_head_min_score: float = threshold(
        0.125,
        unit="0 to 1",
        meaning="A circle that looks less like a femoral head is none: no landmarks are found.",
        source="simulated films, tuning seeds: hips of digital bodies 0.137 or more; on films of a "
        "real CT, too soft for its heads to be seen, other bone scores up to 0.110",
        status="default",
        ge=0,
    )
    hip_reach_heads: float = threshold(
        4.0,
        unit="radii of the femoral head",
        meaning="A lesion this close to the middle of a femoral head lies about that hip.",
        source="engineering choice; the trochanters end 2.5-3 radii from it",
        status="default",
        gt=0,
    )
    hip_contact_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="A lesion whose shadow comes this close to a bone's is apparently one with it.",
        source="engineering choice; silhouettes are found on pixels of 1 mm",
        status="default",
        gt=0,
    )
    hip_fused_mm: float = threshold(
        0.5,
        unit="mm",
        meaning="Lesions whose shadows come this close to each other are apparently one.",
        source="about what a film can show",
        status="default",
        ge=0,
    )
    hip_overlying_share: float = threshold(
        0.75,
        unit="fraction of the rim",
        meaning="A lesion with bone round it by this much lies over a bone's shadow: whether it is "
        "one with it the film does not show.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    hip_boundary_sd_mm: float = threshold(
        0.7,
        unit="mm",
        meaning="SD of a gap from the place of its two boundaries.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    hip_usual_magnification: tuple[Magnification, Magnification] = threshold(
        (1.15, 1.25),
        unit="ratio",
        meaning="A gap known at the detector only is graded where both ends of this range, and so "
        "all between, give the same grade. A film cannot make things smaller: 1 or more.",
        source="hip radiographs, 1.15-1.25",
        status="borrowed",
    )
    suggest_min_agreement: float = threshold(
        0.5,
        unit="correlation",
        meaning="Sides that match less are not compared: nothing is suggested.",
        source="simulated films, tuning seeds",
        status="default",
    )
    suggest_min_agreement_over_time: float = threshold(
        0.9,
        unit="correlation",
        meaning="An earlier film that matches less is not held against a later one: nothing is "
        "suggested as new.",
        source="simulated films, tuning seeds: 0.94 and more in one projection",
        status="default",
    )
    suggest_tolerance_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="How exactly the two sides match: an edge that the other side has so near is "
        "the same.",
        source="simulated films, tuning seeds",
        status="default",
        ge=0,
    )
    suggest_min_score: float = threshold(
        0.3,
        unit="0 to 1",
        meaning="A place whose outline lies on poorer or fewer edges of its own, or in more uneven "
        "surroundings, is not suggested.",
        source="simulated films, tuning seeds",
        status="default",
        ge=0,
        le=1,
    )
    suggest_min_area_mm2: float = threshold(
        40.0,
        unit="mm2",
        meaning="Smaller places are not suggested.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    suggestions_count: bool = threshold(
        False,
        unit="",
        meaning="Places that stand out against the other side or an earlier film count as regions: "
        "lesions are called in them without a reader who confirms them.",
        source="engineering choice: what a program suggests, a reader confirms",
        status="default",
    )
    suggest_most: int = threshold(
        3,
        unit="suggestions",
        meaning="No more are made on a film.",
        source="engineering choice: a reader looks at few, and then at none",
        status="default",
        ge=1,
    )
