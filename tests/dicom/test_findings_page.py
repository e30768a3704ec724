"""The page of findings and the table in the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from hoimg.dicom import FINDINGS
from hoimg.dicom.findings import finding

PAGE = Path(__file__).resolve().parents[2] / "docs" / "findings.md"


def test_every_code_is_on_the_page_with_its_level() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE.read_text("utf-8"), flags=re.M))
    assert {code: rows.get(code) for code in FINDINGS} == {c: v[0] for c, v in FINDINGS.items()}


def test_every_code_is_used_and_every_used_code_is_known() -> None:
    folder = Path(__file__).resolve().parents[2] / "hoimg" / "dicom"
    source = "".join(f.read_text("utf-8") for f in folder.rglob("*.py") if f.name != "findings.py")
    for code in FINDINGS:
        assert f'"{code}"' in source, code
    made = finding("missing_slices", "two")
    assert (made.level, made.message, bool(made.fix)) == ("error", "two", True)
