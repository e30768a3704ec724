"""Tables of a benchmark put into a page in place of those with the same heading."""

from __future__ import annotations

import re
from pathlib import Path

DATED = re.compile(r"^\d{4}-\d\d-\d\d, commit .*; \d+ of \d+ ", re.MULTILINE)


def renew(page: Path, text: str) -> None:
    """Replace each table of ``page`` that ``text`` has with the same heading; the prose stays.

    A line with date and commit right before a table goes with it. A table whose heading the page
    lacks is added at its end; a page that does not exist yet becomes the text.
    """
    if not page.exists():
        page.write_text(text, encoding="utf-8")
        return
    found = page.read_text(encoding="utf-8")
    dated = ""
    for block in filter(None, (b.strip("\n") for b in text.split("\n\n"))):
        if DATED.match(block):
            dated = block
            continue
        heading = block.split("\n", 1)[0]
        old = re.compile(
            rf"(?:{DATED.pattern}[^\n]*\n\n)?^{re.escape(heading)}\n(?:\|[^\n]*\n)+", re.M
        )
        new = f"{dated}\n\n{block}\n" if dated else f"{block}\n"
        dated = ""
        found, count = old.subn(lambda _m, new=new: new, found, count=1)
        if not count:
            found = f"{found.rstrip()}\n\n{new}"
    page.write_text(found, encoding="utf-8")
