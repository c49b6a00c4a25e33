from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from command_line import bench

from bench.reports import build_report
from bench.reports.run.words import number

pytestmark = [pytest.mark.browser, pytest.mark.slow]

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402


@pytest.fixture
def page(browser: webdriver.Chrome, full_page: Path) -> webdriver.Chrome:
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(full_page.as_uri())
    WebDriverWait(browser, 60).until(lambda d: d.find_elements(By.CSS_SELECTOR, "#table-view tbody tr"))
    return browser


def errors(driver: webdriver.Chrome) -> list[dict]:
    return [entry for entry in driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.textContent)",
        selector,
    )


def choose(driver: webdriver.Chrome, name: str, value: str) -> None:
    Select(driver.find_element(By.NAME, name)).select_by_value(value)


def draw_everything(driver: webdriver.Chrome) -> None:
    driver.execute_script("benchReport.drawAll()")


def test_loads_without_errors_or_network(page: webdriver.Chrome, full_page: Path) -> None:
    draw_everything(page)
    assert len(page.find_elements(By.CSS_SELECTOR, ".plot .main-svg")) >= 5
    assert errors(page) == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert full_page.as_uri() in urls
    # chrome:// is the browser's own furniture
    assert all(url == full_page.as_uri() or url.startswith(("data:", "blob:", "chrome:")) for url in urls), urls


def test_nothing_from_the_run_was_executed(page: webdriver.Chrome) -> None:
    # an alert of the made-up run would have blocked the page
    assert "alert('pwned')" in page.find_element(By.CSS_SELECTOR, ".failures").text
    assert page.execute_script("return document.querySelectorAll('main script, header script').length") == 0


def test_filters_drive_every_part(page: webdriver.Chrome) -> None:
    assert len(texts(page, "#heatmap-view .panel")) == 8
    choose(page, "dataset", "cohort")
    choose(page, "track", "simulated")
    assert texts(page, "#heatmap-view .panel h3") == ["cohort simulated"]
    assert texts(page, ".coverage thead th[data-pair]") == ["simulatedcohort"]
    assert set(texts(page, "#table-view tbody td:nth-child(2)")) == {"cohort"}
    assert len(texts(page, "#leaders tbody tr")) == 1
    assert texts(page, "#ranks-view h3")[0].startswith("simulated")
    choose(page, "metric", "f1")
    assert texts(page, "#heatmap-view th.chosen") == ["f1"]
    assert "f1 against time and memory" in texts(page, "#resources-view figcaption")
    assert texts(page, "#published-view h3") == []  # the paper's simulation is another track's
    assert "reports no f1 in track simulated." in texts(page, "#published-view .empty")[0]
    choose(page, "track", "invivo")
    assert texts(page, "#published-view h3") == ["invivo f1"]
    choose(page, "track", "simulated")
    choose(page, "unit", "homotypic")
    assert set(texts(page, "#table-view tbody td:nth-child(5)")) == {"homotypic"}
    page.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    assert len(texts(page, "#heatmap-view .panel")) == 8
    assert errors(page) == []


def test_methods_can_be_left_out_and_traps_still_count(page: webdriver.Chrome) -> None:
    marks = len(texts(page, "#heatmap-view .trap"))
    assert marks > 0
    page.execute_script("document.getElementById('filters').scrollIntoView({behavior: 'instant'})")
    page.find_element(By.CSS_SELECTOR, ".chooser summary").click()
    for name in ("library_size", "n_genes"):
        page.find_element(By.CSS_SELECTOR, f"input[value={name}]").click()
    names = set(texts(page, "#heatmap-view th[scope=row]"))
    assert "library_size" not in names
    assert "scrublet" in names
    assert len(texts(page, "#heatmap-view .trap")) == marks


def test_one_seed_keeps_deterministic_methods(page: webdriver.Chrome) -> None:
    choose(page, "seed", "0.0.2")
    rows = texts(page, "#table-view tbody tr")
    assert rows
    labels = page.execute_script("return [...new Set(benchReport.trials.map(t => t.label))]")
    shown = set(texts(page, "#heatmap-view th[scope=row]"))
    assert shown == set(labels)
    cell = page.execute_script(
        "return [...document.querySelectorAll('#heatmap-view tbody tr')]"
        ".find(r => r.firstChild.textContent === 'cxds').children[6].textContent"
    )
    assert cell.startswith("0.")


