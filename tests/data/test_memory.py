"""An AnnData in memory: the checks and sentences of a file, a digest of what counts, and nothing modified."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.data.library import from_path
from bench.data.memory import from_anndata
from bench.errors import DataError, UnknownNameError


def _logged(adata):
    totals = adata.X.sum(axis=1)
    adata.X = np.log1p(adata.X.toarray() / np.asarray(totals) * 1e4)


def _set(value):
    def change(adata):
        adata.X = adata.X.astype(np.float64)
        adata.X.data[3] = value

    return change


def _no_counts(adata):
    X = adata.X.toarray()
    X[4] = 0
    adata.X = sparse.csr_matrix(X)


def _label(column, values):
    def change(adata):
        adata.obs[column] = values

    return change


def _names(axis, names):
    def change(adata):
        setattr(adata, f"{axis}_names", names)
        if axis == "var":
            del adata.var["ensembl_id"]

    return change


WRONG = {
    "logged": _logged,
    "negative": _set(-1.0),
    "not a number": _set(np.nan),
    "fractions": _set(0.5),
    "too large": _set(2.0**40),
    "no counts": _no_counts,
    "no label": _label("cell_type", pd.Categorical([None] + ["a"] * 11)),
    "not nested": _label("subtype", ["a"] * 12),
    "not a boolean": _label("is_doublet", ["perhaps"] * 12),
    "cells of one name": _names("obs", ["c"] * 12),
    "genes of one name": _names("var", ["g"] * 6),
    "barcodes as genes": _names(
        "var", [f"ACGTACGTACG{c}-1" for c in "ACGTAC"][:4] + ["TTTTTTTTTTTT-1", "GGGGGGGGGGGG-1"]
    ),
    "peaks": _names("var", [f"chr1:{i}00-{i}99" for i in range(6)]),
    "complex": lambda adata: setattr(adata, "X", adata.X.toarray().astype(complex)),
    "antibodies only": lambda adata: adata.var.insert(0, "feature_types", "Antibody Capture"),
}


@pytest.mark.filterwarnings("ignore")  # of anndata, about names that are not unique
@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_file_is_refused_for_is_refused_with_the_same_sentence(counts, tmp_path, wrong):
    WRONG[wrong](counts)
    counts.write_h5ad(tmp_path / "mine.h5ad")
    with pytest.raises(DataError) as of_file:
        from_path(tmp_path / "mine.h5ad").load()
    with pytest.raises(DataError) as of_memory:
        from_anndata(counts, name="mine")
    assert of_memory.value.what == of_file.value.what
    assert of_memory.value.where == of_file.value.where.replace(str(tmp_path / "mine.h5ad"), "AnnData mine")
    assert of_memory.value.fix == of_file.value.fix


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "dense", "unsorted", "view", "layer", "raw", "int64"])
def test_cells_are_those_of_the_file_however_they_lie(counts, tmp_path, form):
    counts.write_h5ad(tmp_path / "mine.h5ad")
    truth = from_path(tmp_path / "mine.h5ad", columns={"donor": "individual"}).load().adata
    plain = from_anndata(counts, columns={"donor": "individual"})
    X, layer = counts.X, None
    if form in ("csc", "coo"):
        counts.X = X.tocsc() if form == "csc" else X.tocoo().tocsr()
    elif form == "dense":
        counts.X = X.toarray()
    elif form == "int64":
        counts.X = X.astype(np.int64)
    elif form == "unsorted":
        X.indices[:], X.data[:] = _reversed_rows(X)
        X.has_sorted_indices = False
    elif form == "view":
        larger = anndata.concat([counts, counts], index_unique="-")
        larger.var = counts.var
        larger.obs_names = [*counts.obs_names, *(f"other{i}" for i in range(12))]
        counts = larger[:12]
        assert counts.is_view
    elif form == "layer":
        counts.layers["umi"], counts.X, layer = X, np.log1p(X.toarray()), "umi"
    elif form == "raw":
        counts.raw, layer = counts.copy(), "raw"
        counts = counts[:, :3]
    before = _facts(counts)
    source = from_anndata(counts, columns={"donor": "individual"}, layer=layer)
    assert _facts(counts) == before
    got = source.load().adata
    assert got.X.dtype == np.int32
    np.testing.assert_array_equal(got.X.toarray(), truth.X.toarray())
    pd.testing.assert_frame_equal(got.obs, truth.obs, check_categorical=False)
    pd.testing.assert_frame_equal(got.var, truth.var)
    assert source.card.digest == plain.card.digest
    assert source.card.n_donors == 2
    assert source.mapping["donor"] == "individual"


def _reversed_rows(X):
    rows = [slice(a, b) for a, b in zip(X.indptr, X.indptr[1:], strict=False)]
    return np.concatenate([X.indices[r][::-1] for r in rows]), np.concatenate([X.data[r][::-1] for r in rows])


def _facts(adata):
    """Everything of an AnnData that could be changed, as bytes."""
    X = adata.X
    arrays = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
    layers = [layer.data.tobytes() if sparse.issparse(layer) else layer.tobytes() for layer in adata.layers.values()]
    tables = [adata.obs.to_csv(), adata.var.to_csv(), str(adata.obs.dtypes), str(adata.uns)]
    return [a.tobytes() for a in arrays], layers, tables, adata.is_view


def test_the_digest_tells_every_count_label_and_name(counts):
    digests = [from_anndata(counts).card.digest]
    for change in (
        lambda a: a.X.data.__setitem__(5, a.X.data[5] + 1),
        lambda a: a.obs.__setitem__("cell_type", ["other", *a.obs["cell_type"][1:]]),
        lambda a: a.obs.__setitem__("is_doublet", [False, *a.obs["is_doublet"][1:]]),
        lambda a: a.obs.__setitem__("donor", a.obs["individual"]),
        lambda a: setattr(a, "obs_names", ["x", *a.obs_names[1:]]),
        lambda a: a.var.__setitem__("ensembl_id", ["ENSG99999999999", *a.var["ensembl_id"][1:]]),
        lambda a: setattr(a, "var_names", ["x", *a.var_names[1:]]),
    ):
        changed = counts.copy()
        change(changed)
        digests.append(from_anndata(changed).card.digest)
    assert len(set(digests)) == len(digests)
    counts.obs["score"] = 0.0  # a column without a meaning
    counts.uns["note"] = "of mine"
    assert from_anndata(counts).card.digest == digests[0]


def test_what_happens_to_the_original_afterwards_changes_nothing(counts):
    source = from_anndata(counts)
    before = source.load().adata.X.toarray()
    counts.X.data[:] = 7
    counts.obs["cell_type"] = "other"
    first = source.load().adata
    first.obs["cell_type"] = "changed by a reader"
    np.testing.assert_array_equal(source.load().adata.X.toarray(), before)
    assert set(source.load().adata.obs["cell_type"]) == {"neuron", "glia"}


@pytest.mark.parametrize("place", ["umi", "raw"])
def test_counts_that_lie_elsewhere_are_offered_in_the_words_of_python(counts, place):
    raw = counts.copy()
    counts.X = np.log1p(counts.X.toarray() / 3)
    if place == "raw":
        counts.raw = raw
    else:
        counts.layers["umi"] = raw.X
    with pytest.raises(DataError, match=f"bench.as_dataset\\(adata, layer='{place}'\\)"):
        from_anndata(counts)


@pytest.mark.filterwarnings("ignore")  # of anndata, about names that are not unique
def test_the_fix_of_cells_of_one_name_works_within_a_donor_too(counts):
    counts.obs_names = ["c"] * 3 + [f"cell{i}" for i in range(9)]
    with pytest.raises(DataError) as refusal:
        from_anndata(counts)
    assert "adata.obs_names_make_unique()" in refusal.value.fix
    counts.obs_names_make_unique()
    assert from_anndata(counts).card.n_cells == 12


def test_columns_that_are_missing_are_offered_with_the_call_that_names_them(counts):
    counts.obs = counts.obs.rename(columns={"cell_type": "Annotation"})
    told = from_anndata(counts).offer(["cell_type", "condition"])
    assert told.startswith("name the column: bench.as_dataset(adata, label_key='Annotation', condition_key='COLUMN')\n")
    assert told.endswith("columns: individual, Annotation, score")
    counts.obs = counts.obs[["is_doublet"]]
    assert from_anndata(counts).offer(["cell_type"]).startswith("the AnnData has no columns but is_doublet: join your")


def test_a_backed_anndata_is_told_what_to_hand_over(counts, tmp_path):
    counts.write_h5ad(tmp_path / "mine.h5ad")
    backed = anndata.read_h5ad(tmp_path / "mine.h5ad", backed="r")
    with pytest.raises(DataError, match=r"is backed[\s\S]*mine.h5ad[\s\S]*to_memory"):
        from_anndata(backed)
    backed.file.close()


def test_other_refusals(counts):
    with pytest.raises(DataError, match=r"no column 'patient'[\s\S]*individual"):
        from_anndata(counts, columns={"donor": "patient"})
    with pytest.raises(DataError, match=r"no layer 'umi'[\s\S]*layers: X"):
        from_anndata(counts, layer="umi")
    with pytest.raises(DataError, match="there is no X"):
        from_anndata(anndata.AnnData(obs=counts.obs, var=counts.var))
    with pytest.raises(UnknownNameError, match=r"did you mean 'experimental'"):
        from_anndata(counts, truth="experimentel")
    with pytest.raises(DataError, match="no cell is of the condition"):
        from_anndata(counts, case="ill")
    counts.obs = pd.concat([counts.obs, counts.obs[["score"]]], axis=1)
    with pytest.raises(DataError, match="columns of one name: score"):
        from_anndata(counts)


def test_the_card_tells_what_a_file_would_tell(counts, tmp_path):
    counts.write_h5ad(tmp_path / "mine.h5ad")
    of_file, of_memory = from_path(tmp_path / "mine.h5ad").card, from_anndata(counts, name="mine.h5ad").card
    for fact in ("name", "fields", "truth", "n_cells", "n_genes", "n_donors", "n_values", "caveat", "weak_labels"):
        assert getattr(of_memory, fact) == getattr(of_file, fact), fact
    assert from_anndata(counts).card.name == f"adata-{of_memory.digest[:8]}"
