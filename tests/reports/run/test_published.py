"""The numbers that a paper reports: those of a task can be read, and are numbers where there is one."""

import pytest

from bench.reports.run.published import published


@pytest.mark.parametrize(("task", "empty"), [("annotation", 15), ("doublet", None)])
def test_published_values_are_shares_or_missing(task, empty):
    ((_, table),) = published(task)
    known = table["value"].dropna()
    assert known.between(0, 1, inclusive="neither").all()
    if empty is not None:  # Seurat was not run on subclusters
        missing = table[table["value"].isna()]
        assert len(missing) == empty
        assert set(zip(missing["track"], missing["method"], strict=True)) == {("subcluster", "seurat")}


def test_the_papers_simulation_stands_beside_the_track_that_makes_it():
    ((source, table),) = published("doublet")
    assert set(table["track"]) == {"invivo", "simulated-paper"}
    assert (table["track"] == "simulated-paper").sum() == 192  # 8 methods x 4 datasets x 6 metrics
    assert "simulated-paper" in source.remarks["doublet"]


def test_a_papers_metric_stands_under_the_name_that_it_has_here():
    """The paper's macro F1 of cell types is over all classes of truth and answers: our f1_macro_union."""
    ((_, table),) = published("annotation")
    macro = table[table["reported_as"] == "f1_macro"]
    assert macro.groupby("track")["metric"].unique().map(list).to_dict() == {
        "celltype": ["f1_macro_union"],
        "subcluster": ["f1_macro"],
        "subtype": ["f1_macro"],
    }
    others = table[table["reported_as"] != "f1_macro"]
    assert (others["metric"] == others["reported_as"]).all()
