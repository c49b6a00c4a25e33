from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_pages import embedded

from bench.errors import BenchError
from bench.reports import build_report
from bench.reports.embeddings import tables as embedding_tables
from bench.reports.page import payload
from bench.results.store import Store

ODD = "</script><b>T & 'cell'"


def write_embedding(run: Path, name: str = "scmamba-study", n_cells: int = 40, **columns: list) -> Path:
    folder = run / "embeddings" / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    xy = {"x": rng.normal(size=n_cells).astype("float32"), "y": rng.normal(size=n_cells).astype("float32")}
    cells = pd.DataFrame({"cell": [f"c{i}" for i in range(n_cells)], **xy, **columns})
    cells.to_parquet(folder / "cells.parquet")
    genes = pd.DataFrame(
        {
            "gene": [f"ENSG{i:011d}" for i in range(30)],
            "symbol": ["AQP4", ODD, *[""] * 28],
            "x": rng.normal(size=30).astype("float32"),
            "y": rng.normal(size=30).astype("float32"),
            "marker_of": ["astrocyte", "neuron", *[None] * 28],
        }
    )
    genes.to_parquet(folder / "genes.parquet")
    card = {
        "model": "scmamba", "checkpoint": "ckpt", "dataset": ODD, "seen_in_pretraining": True, "cells": n_cells + 3,
        "cells_without_counts": 3, "cells_shown": n_cells, "genes": 30, "genes_matched": 20, "matched_by": "id",
        "seed": 0,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def empty_run(tmp_path: Path) -> Path:
    Store.create(tmp_path / "run").write_tables()
    return tmp_path / "run"


def payload_of(text: str) -> list[dict]:
    return embedded(text)["embeddings"]


def test_a_run_without_embeddings_has_no_such_section(make_run: Callable[..., Path]) -> None:
    text = build_report(make_run(methods={"cxds": 1.5}), formats=()).read_text()
    assert 'id="embeddings"' not in text
    assert "#embeddings" not in text.split("<style>")[0] + text.split("</style>")[1].split("<script")[0]
    assert payload_of(text) == []


def test_cells_and_markers_are_in_the_page_and_in_files(make_run: Callable[..., Path]) -> None:
    run = make_run(methods={"cxds": 1.5})
    folder = write_embedding(run, cell_type=[ODD, None] * 20, donor=["a"] * 40)
    text = build_report(run, formats=("png", "svg")).read_text()
    assert 'href="#embeddings"' in text
    assert "The model has seen these data in pre-training." in text
    assert "20 of its 30 genes are in the data. 40 of 43 cells are laid out. 3 cells have no counts" in text
    assert ODD not in text.replace("</script>\n", "")
    (found,) = payload_of(text)
    assert found["colourings"] == [["cell_type", "cell type"], ["donor", "donor"]]
    assert set(found["colours"]["cell_type"]) == {ODD, embedding_tables.UNLABELLED}
    cells = pd.read_parquet(folder / "cells.parquet")
    np.testing.assert_allclose(found["cells"]["x"], cells["x"], atol=5e-4)
    codes, words = found["cells"]["cell_type"]["codes"], found["cells"]["cell_type"]["words"]
    assert [words[i] for i in codes] == [ODD, embedding_tables.UNLABELLED] * 20
    assert [(m["label"], m["marker_of"]) for m in found["markers"]] == [("AQP4", "astrocyte"), (ODD, "neuron")]
    assert len(found["genes"]["x"]) == 28
    names = {f"embedding_scmamba-study_{kind}.{ext}" for kind in ("cells", "genes") for ext in ("png", "svg", "csv")}
    assert names <= {file.name for file in (run / "figures").iterdir()}
    assert len(pd.read_csv(run / "figures" / "embedding_scmamba-study_cells.csv")) == 40


def test_embeddings_alone_make_a_report(empty_run: Path) -> None:
    write_embedding(empty_run, "b", n_cells=1)
    write_embedding(empty_run, "a", n_cells=0)
    (empty_run / "embeddings" / ".half-written").mkdir()
    text = build_report(empty_run).read_text()
    assert "embeddings and no trials" in text
    assert [len(found["cells"]["x"]) for found in payload_of(text)] == [0, 1]
    assert [found["colourings"] for found in payload_of(text)] == [[], []]


def test_large_maps_are_thinned_but_for_the_markers(empty_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "POINTS_BUDGET", 20)
    write_embedding(empty_run, donor=["a", "b"] * 20)
    (found,) = payload_of(build_report(empty_run, formats=()).read_text())
    assert [len(found["cells"]["x"]), len(found["genes"]["x"]), len(found["markers"])] == [10, 10, 2]


@pytest.mark.parametrize("damage", ["card.json", "cells.parquet", "columns"])
def test_a_damaged_embedding_is_named(empty_run: Path, damage: str) -> None:
    folder = write_embedding(empty_run)
    if damage == "columns":
        pd.DataFrame({"gene": ["g"]}).to_parquet(folder / "genes.parquet")
    else:
        (folder / damage).write_bytes((folder / damage).read_bytes()[:20])
    with pytest.raises(BenchError, match="cannot be read") as caught:
        build_report(empty_run, formats=())
    assert caught.value.where == str(folder)


def test_every_label_has_a_colour_of_its_own() -> None:
    found = embedding_tables.colours(pd.Series([f"type {i}" for i in range(72)] + [embedding_tables.UNLABELLED]))
    assert len(set(found.values())) == 73
    assert found[embedding_tables.UNLABELLED] == embedding_tables.UNLABELLED_COLOUR


def test_labels_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(1)
    xy, texts = rng.uniform(0.2, 0.8, (40, 2)), ["SLC17A7"] * 40
    size = np.array([600.0, 500.0])
    centres = xy * size + embedding_tables.label_places(xy, texts, (600.0, 500.0))
    gap = np.abs(centres[:, None] - centres[None])
    overlapping = (gap[..., 0] < 42) & (gap[..., 1] < 11)
    assert overlapping.sum() == 40  # each with itself only
    assert ((centres > 0) & (centres < size)).all()
    assert embedding_tables.label_places(np.empty((0, 2)), [], (600.0, 500.0)).shape == (0, 2)
