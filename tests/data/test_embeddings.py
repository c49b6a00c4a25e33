"""Named embeddings: read and checked when somebody asks, of files and of AnnData in memory alike."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from scipy import sparse

from bench.data._builtin import COHORTS, CohortSource
from bench.data.library import from_path
from bench.data.memory import from_anndata
from bench.errors import DataError, UnknownNameError

N = 12


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"donor": ["a", "b"] * 6, "cell_type": ["x", "y"] * 6}, index=[f"c{i}" for i in range(N)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(6)])
    cells = anndata.AnnData(sparse.csr_matrix(1 + rng.poisson(2.0, (N, 6)).astype(np.float32)), obs, var)
    cells.obsm["X_net"] = rng.normal(size=(N, 3))
    return cells


@pytest.fixture(params=["file", "memory"])
def source(request, tmp_path):
    """Makes a dataset of an AnnData; of a file, elements of ``obsm`` may be replaced by what AnnData refuses."""

    def of_file(adata, changed=None, **facts):
        path = tmp_path / "cells.h5ad"
        adata.write_h5ad(path)
        with h5py.File(path, "r+") as file:
            for key, values in (changed or {}).items():
                del file[f"obsm/{key}"]
                write_elem(file["obsm"], key, values)
        return from_path(path, name="cells", **facts)

    def of_memory(adata, changed=None, **facts):
        for key, values in (changed or {}).items():
            adata.obsm[key] = values
        return from_anndata(adata, name="cells", **facts)

    return of_file if request.param == "file" else of_memory


def test_an_embedding_is_a_row_a_cell_with_its_digest(source, adata):
    found = source(adata).embedding("X_net")
    np.testing.assert_array_equal(found.values, adata.obsm["X_net"].astype(np.float32))
    assert list(found.cells) == list(adata.obs_names)
    assert found.pretrained_on is None
    same = source(adata).embedding("X_net")
    adata.obsm["X_net"][0, 0] += 1
    assert found.digest == same.digest != source(adata).embedding("X_net").digest


@pytest.mark.parametrize(
    ("told", "names"),
    [("GSE1, b", ("GSE1", "b")), (["GSE1"], ("GSE1",)), ("", ()), ((), ())],
)
def test_what_its_user_says_is_kept(source, adata, told, names):
    made = source(adata, embeddings={"X_net": told})
    assert made.card.embeddings == {"X_net": list(names)}
    assert made.embedding("X_net").pretrained_on == names


@pytest.mark.parametrize(("told", "names"), [("GSE1, b", ("GSE1", "b")), (["GSE1", "b"], ("GSE1", "b"))])
def test_what_the_data_themselves_say_holds_where_its_user_says_nothing(source, adata, told, names):
    """As ``bench embed`` writes it."""
    adata.uns["net_embedding"] = {"pretrained_on": told}
    assert source(adata).embedding("X_net").pretrained_on == names
    assert source(adata, embeddings={"X_net": "z"}).embedding("X_net").pretrained_on == ("z",)
    assert source(adata, embeddings={"X_net": None}).embedding("X_net").pretrained_on == names


def test_keys_alone_do_not_say_what_was_pre_trained_on_what(source, adata):
    with pytest.raises(DataError, match="a list does not say what was pre-trained on what"):
        source(adata, embeddings=["X_net"])


def _with(value):
    values = np.ones((N, 2))
    values[3, 1] = value
    return values


WRONG = {
    "nan": (_with(np.nan), "is NaN or infinite for 1 of 12 cells, such as 'c3'"),
    "infinite": (_with(np.inf), "is NaN or infinite for 1 of 12"),
    "too large": (_with(1e300), "is NaN or infinite for 1 of 12"),
    "sparse": (sparse.csr_matrix(np.ones((N, 2))), "is a sparse matrix"),
    "three axes": (np.ones((N, 2, 2)), "is 12 x 2 x 2, not cells x dimensions"),
    "no dimension": (np.ones((N, 0)), "is 12 x 0, not cells x dimensions"),
    "truths": (np.ones((N, 2), dtype=bool), "has type bool"),
    "table": (pd.DataFrame(np.ones((N, 2)), index=[f"c{i}" for i in range(N)], columns=["a", "b"]), "is a table"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_embedding_is_refused_when_it_is_asked_for(source, adata, case):
    values, what = WRONG[case]
    made = source(adata, {"X_net": values})  # whoever does not ask for it has no trouble with it
    assert made.load().adata.n_obs == N
    with pytest.raises(DataError, match=what) as error:
        made.embedding("X_net")
    assert "obsm['X_net'] of" in error.value.where
    assert error.value.fix


def test_what_is_told_of_is_checked_at_once(source, adata):
    with pytest.raises(DataError, match="NaN"):
        source(adata, {"X_net": _with(np.nan)}, embeddings={"X_net": "GSE1"})
    with pytest.raises(UnknownNameError, match="X_nett") as error:
        source(adata, embeddings={"X_nett": "GSE1"})
    assert error.value.fix == "did you mean 'X_net'?"


def test_a_file_may_have_rows_for_other_cells(adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["obsm/X_net"]
        write_elem(file["obsm"], "X_net", np.ones((N - 1, 2)))
    with pytest.raises(DataError, match="the embedding has 11 rows for 12 cells"):
        from_path(path).embedding("X_net")


def test_of_cells_in_memory_no_digest_hangs_on_an_embedding_and_a_copy_is_kept(adata):
    with_it = from_anndata(adata, name="cells")
    kept = adata.obsm["X_net"].astype(np.float32)
    adata.obsm["X_net"][:] = 0
    np.testing.assert_array_equal(with_it.embedding("X_net").values, kept)
    del adata.obsm["X_net"]
    assert from_anndata(adata, name="cells").card.digest == with_it.card.digest
    assert not with_it.load().adata.obsm


def test_a_simulated_cohort_has_none():
    with pytest.raises(UnknownNameError, match="X_net"):
        CohortSource("cohort", COHORTS["cohort"], builtin=True).embedding("X_net")
