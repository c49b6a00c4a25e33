"""Every field of ``trial.json`` and every column of the tables stands once in docs/run-folder.md, with its unit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.results.records import TrialRecord
from bench.results.tables import CURVE_COLUMNS, ROW_COLUMNS, VERSION_COLUMNS

PAGE = (Path(__file__).parents[3] / "docs" / "run-folder.md").read_text()
#: Columns of ``curves`` and ``versions`` that say which trial a row is of, as those of ``results`` do.
WHOSE = {"run_id", "trial", "task", "track", "dataset", "method", "split_seed", "sim_seed", "method_seed"}


def table(first: str) -> list[list[str]]:
    """Rows of the page's table whose heading begins with ``first``, code marks taken off."""
    lines = PAGE[PAGE.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]


def fields(model: type[TrialRecord]) -> Iterator[str]:
    """Every field as the page names it: ``spec.seeds.split``, ``scores[].value``."""
    schema = model.model_json_schema()

    def walk(node: dict[str, Any], name: str) -> Iterator[str]:
        node = schema["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node
        if "properties" in node:
            for key, value in node["properties"].items():
                yield from walk(value, f"{name}.{key}".lstrip("."))
        elif {"$ref", "properties"} & node.get("items", {}).keys():
            yield from walk(node["items"], f"{name}[]")
        else:
            yield name

    yield from walk(schema, "")


def test_the_fields_of_a_trial_are_those_of_the_page():
    documented = [row[0] for row in table("`trial.json`") if row[0]]
    assert Counter(documented) == Counter(fields(TrialRecord))


def test_the_columns_of_results_are_those_of_the_page():
    documented = [row[1] for row in table("`trial.json`") if row[1]]
    assert Counter(documented) == Counter(list(ROW_COLUMNS))


def test_the_columns_of_curves_and_versions_are_those_of_the_page():
    documented = [row[0] for row in table("column of `curves` or `versions`")]
    assert Counter(documented) == Counter([c for c in [*CURVE_COLUMNS, *VERSION_COLUMNS] if c not in WHOSE])
    assert set(ROW_COLUMNS) >= WHOSE


EVERY = table("`trial.json`") + [["", *row] for row in table("column of `curves` or `versions`")]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row[0] or row[1])
def test_each_has_a_meaning_and_a_unit_that_fits_its_name(row):
    field, column, unit, meaning = row
    assert len(meaning) > 5
    ending = re.search(r"_(s|mb)$", field or column)
    assert unit == {"s": "s", "mb": "MiB"}[ending[1]] if ending else unit not in ("", "s", "MiB")
