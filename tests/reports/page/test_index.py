"""One page over several runs: what stands on it, where its links lead, and what it says where a report is missing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_line import bench

from bench.errors import BenchError
from bench.reports import build_index
from bench.reports.run import outcome, summary
from bench.reports.run.leaders import leaders
from bench.reports.run.load import load


class Page(HTMLParser):
    """Links, and everything that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if tag == "a" and name == "href" and not str(value).startswith("#"):
                self.links.append(str(value))
            elif name in {"src", "href", "data", "action"} and tag != "a" and not str(value).startswith("data:"):
                self.loads.append(f"{tag} {name}={value}")


@pytest.fixture
def two(make_run: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """Two runs, the first with failures and in a folder with a name that a link must quote; only that has a report."""
    first = make_run()
    failing = tmp_path / "with failures"
    first.rename(failing)
    (failing / "report.html").write_text("a report")
    return [failing, make_run({"scrublet": 1.8}, tracks=("simulated",), datasets=("cohort",), seeds=1)]


def test_each_task_has_its_sentence_its_best_methods_and_its_failures(two: list[Path], tmp_path: Path) -> None:
    text = build_index(two, tmp_path / "index.html").read_text(encoding="utf-8")
    for folder in two:
        run = load(folder)
        [card] = run.tasks.values()
        leading = leaders(run, card)
        assert str(html.escape(summary.verdict(run, card, leading), quote=False)).replace("'", "&#39;") in text
        assert str(outcome.line(run, card)) in text
        for leader in leading:
            assert (
                f'{leader.best} <b class="num">{leader.value}</b> <small class="num">{leader.interval}</small>' in text
            )
    assert text.count('<div class="lost">') == 1
    # never more than three methods of a pair
    assert max(cell.count("<b ") for cell in re.findall(r'<td class="tops">.*?</td>', text)) == 3


def test_links_lead_to_the_reports_and_a_missing_one_is_named(two: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "elsewhere" / "index.html"
    text = build_index(two, place).read_text(encoding="utf-8")
    assert Page(text).links == ["../with%20failures/report.html"]
    assert "No report of run is rendered" in text
    assert "The full reports are files of their own" in text


def test_the_page_loads_nothing_and_runs_nothing(two: list[Path], tmp_path: Path) -> None:
    page = Page(build_index(two, tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.loads == []
    assert "script" not in page.tags


def test_a_run_without_any_request_has_a_page(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run()
    for file in (run / "requests").iterdir():
        file.unlink()
    assert "hold no request yet" in build_index([run], tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_an_error(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not a run folder"):
        build_index([*two, tmp_path], tmp_path / "index.html")


def test_the_command_renders_each_report_and_the_page_beside_them(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"scrublet": 1.8}).rename(tmp_path / "a")
    make_run({"scrublet": 1.8}).rename(tmp_path / "b")
    for run in ("a", "b"):
        (tmp_path / run / "trials").mkdir(exist_ok=True)
    done = bench("report", "a", "b", "a/", "--figures", "", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["a/report.html", "b/report.html", str(tmp_path / "index.html")]
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.links == ["a/report.html", "b/report.html"]
    assert "<html" in (tmp_path / "b" / "report.html").read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.slow
def test_nothing_sticks_out_on_a_phone(browser: Any, two: list[Path], tmp_path: Path) -> None:
    page = build_index(two, tmp_path / "index.html")
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(page.as_uri())
        width = browser.execute_script("return document.documentElement.scrollWidth")
        ends = browser.execute_script(
            "return [...document.querySelectorAll('.tops small')].map(e => e.getBoundingClientRect().right)"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width == 390
    assert ends
    assert max(ends) <= 390
