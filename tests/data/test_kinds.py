"""Every kind of file that users have, on every command that reads one: its counts, or a sentence with a fix."""

import gzip
import random
import shutil
import signal

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import typer
from anndata.io import write_elem
from scipy import sparse
from scipy.io import mmwrite
from typer.testing import CliRunner

from bench.cli import data, deg, embed, pretrain, run
from bench.data import _guard
from bench.data.library import from_path
from bench.errors import BenchError, DataError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*[zZ]arr:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning"),
]

N_CELLS, N_GENES = 60, 40
COUNTS = np.random.default_rng(0).poisson(2.0, (N_CELLS, N_GENES)).astype(np.float32)


def study():
    """60 cells of four donors, two arms and two types."""
    cell = np.arange(N_CELLS)
    obs = pd.DataFrame(
        {
            "donor": np.char.add("d", (cell % 4).astype(str)),
            "condition": np.where(cell % 2, "ctrl", "AD"),
            "cell_type": np.where(cell // 2 % 2, "neuron", "glia"),
        },
        index=[f"c{i}" for i in cell],
    )
    var = pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(N_GENES)])
    return anndata.AnnData(sparse.csr_matrix(COUNTS), obs, var)


# -- makers: each writes one file or folder into `folder` and returns its path -------------------------------------


def of_x(change, ending="h5ad"):
    """A study whose ``X`` is changed."""

    def make(folder):
        adata = study()
        adata.X = change(adata.X.toarray())
        getattr(adata, f"write_{ending}")(path := folder / f"x.{ending}")
        return path

    return make


def of_study(change):
    """A study that is changed as a whole."""

    def make(folder):
        adata = study()
        changed = change(adata)
        adata = adata if changed is None else changed
        with anndata.settings.override(allow_write_nullable_strings=True):
            adata.write_h5ad(path := folder / "x.h5ad")
        return path

    return make


def of_file(change):
    """A written study whose file is changed inside."""

    def make(folder):
        study().write_h5ad(path := folder / "x.h5ad")
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def of_bytes(change, name="x.h5ad"):
    """A written study whose bytes are changed."""

    def make(folder):
        study().write_h5ad(folder / "whole.h5ad")
        (folder / name).write_bytes(change((folder / "whole.h5ad").read_bytes()))
        return folder / name

    return make


def tenx_h5(version, kinds=("Gene Expression",) * N_GENES):
    def make(folder):
        X = sparse.csc_matrix(COUNTS.T.astype(np.int32))
        with h5py.File(folder / "x.h5", "w") as file:
            group = file.create_group("matrix" if version == 3 else "GRCh38")
            group["shape"] = X.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(X, name).astype(np.int64)
            group["barcodes"] = [f"AAACCTGAGAAACC{i}-1".encode() for i in range(N_CELLS)]
            ids = [f"ENSG{i:011d}".encode() for i in range(N_GENES)]
            features = group.create_group("features") if version == 3 else group
            features["id" if version == 3 else "genes"] = features["name" if version == 3 else "gene_names"] = ids
            if version == 3:
                features["feature_type"] = [kind.encode() for kind in kinds]
        return folder / "x.h5"

    return make


def tenx_folder(zipped=True, end="\n", X=COUNTS.T):
    def make(folder):
        (folder / "x").mkdir()
        opened, ending = (gzip.open, ".gz") if zipped else (open, "")
        mmwrite(folder / "matrix.mtx", sparse.coo_matrix(X.astype(int)), field="integer")
        tables = {
            "matrix.mtx": (folder / "matrix.mtx").read_text().splitlines(),
            "barcodes.tsv": [f"AAACCTGAGAAACC{i}-1" for i in range(N_CELLS)],
            "features.tsv": [f"ENSG{i:011d}\tS{i}\tGene Expression" for i in range(N_GENES)],
        }
        for name, lines in tables.items():
            with opened(folder / "x" / f"{name}{ending}", "wb") as file:
                file.write("".join(line + end for line in lines).encode())
        return folder / "x"

    return make


def logged(X):
    return sparse.csr_matrix(np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4))


def with_zeros(adata):
    stored = COUNTS + 1
    adata.X = sparse.csr_matrix(stored)
    adata.X.data -= 1
    assert adata.X.nnz == stored.size


def only_in(place):
    def change(adata):
        if place == "raw":
            adata.raw = adata.copy()
        else:
            adata.layers[place] = adata.X.copy()
        adata.X = logged(COUNTS)

    return change


def strings(adata):
    for table in (adata.obs, adata.var):
        table.index = table.index.astype("string")
        for column in table:
            table[column] = table[column].astype("string")


def gap(column):
    def change(adata):
        adata.obs[column] = adata.obs[column].astype(object).mask(np.arange(N_CELLS) == 5)

    return change


def unused(adata):
    adata.obs["donor"] = pd.Categorical(adata.obs["donor"], categories=[*map("d{}".format, range(9))])


