"""Render the report of 30 methods x 40 datasets x 5 seeds (simulated records), and open it in a browser.

Prints CPU seconds of loading and rendering, the page's size, and how long Chromium takes until the page answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.reports import build_report

# After bench, whose name a folder of the tests has, too.
TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS / "reports"), str(TESTS)]

import conftest as fake  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("methods", 30), ("datasets", 40), ("seeds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="keep run and page in this folder")
    given = parser.parse_args()
    methods = {f"method-{i:02}": 0.5 + 2 * i / given.methods for i in range(given.methods)}
    fake.SEEDED = set(methods)
    datasets = tuple(f"dataset-{i:02}" for i in range(given.datasets))
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        plan = fake.Plan(methods, tracks=("simulated",), datasets=datasets, seeds=given.seeds)
        run = fake.write_fake_run(folder / "run", plan)
        start = time.process_time()
        page = build_report(run, folder / "report.html", formats=())
        print(f"rendered in {time.process_time() - start:.1f} CPU seconds, {page.stat().st_size / 1e6:.1f} MB")
        print(f"opened in {opened(page):.1f} s")


def opened(page: Path) -> float:
    """Seconds from the call to the end of scripts and first layout."""
    from selenium.webdriver import Chrome, ChromeOptions

    options = ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    browser = Chrome(options=options)
    try:
        start = time.monotonic()
        browser.get(page.absolute().as_uri())
        browser.execute_script("return document.body.offsetHeight")
        return time.monotonic() - start
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
