"""Tables of a benchmark take the place of those with the same heading, and nothing else changes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from tables import renew

PAGE = """# Validation

Prose before.
2026-01-01, commit aaaaaaa; 0 of 9 were not outlined.

| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

Prose between, with | bars |.

| c | d |
|---|---|
| 5 | 6 |
"""


def renewed(tmp_path, text, page=PAGE):
    path = tmp_path / "page.md"
    path.write_text(page, encoding="utf-8")
    renew(path, text)
    return path.read_text(encoding="utf-8")


def test_tables_and_their_date_are_replaced_and_prose_stays(tmp_path):
    text = (
        "2026-02-02, commit bbbbbbb; 1 of 9 were not outlined.\n\n| a | b |\n|---|---|\n| 7 | 8 |\n"
    )
    want = PAGE.replace("2026-01-01, commit aaaaaaa; 0", "2026-02-02, commit bbbbbbb; 1")
    assert renewed(tmp_path, text) == want.replace("| 1 | 2 |\n| 3 | 4 |\n", "| 7 | 8 |\n")


def test_a_second_table_alone_leaves_the_first(tmp_path):
    text = "| c | d |\n|---|---|\n| 9 | 9 |\n"
    assert renewed(tmp_path, text) == PAGE.replace("| 5 | 6 |", "| 9 | 9 |")


def test_an_unknown_table_is_added_and_a_new_page_is_the_text(tmp_path):
    text = "| e |\n|---|\n| 1 |\n"
    assert renewed(tmp_path, text) == f"{PAGE}\n{text}"
    renew(tmp_path / "new.md", text)
    assert (tmp_path / "new.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("odd", [r"\1 \g<0>", "a\\d"])
def test_backslashes_are_text(tmp_path, odd):
    text = f"| c | d |\n|---|---|\n| {odd} | 9 |\n"
    assert odd in renewed(tmp_path, text)