def called(name):
    def change(adata):
        adata.obs.index.name = name
        if name == "donor":
            adata.obs = adata.obs.rename(columns={"donor": "patient"})

    return change


def without_x(file):
    del file["X"]


def wide_indices(file):
    for name in ("indices", "indptr"):
        stored = file["X"][name][:].astype(np.int64)
        del file["X"][name]
        file["X"][name] = stored


def damaged(name, value):
    def change(file):
        file["X"][name][3] = value

    return change


def unknown_encoding(file):
    file["X"].attrs["encoding-type"] = "of-tomorrow"


def text_for_x(file):
    del file["X"]
    write_elem(file, "X", COUNTS.astype(int).astype(str).astype(object))


def zstd(file):
    values = file["X/data"][:]
    del file["X/data"]
    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_chunk((len(values),))
    options.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((len(values),))
    h5py.h5d.create(file["X"].id, b"data", h5py.h5t.NATIVE_FLOAT, space, options).write_direct_chunk((0,), bytes(64))


def nothing(folder):
    return folder / "x.h5ad"


def a_folder(folder):
    (folder / "x.h5ad").mkdir()
    return folder / "x.h5ad"


#: Files that give the counts of the study, or others that are right as they are.
GOOD = {
    "plain": of_study(lambda adata: None),
    "dense": of_x(np.asarray),
    "CSC": of_x(sparse.csc_matrix),
    "CSR of integers": of_x(lambda X: sparse.csr_matrix(X.astype(np.int64))),
    "zarr": of_x(sparse.csr_matrix, "zarr"),
    "64-bit indices": of_file(wide_indices),
    "stored zeros": of_study(with_zeros),
    "nullable strings": of_study(strings),
    "unused categories": of_study(unused),
    "index called donor": of_study(called("donor")),
    "index called _index": of_study(called("_index")),
    "10x v2": tenx_h5(2),
    "10x v3": tenx_h5(3),
    "10x folder": tenx_folder(),
    "10x folder, CRLF": tenx_folder(zipped=False, end="\r\n"),
    "antibodies": tenx_h5(3, ("Gene Expression",) * 30 + ("Antibody Capture",) * 10),
}

