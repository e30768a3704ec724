"""``hoimg deidentify``: DICOM files without the people in them, with intervals and references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import Console, console_of
from hoimg.errors import WITH_FAILURES, InputRefused, UsageError

if TYPE_CHECKING:
    from hoimg.deidentify import Outcome


def deidentify(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Folder of DICOM files, or one file.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
) -> None:
    """Write DICOM files without the people in them (PS3.15 Annex E, Basic Profile).

    Names, IDs, comments, private elements, overlays and every text without a rule go, at any
    depth. Each patient's dates move by one shift, so that days between exams stay; UIDs and
    PatientID are replaced so that references still lead to each other. CT, radiographs, MR, PET,
    SEG, RTSTRUCT and structured reports are treated; other objects are refused by name. Whether a
    file's picture carries text is not looked at: pixels are kept as they are.

    All replacements are made from a secret: HOIMG_PATIENT_KEY, else the file OUT.key beside OUT,
    which is made when missing. The same secret gives the same files. Never give it away with them.

    \b
    Examples:
      hoimg deidentify scans/ shared/
      HOIMG_PATIENT_KEY="$(cat project.key)" hoimg deidentify scans/ shared/

    Exit code 4 when some DICOM files were refused, 3 when all were.
    """
    files = _files(source, output)

    from hoimg.deidentify import Pseudonyms, deidentify_files, read_key

    console = console_of(ctx)
    key = read_key(output)
    with console.progress("De-identifying") as step:

        def tell(done: int, total: int) -> None:
            if done % max(total // 10, 1) == 0:
                step(f"{done} of {total} files")

        outcome = deidentify_files(files, output, Pseudonyms(key.secret), on_progress=tell)
    _say(outcome, console)
    if not outcome.written:
        raise InputRefused(
            f"{source}: holds no DICOM file that can be de-identified; nothing was written",
            "nothing_deidentified",
        )
    typer.echo(
        f"{outcome.written} file(s) of {outcome.patients} patient(s) in {output}, by {key.origin}"
    )
    if outcome.refused:
        raise typer.Exit(WITH_FAILURES)


def _files(source: Path, output: Path) -> tuple[Path, ...]:
    """The files to treat, listed before anything is written."""
    from hoimg.dicom.files import list_files

    if output.is_symlink() or (output.exists() and (not output.is_dir() or any(output.iterdir()))):
        raise UsageError(f"{output}: exists and is not an empty folder; name a new one")
    if output.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{output}: lies within {source}; name a folder outside")
    listing = list_files([source])
    if listing.closed_folders:
        raise UsageError(f"{source}: {listing.closed_folders} folder(s) in it cannot be listed")
    return listing.files


def _say(outcome: Outcome, console: Console) -> None:
    for file, reason in outcome.refused:
        console.warn(f"refused: {file} {reason}")
    for file, kind in outcome.left:
        console.detail(f"left out: {file}: {kind}")
    if outcome.left:
        console.say(f"{len(outcome.left)} file(s) without a DICOM object were left out (-v lists)")
    images = sum(outcome.burned_in.values())
    if images > outcome.burned_in.get("NO", 0):
        console.warn(
            f"pixels were not changed and may carry text: of {images} image(s) "
            f"{outcome.burned_in.get('YES', 0)} state text in the picture (BurnedInAnnotation), "
            f"{outcome.burned_in.get('', 0)} state nothing; look at them before you share them"
        )
