"""The tests of donors side by side: numbers of a table made by hand, and tests that could test nothing."""

import numpy as np
import pandas as pd

from bench.tasks.deg.compare_tests import POOLED, _rows
from bench.tasks.deg.pseudobulk import _COLUMNS

#: Two types of three and two tested genes; of type A gene z is changed and not tested.
TABLE = pd.DataFrame(
    [
        ("A", "v", 1.0, 0.001, 0.003),
        ("A", "w", -1.0, 0.010, 0.015),
        ("A", "x", 1.0, 0.500, 0.500),
        ("B", "v", 1.0, 0.010, 0.020),
        ("B", "w", 1.0, 0.900, 0.900),
    ],
    columns=["cell_type", "gene", "avg_log2FC", "p_val", "p_val_adj"],
)
TRUTH = pd.DataFrame(
    [("A", "v", 0.5), ("A", "w", 0.5), ("A", "z", 0.5), ("B", "v", 2.0), ("C", "v", 2.0)],
    columns=["cell_type", "gene", "effect"],
)


def test_calls_are_held_against_the_truth_of_the_types_that_are_tested():
    found = _rows("limma-voom", "donors", "pylimma", TABLE, TRUTH, {"C": "too few"}).set_index("cell_type")
    assert found.loc["A", ["n_tested", "n_called", "n_true", "n_right"]].tolist() == [3, 2, 3, 1]  # w has another sign
    np.testing.assert_allclose(found.loc["A", ["precision", "recall", "fdr"]].astype(float), [1 / 2, 1 / 3, 1 / 2])
    np.testing.assert_allclose(found.loc["A", "auprc"], 2 / 3)  # v and w come first, z is called never
    assert found.loc[POOLED, ["n_tested", "n_called", "n_true", "n_right"]].tolist() == [5, 3, 4, 2]
    np.testing.assert_allclose(found.loc[POOLED, ["precision", "recall"]].astype(float), [2 / 3, 1 / 2])
    np.testing.assert_allclose(found.loc[POOLED, "auprc"], (2 / 3 + 1) / 2)
    assert found.loc["C", "reason"] == "too few"


def test_a_test_that_could_test_nothing_has_a_row_that_says_so():
    nothing = pd.DataFrame(columns=_COLUMNS).rename(columns={"log2fc": "avg_log2FC"})
    found = _rows("limma-voom", "donors", "pylimma", nothing, TRUTH, {"A": "too few"})
    assert found[["cell_type", "reason"]].to_numpy().tolist() == [
        [POOLED, "no cell type could be tested"],
        ["A", "too few"],
    ]
    assert found.loc[0, ["n_tested", "n_called"]].tolist() == [0, 0]