#: Files that are refused, and a word of the sentence.
REFUSED = {
    "logged": (of_x(logged), "log-transformed"),
    "scaled": (of_x(lambda X: (X - X.mean(axis=0)) / X.std(axis=0)), "negative"),
    "NaN": (of_x(lambda X: np.where(X > 6, np.nan, X)), "NaN"),
    "negative": (of_x(lambda X: sparse.csr_matrix(np.where(X > 6, -1, X))), "negative"),
    "fractional": (of_x(lambda X: sparse.csr_matrix(X * 0.7)), "fractional"),
    "above int32": (of_x(lambda X: sparse.csr_matrix(np.where(X > 6, 5e9, X))), "largest count"),
    "no cell": (of_study(lambda adata: adata[:0].copy()), ""),
    "no gene": (of_study(lambda adata: adata[:, :0].copy()), ""),
    "cells of one name": (of_study(lambda a: setattr(a, "obs_names", ["c0", *a.obs_names[:-1]])), "more than once"),
    "genes of one name": (
        of_study(lambda a: setattr(a, "var_names", ["g0", "g0", *a.var_names[2:]])),
        "more than once",
    ),
    "X is absent": (of_file(without_x), "no X"),
    "counts in raw": (of_study(only_in("raw")), "--layer raw"),
    "counts in a layer": (of_study(only_in("counts")), "--layer counts"),
    "indices out of range": (of_file(damaged("indices", 10**6)), "damaged"),
    "negative indices": (of_file(damaged("indices", -1)), "damaged"),
    "indptr out of range": (of_file(damaged("indptr", 10**6)), "damaged"),
    "unknown encoding": (of_file(unknown_encoding), "not known"),
    "text for X": (of_file(text_for_x), "string-array"),
    "zero bytes": (of_bytes(lambda whole: b""), "empty"),
    **{f"cut at {i} tenths": (of_bytes(lambda w, i=i: w[: len(w) * i // 10]), "") for i in range(1, 10)},
    "cut at its end": (of_bytes(lambda whole: whole[:-1]), "truncated"),
    "a folder": (a_folder, "matrix.mtx"),
    "wrong ending": (of_bytes(lambda whole: whole, "x.loom"), "'.loom'"),
    "10x ending": (of_bytes(lambda whole: whole, "x.h5"), ".h5ad"),
    "gzipped": (of_bytes(gzip.compress), "gunzip"),
    "peaks only": (tenx_h5(3, ("Peaks",) * N_GENES), "Peaks"),
    "transposed": (of_study(lambda adata: adata.T.copy()), "transposed"),
    "10x folder, transposed": (tenx_folder(X=COUNTS), "transposed"),
    "no such file": (nothing, "no such file"),
}

#: What only some commands use: fine or refused, but never a traceback.
EITHER = {
    "one cell": of_study(lambda adata: adata[:1].copy()),
    "one gene": of_study(lambda adata: adata[(COUNTS[:, 0] > 0), :1].copy()),
    "NaN donor": of_study(gap("donor")),
    "NaN label": of_study(gap("cell_type")),
    "zstd": of_file(zstd),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("kinds")
    path = GOOD["plain"](folder)
    code, error, _ = bench("pretrain", "scmamba", "--dataset", path, "--out", folder / "model", *TINY)
    assert code == 0, error
    return folder / "model"


@pytest.fixture(autouse=True)
def signals():
    """``bench run`` handles SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


TINY = ("--preset", "tiny", "--max-steps", "1", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--quiet")


def bench(*args):
    """Exit code, refusal and output of a command in this process; any exception but a refusal is a fault."""
    app = typer.Typer()
    for module in (data, deg, embed, pretrain, run):
        module.register(app)
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    error = result.exception
    if isinstance(error, BenchError):
        return 2, error, result.output
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, None, result.output


def commands(path, folder, checkpoint):
    yield "data add", ("data", "add", path, "--name", "mine")
    yield "run", ("run", "--task", "doublet", "--tracks", "simulated", "--methods", "controls", "--datasets", path)
    yield "deg", ("deg", path, "--group", "condition", "--case", "AD", "--control", "ctrl", "--test", "wilcox")
    yield "embed", ("embed", checkpoint, path, "--threads", "1", "--out", folder / "embedded.h5ad")
    yield "pretrain", ("pretrain", "scmamba", "--dataset", path, "--out", folder / "model", *TINY)


def results(make, folder, checkpoint, monkeypatch):
    monkeypatch.chdir(folder)
    path = make(folder)
    for name, command in commands(path, folder, checkpoint):
        more = ("--no-report", "--quiet", "--out", folder / "run") if name == "run" else ()
        yield name, *bench(*command, *more)
        if name == "run":
            assert (folder / "run").exists() == (list((folder / "run").glob("trials/*")) != [])


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_serves_every_command(kind, tmp_path, checkpoint, monkeypatch):
    for name, code, error, output in results(GOOD[kind], tmp_path, checkpoint, monkeypatch):
        if name == "deg" and kind.startswith(("10x", "antibodies")):
            assert "no columns" in str(error)
            continue
        assert code == 0, f"{name}: {error or output}"
    adata = from_path(next(tmp_path.glob("x*"))).load().adata
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS[:, : adata.n_vars])
    assert adata.n_vars == (30 if kind == "antibodies" else N_GENES)
    embedded = anndata.read_h5ad(tmp_path / "embedded.h5ad")
    assert embedded.n_obs == N_CELLS


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_file_is_refused_by_every_command(kind, tmp_path, checkpoint, monkeypatch):
    make, word = REFUSED[kind]
    for name, code, error, output in results(make, tmp_path, checkpoint, monkeypatch):
        assert code == 2, f"{name}: {output}"
        assert error.what
        assert error.where
        assert error.fix
        no_columns = name == "deg" and "no columns" in error.what
        assert word in str(error) or no_columns, f"{name}: {error}"


@pytest.mark.parametrize("kind", EITHER)
def test_what_some_commands_need_not_is_fine_or_refused(kind, tmp_path, checkpoint, monkeypatch):
    for name, code, error, output in results(EITHER[kind], tmp_path, checkpoint, monkeypatch):
        assert code == 0 or (error is not None and error.fix), f"{name}: {output}"


# -- damage --------------------------------------------------------------------------------------------------------


def _damaged(content, rng):
    """Bytes with a bit flipped, many bytes changed, the end cut off, or a stretch of zeros."""
    bytes_ = bytearray(content)
    place = rng.randrange(len(bytes_))
    match rng.choice(["bit", "bytes", "cut", "zeros"]):
        case "bit":
            bytes_[place] ^= 1 << rng.randrange(8)
        case "bytes":
            for _ in range(rng.choice([5, 50])):
                bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        case "cut":
            del bytes_[place:]
        case "zeros":
            n = len(bytes_[place : place + rng.choice([8, 64, 512])])
            bytes_[place : place + n] = bytes(n)
    return bytes(bytes_)


@pytest.mark.parametrize("kind", ["plain", "10x v3", "zarr", "10x folder"])
def test_fifty_damaged_files_are_read_or_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(_guard, "_LIMIT_S", 2.0)
    rng = random.Random(kind)
    whole = GOOD[kind](tmp_path)
    fixes = []
    for i in range(50):
        path = tmp_path / f"damaged{i}{whole.suffix}"
        if whole.is_dir():
            shutil.copytree(whole, path)
            file = rng.choice(sorted(f for f in path.rglob("*") if f.is_file() and f.stat().st_size))
            file.write_bytes(_damaged(file.read_bytes(), rng))
        else:
            path.write_bytes(_damaged(whole.read_bytes(), rng))
        try:
            source = from_path(path)
            source.load()
            cells = source.open()
            cells.rows(np.arange(len(cells)))
        except DataError as error:
            fixes.append(error.fix)
    assert fixes
    assert all(fixes)
