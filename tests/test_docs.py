"""What the documents say is true: their examples run, their lists are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hoimg.cli.main import COMMANDS
from hoimg.results import Report

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_of_the_api_page_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    page: dict[str, object] = {}
    blocks = python_blocks(DOCS / "api.md")
    assert len(blocks) == 5
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/api.md block {number}", "exec"), page)

    patient, result, seen = page["patient"], page["result"], page["seen"]
    assert [exam.days_from_baseline for exam in patient.scans] == [0, 90, 190, 290]
    assert [exam.days_from_baseline for exam in patient.radiographs] == [0, 290, 290]
    assert len(result.report.lesions) == 3
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [x["lesion_id"] for x in written["lesions"]] == [
        x.lesion_id for x in result.report.lesions
    ]
    assert page["page"] == Path("report/report.html")
    # The ball of the last block: 4/3 pi r^3, within what its 0.8 mm voxels can show.
    assert seen.volume_mm3 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.03)
    assert patient.exams[0].exam_id in capsys.readouterr().out


def test_the_readme_example_is_the_one_of_the_api_page():
    # It is not run a second time; each of its calls must stand on the page that is run.
    (block,) = python_blocks(ROOT / "README.md")
    ran = "\n".join(python_blocks(DOCS / "api.md"))
    for call in re.findall(r"hoimg\.\w+\(.*?\)\)?", block):
        assert call in ran


def test_contracts_list_every_command_and_every_field():
    text = (DOCS / "contracts.md").read_text()
    for name in COMMANDS:
        assert f"`hoimg {name}" in text
    named = set(re.findall(r"`(\w+)[\[{`]", text)) | set(re.findall(r"[{,] ?(\w+)", text))
    schema = Report.model_json_schema()
    for model in ("Exam", "Lesion", "Excluded"):
        assert set(schema["$defs"][model]["properties"]) - {"note"} <= named
    assert set(schema["properties"]) <= named


def test_every_page_is_reachable_and_every_link_leads_somewhere():
    index = (DOCS / "index.md").read_text()
    for page in DOCS.glob("*.md"):
        if page.name != "index.md":
            assert re.search(rf"^{page.stem}$", index, re.MULTILINE), page.name
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("name", ["README.md", "docs/limits.md", "docs/index.md"])
def test_the_first_pages_state_what_the_label_is_not(name):
    text = " ".join((ROOT / name).read_text().split())
    for words in ("ot a medical device", "malignancy", "histology|real lesions"):
        assert re.search(words, text), words


def test_constraints_are_plain_pins_of_everything_that_is_declared():
    import tomllib

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    assert all(re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.]+", line) for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [x for group in project["optional-dependencies"].values() for x in group]
    for wanted in [*project["dependencies"], *extras]:
        name = re.split(r"[\[><=]", wanted)[0]
        assert name == "hoimg" or name in pins, f"{name}: run 'make constraints'"
