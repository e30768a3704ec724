"""How long the cohort page of many patients takes to write, to open, to sort and to filter.

    python benchmarks/cohort.py [--patients 1000] [--report report.html]

The patients are made up, written through the project's tables; each has ``--report`` as its report,
so that its pictures are read, too. The page is opened in Chromium, from the start of loading until
the filter's count stands there: at most 3 s with 1,000 patients.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cohort"))
MOST_SECONDS = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--report", type=Path, help="a report.html that stands for all")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright
    from synthetic_cohort import write_cohort_of

    from hoimg.cohort.page import write_cohort

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        out = Path(name)
        for report in write_cohort_of(out, args.patients):
            if args.report:
                folder = out / "patients" / report.patient_key
                folder.mkdir(parents=True)
                (folder / "report.html").symlink_to(args.report.resolve())
        begun = time.perf_counter()
        page_file = write_cohort(out)
        wrote = time.perf_counter() - begun
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        page = browser.new_page()
        begun = time.perf_counter()
        page.goto(page_file.as_uri())
        page.wait_for_function("document.getElementById('shown').textContent !== ''")
        opened = time.perf_counter() - begun
        sort, find = (
            page.evaluate(
                "act => { const t = performance.now(); eval(act); "
                "document.body.offsetHeight; return performance.now() - t; }",
                act,
            )
            for act in (
                "document.querySelector('[data-column=volume]').click()",
                "const s = document.getElementById('search'); s.value = 'metal';"
                "s.dispatchEvent(new Event('input'))",
            )
        )
        browser.close()
        print(
            f"{args.patients} patients: written in {wrote:.1f} s, "
            f"{page_file.stat().st_size / 1e6:.1f} MB; opened in {opened:.2f} s (at most "
            f"{MOST_SECONDS:g}), sorted in {sort:.0f} ms, filtered in {find:.0f} ms"
        )
    return 0 if opened <= MOST_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
