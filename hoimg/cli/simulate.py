"""``hoimg simulate``: cases with known truth, as DICOM folders and ``case.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from hoimg.image import CTVolume
    from hoimg.simulate.limb import Limb


def simulate(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the case; new or empty.")
    ],
    base: Annotated[
        Path | None,
        typer.Option("--base", help="CT without ossification: NIfTI, NRRD or a DICOM folder."),
    ] = None,
    limb: Annotated[
        str | None,
        typer.Option("--limb", help="Digital limb in place of a CT: thigh, elbow, hip or arm."),
    ] = None,
    serial: Annotated[
        str,
        typer.Option(
            "--serial",
            "--scenario",
            metavar="SCENARIO",
            help="What the lesions do: stable, maturing, growing (with a rim), "
            "growing-without-rim, shrinking, new, merging, splitting, reverse-zoning; or what "
            "happens to the exams: changed-scanner, moved-limb, metal, truncated; or mixed: one "
            "story after the other.",
        ),
    ] = "mixed",
    lesions: Annotated[int, typer.Option("--lesions", help="Number of lesions.")] = 3,
    exams: Annotated[
        int,
        typer.Option(
            "--exams", help="Number of exams, 30 to 190 days apart; the last two 84 or more."
        ),
    ] = 3,
    slice_mm: Annotated[float, typer.Option("--slice", help="Slice spacing, mm.")] = 1.25,
    change: Annotated[
        str,
        typer.Option(
            "--last", help="What differs at the last exam: none, thick (3 mm), sharp, kvp (100)."
        ),
    ] = "none",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same case.")] = 0,
) -> None:
    """Plant ossifications with known truth; write DICOM studies and case.json.

    Examples:

    \b
      hoimg simulate -o case/                                  a thigh, three exams
      hoimg simulate -o case/ --limb elbow --serial growing --lesions 1
      hoimg simulate -o case/ --serial moved-limb              a hip that bends
      hoimg simulate -o case/ --serial metal --limb arm --exams 2
      hoimg simulate -o case/ --base pelvis.nii.gz --exams 4 --seed 12
      hoimg simulate -o case/ --last thick                     3 mm slices at the last exam
    """
    if base is not None and limb is not None:
        raise UsageError("give either --base or --limb")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: exists and is not an empty folder; name a new one with -o")

    from hoimg.simulate.case import write_case
    from hoimg.simulate.scenarios import check_wish, plan_case

    kind = limb or ("hip" if serial == "moved-limb" else "thigh")
    check_wish(serial, lesions, exams, slice_mm, jointed=base is None and kind in ("hip", "arm"))
    console = console_of(ctx)
    with console.progress("Simulating", 3) as progress:
        progress("anatomy")
        if base is None:
            made = _limb(kind, seed)
            anatomy, bone, rig = made.volume, made.native_bone, made.rig
            view = {"low_lps_mm": made.low_lps_mm, "high_lps_mm": made.high_lps_mm}
        else:
            anatomy, bone, rig, view = _read(base), None, None, {}
        progress("placing lesions")
        plan = plan_case(
            anatomy,
            bone,
            scenario=serial,
            lesions=lesions,
            exams=exams,
            slice_mm=slice_mm,
            change=change,
            seed=seed,
            rig=rig,
            **view,
        )
        progress("scanning and writing")
        path = write_case(plan, output)
    typer.echo(str(path))


def _limb(kind: str, seed: int) -> Limb:
    """A digital limb without noise; each exam adds its own."""
    from hoimg.simulate.limb import make_limb

    try:
        return make_limb(kind, seed=seed)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _read(path: Path) -> CTVolume:
    """The first exam of a DICOM folder, or a NIfTI or NRRD file in HU."""
    import numpy as np

    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; name a CT with --base")
    if path.is_dir():
        from hoimg.dicom import load_volume, read_patient

        return load_volume(read_patient(path).exams[0])
    import SimpleITK as sitk

    from hoimg.image import CTVolume, from_sitk

    try:
        array, grid = from_sitk(sitk.ReadImage(str(path)))
    except (RuntimeError, ValueError) as error:
        raise InputRefused(
            f"{path}: cannot be read as a 3D image; give a .nii.gz, a .nrrd or a DICOM folder",
            "base_unreadable",
        ) from error
    return CTVolume(np.clip(np.rint(array), -1024, 3071).astype(np.int16), grid)
