"""The plain, frozen format between the harness and a method's process: .npz (CSR), parquet and JSON.

Cells are written in a permuted order under opaque names, so that neither tells the truth. No pickle, no h5ad.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.normalise import log1p_cp10k, rounded
from bench.problem import Cells, Inputs
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: File that names the column by whose values cells are answered for apart.
_APART = "apart.txt"


def permutation(n: int, problem_id: str) -> NDArray[np.intp]:
    """Order in which the cells of a problem are shown to methods: position ``i`` shows cell ``order[i]``."""
    return np.random.default_rng(derive_seed("permutation", problem_id)).permutation(n)


def write_inputs(inputs: Inputs, folder: Path, problem_id: str) -> None:
    """Write ``inputs`` for a method; byte-identical for identical inputs and ``problem_id``.

    Parameters
    ----------
    inputs
        Cells under their own names, in the dataset's order.
    folder
        Created; ``cells.npz``, ``cells_obs.parquet``, ``genes.parquet``, the same for ``train``, ``info.json``, and,
        if there is one, ``query.npz``, the mask, and ``apart.txt``. Counts that are no whole numbers are there rounded,
        too (``whole``).
    problem_id
        Decides the permutation.
    """
    _write_look(inputs, folder, problem_id)
    if inputs.train is not None:
        _write_cells(inputs.train, folder, "train", permutation(len(inputs.train.obs), f"{problem_id}/train"))


def write_rounds(rounds: Sequence[Inputs], folder: Path, problem_id: str) -> None:
    """Write every masking round: into ``folder`` if there is one, else into ``folder/round_000`` and so on.

    Training cells, the same in all rounds, are on disk once.
    """
    if len(rounds) == 1:
        write_inputs(rounds[0], folder, problem_id)
        return
    for k, inputs in enumerate(rounds):
        part = folder / f"round_{k:03d}"
        if k == 0:
            write_inputs(inputs, part, problem_id)
            continue
        _write_look(inputs, part, problem_id)
        for file in (folder / "round_000").glob("train*"):
            os.link(file, part / file.name)


def write_obsm(inputs: Inputs, folder: Path, problem_id: str) -> None:
    """Write the embeddings of ``inputs``, in the order in which :func:`write_inputs` shows the cells.

    They have a folder of their own, a trial's: methods that share the inputs are not shown them.
    """
    folder.mkdir()
    for block, cells in (("cells", inputs.cells), ("train", inputs.train)):
        if cells is not None and cells.obsm:
            order = permutation(len(cells.obs), problem_id if block == "cells" else f"{problem_id}/train")
            arrays: dict[str, Any] = {"keys": np.array(list(cells.obsm), dtype="U")}
            arrays.update({f"values_{i}": array[order] for i, array in enumerate(cells.obsm.values())})
            np.savez(folder / f"{block}.npz", **arrays)


def read_obsm(inputs: Inputs, folder: Path) -> Inputs:
    """The inputs with the embeddings that :func:`write_obsm` wrote; as they are where it wrote none."""

    def with_obsm(block: str, cells: Cells) -> Cells:
        if not (folder / f"{block}.npz").exists():
            return cells
        with np.load(folder / f"{block}.npz", allow_pickle=False) as stored:
            return replace(cells, obsm={str(key): stored[f"values_{i}"] for i, key in enumerate(stored["keys"])})

    train = None if inputs.train is None else with_obsm("train", inputs.train)
    return replace(inputs, cells=with_obsm("cells", inputs.cells), train=train)


def round_folders(folder: Path) -> list[Path]:
    """The folders that :func:`write_rounds` made, each for :func:`read_inputs`."""
    return sorted(folder.glob("round_*")) or [folder]


def plain_copy(folder: Path, target: Path) -> None:
    """Inputs for an environment that cannot read parquet: tables as ``.npz``, links to all other files."""
    for file in sorted(folder.rglob("*")):
        copy = target / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".parquet":
            _write_plain(pd.read_parquet(file), copy.with_suffix(".table.npz"))
        elif file.is_file():
            copy.symlink_to(file.resolve())


def has_fractions(folder: Path) -> bool:
    """Return whether some counts of the inputs are no whole numbers."""
    for file in folder.glob("*.npz"):
        with np.load(file, allow_pickle=False) as stored:
            if "whole" in stored.files:
                return True
    return False


def read_inputs(folder: Path, layer: str = "counts", train: Cells | None = None, *, fractions: bool = True) -> Inputs:
    """Read what :func:`write_inputs` wrote, with the layer a method declares.

    Parameters
    ----------
    layer
        ``counts``: as measured; ``log1p_cp10k``: ln(1 + counts per 10,000), all-zero cells left at zero; of the
        library size in ``obs["library_size"]`` where the task tells it.
    train
        The training cells, where an earlier round has read them.
    fractions
        Give counts that are no whole numbers as they are; False: rounded.
    """
    var = _read_table(folder, "genes")
    if train is None and (folder / "train.npz").exists():
        train = _read_cells(folder, "train", var, layer, fractions)
    return Inputs(
        cells=_read_cells(folder, "cells", var, layer, fractions),
        train=train,
        info=json.loads((folder / "info.json").read_text()),
        query=read_query(folder),
        apart=apart.read_text() if (apart := folder / _APART).exists() else "",
    )


def read_query(folder: Path) -> sparse.csr_matrix | None:
    """The masked entries, in the order the cells are shown; None: all."""
    file = folder / "query.npz"
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(int(s) for s in stored["shape"])
        pattern = np.ones(len(stored["indices"]), dtype=bool)
        return sparse.csr_matrix((pattern, stored["indices"], stored["indptr"]), shape=shape)


def _write_look(inputs: Inputs, folder: Path, problem_id: str) -> None:
    """All of ``inputs`` but the training cells."""
    folder.mkdir(parents=True, exist_ok=True)
    order = permutation(len(inputs.cells.obs), problem_id)
    _write_cells(inputs.cells, folder, "cells", order)
    if inputs.query is not None:
        query = sparse.csr_matrix(inputs.query[order])
        query.sort_indices()
        np.savez(folder / "query.npz", indices=query.indices, indptr=query.indptr, shape=np.array(query.shape))
    inputs.cells.var.to_parquet(folder / "genes.parquet")
    (folder / "info.json").write_text(json.dumps(dict(inputs.info), sort_keys=True))
    if inputs.apart:
        (folder / _APART).write_text(inputs.apart)


def _write_cells(cells: Cells, folder: Path, block: str, order: NDArray[np.intp]) -> None:
    X = sparse.csr_matrix(cells.X[order])
    X.sort_indices()
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": np.array(X.shape)}
    if cells.X.dtype.kind == "f" and (cells.X.data != np.floor(cells.X.data)).any():
        # In the order of the dataset: that in which cells are shown makes no difference.
        whole = rounded(cells.X.data, np.random.default_rng(derive_seed("whole counts", block))).astype(np.int32)
        counts = sparse.csr_matrix((whole, cells.X.indices, cells.X.indptr), shape=cells.X.shape)[order]
        counts.sort_indices()
        arrays["whole"] = counts.data
    np.savez(folder / f"{block}.npz", **arrays)
    obs = cells.obs.iloc[order].copy()
    obs.index = pd.Index([f"{block}_{i:07d}" for i in range(len(obs))], name="cell")
    obs.to_parquet(folder / f"{block}_obs.parquet")


def _read_cells(folder: Path, block: str, var: pd.DataFrame, layer: str, fractions: bool) -> Cells:
    with np.load(folder / f"{block}.npz", allow_pickle=False) as stored:
        rounded_too = "whole" in stored.files and not fractions
        data = stored["whole" if rounded_too else "data"]
        X = sparse.csr_matrix((data, stored["indices"], stored["indptr"]), shape=tuple(int(s) for s in stored["shape"]))
    if rounded_too:
        X.eliminate_zeros()
    obs = _read_table(folder, f"{block}_obs")
    if layer == "log1p_cp10k":
        X = log1p_cp10k(X, obs["library_size"].to_numpy(float) if "library_size" in obs else None)
    return Cells(X, obs, var.copy())


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    plain = folder / f"{name}.table.npz"
    if not plain.exists():
        return pd.read_parquet(folder / f"{name}.parquet")
    with np.load(plain, allow_pickle=False) as stored:
        index = pd.Index(stored["index"].astype(object), name=str(stored["index_name"]) or None)
        columns = {}
        for i, column in enumerate(stored["names"]):
            values = stored[f"values_{i}"]
            if values.dtype.kind == "U":
                values = values.astype(object)
                values[stored[f"missing_{i}"]] = None
            columns[str(column)] = pd.Series(values, index=index)
        return pd.DataFrame(columns, index=index)


def _write_plain(table: pd.DataFrame, file: Path) -> None:
    """A table as arrays: numbers and booleans as they are, all else as text with a mask of what is missing."""
    arrays: dict[str, Any] = {
        "names": np.array([str(c) for c in table.columns], dtype="U"),
        "index": table.index.to_numpy(dtype=str),
        "index_name": np.array(table.index.name or ""),
    }
    for i, column in enumerate(table.columns):
        values = table[column]
        if values.dtype.kind in "biuf" and isinstance(values.dtype, np.dtype):
            arrays[f"values_{i}"] = values.to_numpy()
        else:
            missing = values.isna().to_numpy()
            arrays[f"missing_{i}"] = missing
            arrays[f"values_{i}"] = np.where(missing, "", values.astype(object)).astype("U")
    np.savez(file, **arrays)