def test_heat_map_shows_the_mean_over_seeds(page: webdriver.Chrome, full_run: Path) -> None:
    rows = pd.read_csv(full_run / "results.csv").query("unit == 'pooled' and metric == 'auprc' and dataset == 'cohort'")
    means = rows[rows["track"] == "simulated"].groupby("method")["value"].mean()
    choose(page, "dataset", "cohort")
    choose(page, "track", "simulated")
    shown = page.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('#heatmap-view tbody tr')]"
        ".map(r => [r.firstChild.textContent, parseFloat(r.lastChild.textContent)]))"
    )
    for method, value in means.items():
        assert shown[method] == pytest.approx(value, abs=0.0051), method
    assert shown["scds-r"] is None or pd.isna(shown["scds-r"])


def test_csv_from_the_page_is_the_results_table(page: webdriver.Chrome, full_run: Path) -> None:
    text = page.execute_async_script(
        "const done = arguments[0]; const make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { blob.text().then(done); return make.call(URL, blob); };"
        "document.getElementById('csv-all').click();"
    )
    keys = ["trial", "unit", "metric"]
    read = {"float_precision": "round_trip", "dtype": {"params": str}}
    mine = pd.read_csv(io.StringIO(text), **read).sort_values(keys).reset_index(drop=True)
    csv = pd.read_csv(full_run / "results.csv", **read).sort_values(keys).reset_index(drop=True)
    assert set(mine.columns) == set(csv.columns)
    pd.testing.assert_frame_equal(mine[csv.columns], csv, check_exact=True)


