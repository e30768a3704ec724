"""Every reason code in words, and the one sentence that answers for a lesion.

The sentence states what imaging shows and what is missing; it never advises to operate or to wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from hoimg.results import Label

REASON_WORDS: dict[str, str] = {
    "slice_too_thick": "the slices are too thick",
    "slice_thickness_unknown": "the slice thickness is unknown",
    "too_small_to_judge": "it is too small to follow reliably",
    "volume_not_measured": "its volume could not be measured",
    "near_metal": "it lies too near to metal",
    "metal_streaks": "metal streaks cross it",
    "contrast_overlap": "it overlaps contrast agent",
    "cut_by_field_of_view": "it is cut by the field of view",
    "crosses_gap": "slices are missing in it or beside it",
    "field_of_view_unknown": "it is unknown whether the field of view cuts it",
    "mimic_suspected": "it may be something other than heterotopic ossification",
    "red_flag_reverse_zoning": "RED FLAG: its centre is denser than its rim (reverse zoning), "
    "which can be seen in sarcoma",
    "volume_increase": "its volume increased beyond repeatability",
    "mass_increase": "its mineral mass increased beyond repeatability",
    "density_increase": "its density increased beyond repeatability",
    "slow_volume_increase": "its volume has been rising in small steps that add up beyond "
    "repeatability",
    "slow_mass_increase": "its mineral mass has been rising in small steps that add up beyond "
    "repeatability",
    "slow_density_increase": "its density has been rising in small steps that add up beyond "
    "repeatability",
    "rim_and_margin_absent": "it has neither a cortical rim nor a sharp margin",
    "rim_complete": "its cortical rim is complete",
    "margin_sharp": "its margin is sharp",
    "no_detectable_change": "no detectable change in volume, mass and density",
    "regressing": "it has become smaller or less dense (regressing)",
    "age_below_limit": "it is younger than the limit from its known onset",
    "mature_appearing": "rim and margin look mature",
    "rim_and_margin_contradict": "rim and margin contradict each other",
    "rim_unrated": "its rim could not be rated",
    "rim_intermediate": "its rim is incomplete",
    "rim_absent": "it has no cortical rim",
    "margin_unrated": "its margin could not be rated",
    "margin_intermediate": "its margin is neither sharp nor blurred",
    "margin_absent": "its margin is blurred",
    "stability_untested": "its stability is untested",
    "prior_not_comparable": "no earlier exam is comparable",
    "interval_too_short": "the earlier exams are too recent",
    "merged_or_split": "it merged or split since the earlier exam",
    "change_not_measured": "the change since the earlier exam is not fully measured",
    "increase_within_uncertainty": "it increased beyond the repeatability coefficient, though not "
    "beyond the uncertainty of the two measurements",
    "measurement_too_uncertain": "the two measurements are too uncertain to show that it did not "
    "grow",
    "one_projection": "it was judged in one projection only",
    "area_not_measured": "its area is not known in millimetres",
    "area_not_compared": "its area was not compared with that on earlier films",
    "area_increase": "its projected area increased beyond repeatability",
    "no_detectable_area_change": "no detectable change in projected area",
    "polarity_doubtful": "it is in doubt whether the film shows bone light or dark",
    "never_measured": "it was measured in no exam",
    "resolved": "it is no longer seen at a later exam",
    "merged_into_another": "it merged into another lesion; see there",
    "not_in_view_later": "a later exam does not show its place",
    "not_followed_later": "it could not be matched in a later exam",
}

_LEADS: dict[Label, str] = {
    "mature": "Mature on imaging",
    "immature": "Immature or still active on imaging",
    "indeterminate": "Indeterminate",
}


def reason_words(code: str) -> str:
    """A reason code in words; an unknown code is shown as it is."""
    return REASON_WORDS.get(code, code.replace("_", " "))


def summarise(
    label: Label,
    reasons: Sequence[str],
    *,
    day: int | None = None,
    followup_day: int | None = None,
    when: date | None = None,
    note: str = "",
    limits: str = "",
) -> str:
    """The answer for one lesion in one plain sentence.

    Args:
        label: The label.
        reasons: Reason codes, most important first.
        day: Day of the exam judged.
        followup_day: Earliest day from which stability could be rated.
        when: The same as a date.
        note: Something about later exams, already in words.
        limits: Repeatability that "no detectable change" stands against, already in words.
    """

    def words(code: str) -> str:
        text = reason_words(code)
        return f"{text} ({limits})" if limits and code == "no_detectable_change" else text

    lead = _LEADS[label]
    if day is not None:
        lead += f" (day {day})"
    if label == "indeterminate" and "mature_appearing" in reasons:
        lead += ": mature-appearing; stability untested"
        skipped = {"mature_appearing", "stability_untested", "not_in_view_later"}
        why = [words(r) for r in reasons if r not in skipped]
        if why:
            lead += f" ({', '.join(why)})"
    else:
        why = [words(r) for r in reasons if r != "not_in_view_later"]
        lead += ": " + ", ".join(why)
    if note:
        lead += f"; {note}"
    if followup_day is not None:
        named = f"{when.isoformat()} (day {followup_day})" if when else f"day {followup_day}"
        lead += f"; stability can be rated from {named}"
    return lead + "."
