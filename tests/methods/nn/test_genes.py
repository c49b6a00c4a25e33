import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.errors import BenchError
from bench.methods.nn.genes import Genes, match


def _var(ids, symbols=None):
    return pd.DataFrame({} if symbols is None else {"symbol": symbols}, index=list(ids))


_MODEL = Genes(("ENSG00000000001", "ENSG00000000002", "ENSG00000000003"), ("A", "B", ""))


def test_genes_are_ordered_by_id():
    genes = Genes.of(_var(["ENSG00000000003", "ENSG00000000001", "ENSG00000000002"], ["C", None, "B"]))
    assert genes == Genes(("ENSG00000000001", "ENSG00000000002", "ENSG00000000003"), ("", "B", "C"))


def test_versions_go_unless_they_tell_genes_apart():
    assert Genes.of(_var(["ENSG00000000002.7", "ENSG00000000001.12"])).ids == ("ENSG00000000001", "ENSG00000000002")
    apart = ("ENSG00000000001.1", "ENSG00000000001.2")
    assert Genes.of(_var(apart)).ids == apart
    assert Genes.of(_var(["AC004.1", "B"])).ids == ("AC004.1", "B")


def test_a_symbol_that_repeats_the_id_is_none():
    assert Genes.of(_var(["ENSG00000000001"], ["ENSG00000000001"])).symbols == ("",)


def test_repeated_ids_are_refused():
    with pytest.raises(BenchError, match="more than once"):
        Genes(("a", "a"), ("", ""))


def test_select_by_id_with_absent_extra_and_swapped_genes():
    found = match(_MODEL, _var(["ENSG00000000003.4", "ENSG00000000009", "ENSG00000000001"]))
    assert (found.matched, found.by) == (2, "id")
    assert found.share == pytest.approx(2 / 3)
    counts = csr_matrix(np.array([[3, 9, 1], [0, 9, 0], [0, 0, 5]]))
    selected = found.select(counts)
    assert selected.has_sorted_indices
    np.testing.assert_array_equal(selected.toarray(), [[1, 0, 3], [0, 0, 0], [5, 0, 0]])


def test_select_by_symbol():
    found = match(_MODEL, _var(["B", "A"]))
    assert (found.matched, found.by) == (2, "symbol")
    np.testing.assert_array_equal(found.select(csr_matrix([[7, 8]])).toarray(), [[8, 7, 0]])


def test_a_symbol_of_several_genes_is_not_used():
    model = Genes(("g1", "g2", "g3"), ("A", "A", "B"))
    found = match(model, _var(["x", "y"], ["A", "B"]), min_share=0)
    assert list(found.target) == [-1, 2]


def test_select_agrees_with_dense_indexing():
    rng = np.random.default_rng(0)
    for _ in range(20):
        model = Genes.of(_var([f"g{i}" for i in rng.choice(30, 12, replace=False)]))
        names = [f"g{i}" for i in rng.permutation(30)[: rng.integers(8, 30)]]
        counts = rng.poisson(0.7, (9, len(names)))
        found = match(model, _var(names), min_share=0)
        dense = pd.DataFrame(counts, columns=names).reindex(columns=list(model.ids), fill_value=0)
        np.testing.assert_array_equal(found.select(csr_matrix(counts)).toarray(), dense.to_numpy())


def test_genes_in_place_are_handed_through():
    counts = csr_matrix(np.eye(3))
    assert match(_MODEL, _MODEL).select(counts) is counts


def test_too_few_genes_names_both_kinds():
    with pytest.raises(BenchError, match=r"1 of the model's 3 genes.*ENSG00000000001.*like x, y") as caught:
        match(_MODEL, _var(["x", "y", "B"]), where="study")
    assert caught.value.where == "study"
    with pytest.raises(BenchError, match="0 of the model's 3 genes"):
        match(_MODEL, _var(["x"]), min_share=0)


def test_counts_of_other_data_are_refused():
    with pytest.raises(BenchError, match="matched were 3"):
        match(_MODEL, _MODEL).select(csr_matrix((2, 4)))


def test_union_keeps_every_gene_once():
    a = Genes.of(_var(["g3", "g1"], [None, "A"]))
    b = Genes.of(_var(["g2", "g3"], ["B", "C"]))
    assert Genes.union([a, b]) == Genes(("g1", "g2", "g3"), ("A", "B", "C"))
    with pytest.raises(BenchError, match="hardly share genes"):
        Genes.union([a, Genes.of(_var(["A", "C"]))])