def test_table_sorts_and_searches(page: webdriver.Chrome) -> None:
    page.find_element(By.ID, "search").send_keys("cxds cohort auprc")
    assert set(texts(page, "#table-view tbody td:nth-child(3)")) == {"cxds"}
    header = page.find_element(By.XPATH, "//table[@class='data']//button[text()='Value']")
    header.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.text == "Value"
    values = [float(v) for v in texts(page, "#table-view tbody td:nth-child(7)")]
    assert values == sorted(values, reverse=True)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.find_element(By.CSS_SELECTOR, "#table-view th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_keyboard_reaches_the_results_and_the_filters(page: webdriver.Chrome) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("class") == "skip"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "content"
    page.get(page.current_url.split("#")[0])
    names = []
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        names.append(page.switch_to.active_element.get_attribute("name"))
    filters = ["track", "dataset", "metric", "unit", "seed"]
    assert [n for n in names if n in filters] == filters


def test_every_control_and_figure_has_a_name(page: webdriver.Chrome) -> None:
    draw_everything(page)
    nameless = page.execute_script(
        "return [...document.querySelectorAll('select, input, main button, form button')]"
        ".filter(e => !e.labels?.length && !e.getAttribute('aria-label') && !e.textContent.trim())"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    names = "return [...document.querySelectorAll('.plot')].map(p => p.getAttribute('aria-label'))"
    assert all(page.execute_script(names))
    summary = page.find_element(By.CSS_SELECTOR, "#resources-view details summary")
    summary.send_keys(Keys.ENTER)
    WebDriverWait(page, 20).until(lambda d: texts(d, "#resources-view details tbody tr"))


def test_nothing_is_wider_than_a_phone(browser: webdriver.Chrome, on_a_phone, full_page: Path) -> None:
    assert on_a_phone(full_page) == (390, [])
    # names of datasets and methods have no spaces; text that sticks out of a box widens the page, not the box
    browser.execute_script(
        "for (const e of document.querySelectorAll('main h4')) e.textContent = 'long_name_'.repeat(9)"
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_run_without_results_opens(browser: webdriver.Chrome, make_run, tmp_path: Path) -> None:
    run = make_run({"scrublet": 1.8}, run=False, datasets=("cohort",))
    browser.get_log("browser")
    browser.get(build_report(run, formats=()).as_uri())
    draw_everything(browser)
    assert "nothing to show" in browser.find_element(By.ID, "resources-view").text
    assert errors(browser) == []


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on three levels of the built-in cohort."""
    folder = tmp_path_factory.mktemp("annotation")
    command = ["run", "--task", "annotation", "--methods", "scibet,knn", "--out", "run", "--no-report", "-q"]
    assert bench(*command, cwd=folder).returncode == 0
    build_report(folder / "run", formats=())
    return folder / "run"


def test_classes_of_an_annotation_run(browser: webdriver.Chrome, annotated: Path) -> None:
    rows = pd.read_csv(annotated / "results.csv").query("track == 'subcluster' and method == 'scibet'")
    by_class = rows[rows["metric"] == "f1"].dropna(subset=["value"]).set_index("unit")["value"]
    browser.get_log("browser")
    browser.get((annotated / "report.html").as_uri())
    Select(browser.find_element(By.ID, "class-method")).select_by_value("scibet")
    draw_everything(browser)
    assert texts(browser, "#class-confusion figcaption") == ["Confusion matrix of scibet: subcluster · cohort"]
    column = texts(browser, ".by-class thead th").index("scibet") + 1
    values = texts(browser, f".by-class td:nth-child({column})")
    shown = dict(zip(texts(browser, ".by-class th[scope=row]"), values, strict=True))
    assert shown == {name.removeprefix("class:"): number(value) for name, value in by_class.items()}
    lost = int((by_class < 0.5).sum())
    assert f"{lost} of {len(by_class)}" in texts(browser, "#class-lost td")
    assert "recall" not in texts(browser, "#filters [name=metric] option")
    shares = browser.execute_script(
        "return [...document.querySelectorAll('#class-levels tbody tr')]"
        ".map(r => [...r.children].map(c => c.textContent))"
    )
    assert {row[1] for row in shares} == {"scibet", "knn"}
    assert all(" % [" in cell for row in shares for cell in row[2:])
    assert texts(browser, "#class-tree .legend") == ["F1 01Click a box to look into it, the top one to go back."]
    lost_ones = browser.execute_script(
        "return document.querySelector('#class-scores .plot').data.map(t => t.text).flat()"
    )
    assert any("The same F1: " in words for words in lost_ones)
    choose(browser, "track", "celltype")
    assert texts(browser, "#class-confusion figcaption") == ["Confusion matrix of scibet: celltype · cohort"]
    assert errors(browser) == []


def test_supplementary_table_4(browser: webdriver.Chrome, annotated: Path) -> None:
    rows = pd.read_csv(annotated / "results.csv").query("unit == 'pooled' and track == 'subcluster'")
    value = rows.set_index(["metric", "method"])["value"]
    browser.get_log("browser")
    browser.get((annotated / "report.html").as_uri())
    table = "#supplementary-subcluster .s4"
    first_words = (
        f"return [...document.querySelectorAll('{table} tbody tr:not(.on)')]"
        ".map(r => [...r.children].map(c => c.firstChild.textContent))"
    )
    cells = {row[0]: row for row in browser.execute_script(first_words)}
    place = {words: i for i, words in enumerate(texts(browser, f"{table} thead tr:last-child th:not(.reported)"))}
    names = {"F1 macro (official)": "f1_macro", "F1 macro (scikit-learn's default)": "f1_macro_union"}
    names |= {"F1 micro = accuracy": "f1_micro", "F1 weighted": "f1_weighted", "Coverage": "coverage"}
    for words, metric in names.items():
        for method in ("scibet", "knn", "majority", "truth"):
            assert float(cells[method][place[words]].strip(" =")) == pytest.approx(value[metric, method], abs=6e-4)
    best, other = sorted(("scibet", "knn"), key=lambda m: -value["f1_macro", m])
    assert texts(browser, f"{table} td.best:nth-child(2)")[0].startswith(f"{value['f1_macro', best]:.3f}")
    assert cells[best][place["Against the highest, same cells"]] == "highest"
    assert cells[other][place["Against the highest, same cells"]].startswith("-0.")
    assert {"0.3557 to 0.5206", "0.4805 to 0.6486", "0.4896 to 0.6497"} <= set(texts(browser, f"{table} td.reported"))
    assert "donor" in texts(browser, f"{table} tr.on .flag")[0]
    browser.find_element(By.XPATH, "//*[@id='supplementary-subcluster']//button[text()='F1 weighted']").send_keys(
        Keys.ENTER
    )
    assert browser.switch_to.active_element.text == "F1 weighted"
    column = place["F1 weighted"] + 1
    order = [float(v.split("[")[0].strip(" =")) for v in texts(browser, f"{table} tbody td:nth-child({column})")]
    assert order == sorted(order, reverse=True)
    assert errors(browser) == []


def test_an_annotation_page_is_no_wider_than_a_phone(browser: webdriver.Chrome, on_a_phone, annotated: Path) -> None:
    assert on_a_phone(annotated / "report.html") == (390, [])
    names = browser.execute_script("return document.querySelector('#class-confusion .plot').data[0].x")
    assert max(len(name.replace("\u200b", "")) for name in names) <= 11
    assert len(set(names)) == len(names)


def test_axe_finds_nothing_in_a_doublet_report(axe, full_page: Path) -> None:
    assert axe(full_page) == []


def test_axe_finds_nothing_in_an_annotation_report(axe, annotated: Path) -> None:
    assert axe(annotated / "report.html") == []


def test_axe_finds_what_is_wrong_with_a_page(axe, full_page: Path, tmp_path: Path) -> None:
    text = full_page.read_text(encoding="utf-8")
    faint = '<main id="content" tabindex="-1"><p style="color: #ccc; background: #fff">faint</p><img src="data:,">'
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('<main id="content" tabindex="-1">', faint), encoding="utf-8")
    assert {"color-contrast", "image-alt"} <= {wrong[0] for wrong in axe(broken)}


def test_a_part_whose_data_are_damaged_is_told_and_the_others_are_drawn(page: webdriver.Chrome) -> None:
    assert texts(page, "#broken .warning") == []
    page.execute_script("delete benchReport.data.tasks.doublet.published; benchReport.redraw()")
    (told,) = texts(page, "#broken .warning")
    assert told.startswith("A part of this page could not be drawn")
    assert "results.csv has every number" in told
    assert len(texts(page, "#heatmap-view .panel")) == 8
    assert len(texts(page, "#table-view tbody tr")) == 25


@pytest.mark.parametrize("name", [("long_name_" * 30)[:296], "<b>x</b> & 'y' " * 19], ids=["one word", "markup"])
def test_names_of_300_characters_break_nothing(browser, on_a_phone, make_run, name: str) -> None:
    methods = {f"{name}{i:03d}": 1 + i / 4 for i in range(4)}
    run = make_run(methods, datasets=(f"{name}_set", "chcl"), tracks=("simulated",), seeds=1)
    html = build_report(run, formats=())
    browser.get_log("browser")
    assert on_a_phone(html) == (390, [])
    assert texts(browser, "#broken .warning") == []
    assert len(texts(browser, "#heatmap-view .panel")) == 2
    assert errors(browser) == []


def test_two_hundred_methods_have_a_page(browser, make_run) -> None:
    methods = {f"method_{i:03d}": 1 + i / 80 for i in range(200)}
    html = build_report(make_run(methods, datasets=("cohort",), tracks=("simulated",), seeds=1), formats=())
    browser.get_log("browser")
    browser.get(html.as_uri())
    browser.execute_script("benchReport.drawAll()")
    assert len(texts(browser, "#heatmap-view tbody tr")) == 204
    traces = "document.querySelector('#curves-view .plot').data.filter(t => t.showlegend)"
    colours = browser.execute_script(f"return [...new Set({traces}.map(t => t.name))]")
    assert len(colours) == 5 + 4  # methods and controls; the others are grey
    assert texts(browser, "#broken .warning") == []
    assert errors(browser) == []
