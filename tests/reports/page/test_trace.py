"""What a value rests on is at hand for mouse, keyboard and touch; the command that is told gives it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from command_line import bench

from bench.reports import build_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CELL = "#heatmap-view td[data-trace]"


@pytest.fixture
def page(browser: webdriver.Chrome, full_page: Path) -> webdriver.Chrome:
    browser.get("about:blank")
    browser.get(full_page.as_uri())
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    return browser


def told(driver: webdriver.Chrome) -> str:
    """Text of the panel; empty while it is hidden."""
    return driver.find_element(By.ID, "trace").text


def cell_of(driver: webdriver.Chrome, *spec: str) -> webdriver.remote.webelement.WebElement:
    script = "return [...document.querySelectorAll(arguments[0])].find(e => e.dataset.trace === arguments[1])"
    cell = driver.execute_script(script, CELL, json.dumps([*spec, "pooled"], separators=(",", ":")))
    driver.execute_script("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", cell)
    return cell


def test_pointing_at_a_mean_tells_its_trials_seeds_folders_versions_and_command(
    page: webdriver.Chrome, full_run: Path
) -> None:
    rows = pd.read_csv(full_run / "results.csv").query("unit == 'pooled' and metric == 'auprc'")
    rows = rows.query("track == 'simulated' and dataset == 'cohort' and method == 'solo'")
    assert told(page) == ""
    ActionChains(page).move_to_element(cell_of(page, "simulated", "cohort", "solo", "auprc")).perform()
    text = told(page)
    assert len(rows) == 5
    for row in rows.itertuples():
        assert f"0.0.{row.method_seed} {row.value:.3f} trials/{row.trial} problems/0123" in text
    assert "expected_rate=0.08" in text
    assert "numpy 2.0.1, solo 1.2" in text
    command = "bench run --task doublet --tracks simulated --datasets cohort --methods solo --seeds 5"
    assert f"{command} --set solo.expected_rate=0.08 --out recomputed" in text
    ActionChains(page).move_to_element(page.find_element(By.ID, "heatmap-h")).perform()
    assert told(page) == ""


def test_a_press_keeps_the_panel_and_escape_closes_it(page: webdriver.Chrome) -> None:
    cell_of(page, "simulated", "cohort", "solo", "f1").click()
    ActionChains(page).move_to_element(page.find_element(By.ID, "heatmap-h")).perform()
    assert "solo, f1" in told(page)
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert told(page) == ""


def test_arrow_keys_go_through_a_table_that_takes_one_stop_of_tab(page: webdriver.Chrome) -> None:
    table = page.find_element(By.CSS_SELECTOR, "#heatmap-view table")
    stops = table.find_elements(By.CSS_SELECTOR, '[tabindex="0"]')
    assert len(stops) == 1
    page.execute_script("arguments[0].focus()", stops[0])
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT).perform()
    focused = page.switch_to.active_element
    column = page.execute_script("return arguments[0].cellIndex", focused)
    heads = table.find_elements(By.CSS_SELECTOR, "thead tr > *")
    assert heads[column].text in told(page).splitlines()[1]
    assert "trials/" in told(page)
    assert len(table.find_elements(By.CSS_SELECTOR, '[tabindex="0"]')) == 1


def test_every_number_of_the_heat_maps_and_the_tables_says_what_it_rests_on(page: webdriver.Chrome) -> None:
    silent = """
        return [...document.querySelectorAll('#heatmap-view tbody td, #leaders td.num, #table-view td:nth-child(7)')]
            .filter(e => /\\d/.test(e.textContent) && !e.dataset.trace).map(e => e.outerHTML)
    """
    assert page.execute_script(silent) == []
    page.execute_script("benchReport.drawAll()")
    page.execute_script("for (const d of document.querySelectorAll('.figure details')) d.open = true")
    page.execute_async_script("setTimeout(arguments[0], 500)")
    tables = """
        return [...document.querySelectorAll('.figure details table')]
            .map(t => [t.rows.length, t.querySelectorAll('[data-trace]').length])
    """
    counts = page.execute_script(tables)
    assert len(counts) >= 5
    assert all(traced >= rows - 1 for rows, traced in counts), counts


def test_points_of_a_figure_are_reached_by_keys_and_by_a_press(page: webdriver.Chrome) -> None:
    page.execute_script("benchReport.drawAll()")
    plot = page.find_element(By.CSS_SELECTOR, "#curves-view .plot")
    page.execute_script(
        "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' }); arguments[0].focus()", plot
    )
    ActionChains(page).send_keys(Keys.ARROW_RIGHT).perform()
    first = told(page)
    assert "trials/" in first
    assert "recompute" in first
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ENTER).perform()
    assert "trials/" in told(page)
    assert told(page) != first


def test_a_metrics_name_tells_its_meaning_range_and_direction(page: webdriver.Chrome) -> None:
    link = page.find_element(By.CSS_SELECTOR, "#heatmap-terms a[data-term=precision]")
    page.execute_script("arguments[0].focus()", link)
    assert "precision of the doublet calls" in told(page)
    assert "Higher is better; from 0 to 1. Undefined: no cell is called a doublet" in told(page)
    assert link.get_attribute("href").endswith("#glossary")
    names = page.execute_script(
        "return [...document.querySelectorAll('#glossary tbody th')].map(e => e.firstChild.textContent.trim())"
    )
    assert {"auprc", "precision", "f1@10%"} <= set(names)


def test_dois_are_links(page: webdriver.Chrome) -> None:
    links = page.execute_script(
        "return [...document.querySelectorAll('#cards dd a')].map(e => [e.textContent, e.href])"
    )
    assert ["10.1016/j.cels.2019.03.003", "https://doi.org/10.1016/j.cels.2019.03.003"] in links
    paper = page.find_element(By.CSS_SELECTOR, "#published-view .note a")
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2502.19429"


def test_the_table_of_trials_has_parameters_seeds_versions_and_folders(page: webdriver.Chrome, full_run: Path) -> None:
    rows = pd.read_parquet(full_run / "results.parquet").drop_duplicates("trial")
    script = """
        const size = document.querySelector('#trials-view select');
        size.value = '500';
        size.dispatchEvent(new Event('change'));
        return [...document.querySelectorAll('#trials-view tbody tr')].map(r => [...r.cells].map(c => c.textContent))
    """
    shown = page.execute_script(script)
    assert {row[12] for row in shown} == {f"trials/{key}" for key in rows["trial"]}
    assert {row[4] for row in shown} == {"expected_rate=0.08"}
    assert {"0.0.0", "0.0.3"} <= {row[3] for row in shown}
    assert all(row[11].startswith("numpy 2.0.1, ") and row[13] == "problems/0123" for row in shown)


def test_the_command_that_is_told_gives_the_value_again(browser: webdriver.Chrome, tmp_path: Path) -> None:
    request = ["run", "--task", "annotation", "--tracks", "celltype", "--methods", "knn", "--set", "knn.n_neighbors=7"]
    assert bench(*request, "--out", "first", "--no-report", "-q", cwd=tmp_path).returncode == 0
    browser.get(build_report(tmp_path / "first", formats=()).as_uri())
    cell_of(browser, "celltype", "cohort", "knn", "f1_macro").click()
    command = shlex.split(browser.find_element(By.CSS_SELECTOR, "#trace code").text)
    assert command[0] == "bench"
    assert bench(*command[1:], "--no-report", "-q", cwd=tmp_path).returncode == 0
    first, again = (
        pd.read_csv(tmp_path / name / "results.csv").query("method == 'knn'") for name in ("first", "recomputed")
    )
    keys = ["trial", "unit", "metric", "value"]
    pd.testing.assert_frame_equal(first[keys].reset_index(drop=True), again[keys].reset_index(drop=True))
