"""The report on paper, as the browser prints it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.reports import build_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

pypdf = pytest.importorskip("pypdf")
webdriver = pytest.importorskip("selenium.webdriver")

#: A page's height less its margins, in CSS pixels.
PAGE = (297 - 14 - 15) / 25.4 * 96


def printed(driver: webdriver.Chrome, html: Path) -> list[list[str]]:
    """Lines of text of each page, without the line at its foot."""
    driver.get(html.as_uri())
    driver.execute_async_script("setTimeout(arguments[0], 500)")
    pdf = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})["data"]
    pages = pypdf.PdfReader(io.BytesIO(base64.b64decode(pdf))).pages
    of_pages = [[line.strip() for line in page.extract_text().splitlines() if line.strip()] for page in pages]
    n = len(of_pages)
    return [
        [line for line in lines if line != "bench report" and line.replace(" ", "") != f"{i}/{n}"]
        for i, lines in enumerate(of_pages, 1)
    ]


def headings(driver: webdriver.Chrome) -> set[str]:
    script = "return [...document.querySelectorAll('h2, h3, h4, figcaption, caption')].map(e => e.textContent.trim())"
    return {" ".join(text.split()) for text in driver.execute_script(script)} - {""}


def test_a_run_of_one_dataset_fits_eleven_pages_none_blank_and_no_heading_ends_one(
    browser: webdriver.Chrome, make_run: Callable[..., Path]
) -> None:
    pages = printed(browser, build_report(make_run(datasets=("cohort",), seeds=1), formats=()))
    assert 4 < len(pages) < 12
    assert all(len("".join(lines)) > 100 for lines in pages), [len("".join(lines)) for lines in pages]
    found = headings(browser)
    assert {"Curves", "Trials: parameters, seeds, versions"} <= found
    assert "Curves" in {line for lines in pages for line in lines}
    assert not [lines[-1] for lines in pages if lines[-1] in found]


def test_a_blank_page_would_be_seen(browser: webdriver.Chrome, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<style>@page { size: A4 } div { break-after: page }</style><div>a</div><div></div><h2>Alone</h2>")
    assert printed(browser, file) == [["a"], [], ["Alone"]]
    assert headings(browser) == {"Alone"}


def test_no_figure_is_cut_by_the_edge_of_paper(browser: webdriver.Chrome, full_page: Path) -> None:
    browser.get(full_page.as_uri())
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        beyond = """
            const edge = document.body.getBoundingClientRect().right + 1;
            return [...document.querySelectorAll('body *')]
                .filter(e => e.checkVisibility() && !e.closest('svg') && e.getBoundingClientRect().right > edge)
                .map(e => `${e.tagName} in ${e.closest('[id]')?.id}: ${e.textContent.slice(0, 40)}`)
        """
        assert browser.execute_script(beyond) == []
        heights = """
            return [...document.querySelectorAll('.figure')].filter(e => e.checkVisibility())
                .map(e => e.getBoundingClientRect().height)
        """
        drawn = browser.execute_script(heights)
        assert len(drawn) >= 5
        assert max(drawn) <= PAGE
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    widths = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => p._fullLayout.width)"
    browser.execute_script("benchReport.drawAll()")
    assert max(browser.execute_script(widths)) > 1000
