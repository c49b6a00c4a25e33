"""A comparison as JUnit XML: what GitHub, GitLab and Jenkins show of a test run."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.reports.compare.changes import Comparison
from bench.reports.compare.words import difference
from bench.reports.run.words import number

#: Why a score is neither passed nor failed.
_SKIPPED = {
    "no interval": "no paired interval: small differences say nothing",
    "not judged": "the truth is circular, or the metric tells nothing here",
}


def junit(comparison: Comparison) -> str:
    """One test for each headline score, one for each trial that no longer finishes, one for what does not compare.

    A test fails where the score is worse or the trial is lost; one that nothing can be said of is skipped.
    """
    root = ET.Element("testsuites", name="bench compare")
    suites: dict[tuple[str, str, str], ET.Element] = {}

    def case(of: object, name: str) -> ET.Element:
        pair = (str(of.task), str(of.track), str(of.dataset))  # type: ignore[attr-defined]
        suite = suites.setdefault(pair, ET.Element("testsuite", name="/".join(pair)))
        return ET.SubElement(suite, "testcase", classname=".".join(pair), name=_printable(name), time="0")

    scores = comparison.scores
    for row in scores[scores["headline"]].itertuples(index=False):
        test = case(row, f"{row.method}: {row.metric}")
        text = f"{number(row.a)} in A, {number(row.b)} in B, difference {difference(row)}"
        if row.change == "worse":
            ET.SubElement(test, "failure", message=f"{row.metric} is worse: {text}", type="worse")
        elif row.change in _SKIPPED:
            ET.SubElement(test, "skipped", message=f"{_SKIPPED[row.change]}; {text}")
        else:
            ET.SubElement(test, "system-out").text = f"{row.change}: {text}"
    for row in comparison.lost.itertuples(index=False):
        test = case(row, f"{row.method}: finishes (seeds {row.split_seed}.{row.sim_seed}.{row.method_seed})")
        failure = ET.SubElement(test, "failure", message=f"ok in A, {row.status_b} in B", type="lost")
        failure.text = _printable(row.detail_b)
    for row in comparison.refused.itertuples(index=False):
        ET.SubElement(case(row, "comparable"), "skipped", message=f"not compared: {row.reason}")
    for suite in suites.values():
        _count(suite, suite)
        root.append(suite)
    _count(root, *suites.values())
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _count(element: ET.Element, *suites: ET.Element) -> None:
    tests = [test for suite in suites for test in suite.iter("testcase")]
    element.set("tests", str(len(tests)))
    element.set("failures", str(sum(test.find("failure") is not None for test in tests)))
    element.set("errors", "0")
    if element.tag == "testsuite":
        element.set("skipped", str(sum(test.find("skipped") is not None for test in tests)))
    element.set("time", "0")


def _printable(text: str) -> str:
    """XML has no control characters."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
