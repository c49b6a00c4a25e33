"""The figure that opens the page, in a browser: the same numbers as its table, whatever the run holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.reports import build_report
from bench.reports.run import overview
from bench.reports.run.load import load
from bench.reports.run.words import interval, number

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROWS = """
return [...document.querySelectorAll('.overview')].find(e => e.checkVisibility())
  .querySelectorAll('tbody tr:not(.more tr)').values().map(r => [r.querySelector('.name').textContent,
    r.querySelector('.value b')?.textContent ?? '', r.querySelector('.value small')?.textContent ?? '',
    r.querySelector('.none')?.textContent ?? r.querySelector('.flag')?.textContent ?? '',
    r.className, r.querySelectorAll('.strip circle').length]).toArray()
"""


@pytest.fixture
def opened(browser: Any) -> Callable[[Path], Any]:
    def visit(page: Path) -> Any:
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(page.as_uri())
        return browser

    return visit


def errors(browser: Any) -> list[dict]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


def text_of(browser: Any, selector: str) -> str:
    shown = "[...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
    return browser.execute_script(f"return {shown}.map(e => e.innerText).join('|')", selector)


def click(browser: Any, selector: str, words: str = "") -> None:
    every = "[...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
    browser.execute_script(
        f"{every}.find(e => !arguments[1] || e.textContent === arguments[1]).click()", selector, words
    )


def choose(browser: Any, track: str, dataset: str) -> None:
    for kind, name in (("Track", track), ("Dataset", dataset)):
        click(browser, f".overview [name=overview-{kind}][value={name}]")


def expected(frame: pd.DataFrame) -> list[list[str]]:
    return [
        [r.label, "" if pd.isna(r.value) else number(r.value), interval(r.ci_low, r.ci_high), r.flags]
        for r in frame.itertuples()
    ]


def test_shows_the_rows_of_the_chosen_track_and_dataset(opened: Any, full_page: Path, full_run: Path) -> None:
    browser, run = opened(full_page), load(full_run)
    frame = overview.rows(run, run.tasks["doublet"])
    for track, dataset in (("experimental", "cohort"), ("simulated", "agarwal"), ("simulated", "chcl")):
        choose(browser, track, dataset)
        rows = browser.execute_script(ROWS)
        panel = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        assert [row[:4] for row in rows] == expected(panel)
        assert text_of(browser, ".overview .on").startswith(f"{track} on {dataset}")
        assert [row[5] for row in rows if row[4] == "best"] == [1]
    choose(browser, "invivo", "agarwal")
    assert "Unfinished: 1 of" in text_of(browser, ".overview p.why")
    assert all("best" not in row[4] for row in browser.execute_script(ROWS))
    assert errors(browser) == []


def test_a_heading_sorts_and_says_so(opened: Any, full_page: Path, full_run: Path) -> None:
    browser, run = opened(full_page), load(full_run)
    frame = overview.rows(run, run.tasks["doublet"])
    panel = frame[(frame["track"] == "experimental") & (frame["dataset"] == "cohort") & (frame["role"] == "method")]
    choose(browser, "experimental", "cohort")
    for words, column, ascending in (("auroc", "auroc", False), ("CPU time seconds", "cpu_s", True)):
        click(browser, ".overview thead button", words)
        order = panel.dropna(subset=[column]).sort_values(column, ascending=ascending)["label"].tolist()
        assert [row[0] for row in browser.execute_script(ROWS)][: len(order)] == order
        assert browser.execute_script("return document.activeElement.textContent") == words
        said = browser.execute_script("return document.activeElement.closest('th').getAttribute('aria-sort')")
        assert said == ("ascending" if ascending else "descending")
    assert errors(browser) == []


def test_values_are_read_out_and_not_only_drawn(opened: Any, full_page: Path) -> None:
    browser = opened(full_page)
    hidden = (
        "return [...document.querySelectorAll('.overview svg')].every(s => s.getAttribute('aria-hidden') === 'true')"
    )
    assert browser.execute_script(hidden)
    numbers = "return [...document.querySelectorAll('.overview td.metric')].map(c => c.textContent)"
    assert all(text == "–" or 0 <= float(text) <= 1 for text in browser.execute_script(numbers) if text)


def test_many_methods_are_folded(opened: Any, make_run: Callable[..., Path]) -> None:
    methods = {f"method_{i:03d}": i / 60 for i in range(200)}
    run = make_run(methods, datasets=("cohort",), tracks=("simulated",), seeds=1)
    browser = opened(build_report(run, formats=()))
    assert len(browser.execute_script(ROWS)) == 15 + 4
    click(browser, ".overview .more button")
    assert len(browser.execute_script(ROWS)) == 200 + 4
    assert browser.execute_script("return document.activeElement.textContent") == "Only the first 15"
    assert errors(browser) == []


def test_long_names_fit_a_phone(on_a_phone: Any, browser: Any, make_run: Callable[..., Path]) -> None:
    run = make_run({"x" * 300: 1.8, "y z" * 100: 1.2}, datasets=("d" * 60,), tracks=("simulated",), seeds=1)
    width, out = on_a_phone(build_report(run, formats=()))
    assert (width, [words for words in out if "overview" in words]) == (390, [])
    heights = "return [...document.querySelectorAll('.overview tbody tr')].map(r => r.getBoundingClientRect().height)"
    assert max(browser.execute_script(heights)) < 80
    visible = (
        """const s = document.querySelector('.overview .strip').getBoundingClientRect(); return [s.left, s.right]"""
    )
    left, right = browser.execute_script(visible)
    assert 0 < left < right < 390


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run": False}, "No trial has a result here yet"),
        ({"fail_all": True, "controls": False}, "No trial has a result here yet"),
        ({"fail_all": True}, "crashed: no module named x"),
        ({"methods": {"scrublet": 1.8}, "controls": False}, "scrublet"),
    ],
    ids=["nothing finished", "all failed", "methods failed", "one method"],
)
def test_unusual_runs_say_so(opened: Any, make_run: Callable[..., Path], fields: dict, words: str) -> None:
    plan = {"methods": {"scrublet": 1.8, "cxds": 1.5}, "datasets": ("cohort",), "tracks": ("simulated",), "seeds": 1}
    browser = opened(build_report(make_run(**plan | fields), formats=()))
    assert words in text_of(browser, ".overview")
    assert errors(browser) == []
