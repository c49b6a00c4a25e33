"""Two studies as one dataset: train on one, test on the other, with their labels brought to common names."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from bench.errors import DataError
from bench.problem import Note, Notes

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.dataset import Dataset

#: What a label becomes that the mapping sends nowhere; the annotation task leaves such cells out.
_LEFT_OUT = "Unidentified"


@dataclass(frozen=True)
class Pair:
    """The joint dataset, and what a reader must know about how it came about."""

    adata: AnnData
    notes: Notes


def read_label_map(path: Path) -> dict[str, str]:
    """Read a CSV with columns ``from,to``; an empty ``to`` leaves the label's cells out.

    Raises
    ------
    bench.errors.DataError
        If the columns are missing, or a label is mapped twice.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"from", "to"} <= set(reader.fieldnames or ()):
            raise DataError(
                "a label mapping has the columns from,to", where=str(path), fix="add this first line: from,to"
            )
        mapping: dict[str, str] = {}
        for row in reader:
            name, to = (row["from"] or "").strip(), (row["to"] or "").strip()
            if mapping.get(name, to) != to:
                raise DataError(f"label {name!r} is mapped twice", where=str(path), fix="keep one of its lines")
            mapping[name] = to
    return mapping


def pair(train: Dataset, test: Dataset, labels: Mapping[str, str] | None = None) -> Pair:
    """Cells of both studies over their common genes, with a ``split`` column: ``train`` and ``test``.

    Genes are matched by name or, where that finds more, by symbol (symbols that are not unique are left out). Only
    ``cell_type`` is kept: finer levels of two studies have no common names. Known doublets and cells marked
    ``exclude`` are left out.

    Parameters
    ----------
    labels
        Label of either study -> common name ('' leaves its cells out); labels not in it keep their names.

    Raises
    ------
    bench.errors.DataError
        If a study has no cell types, the mapping names labels that neither has, or genes or classes are not shared.
    """
    mapping, notes = dict(labels or {}), Notes()
    for study in (train, test):
        if "cell_type" not in study.adata.obs:
            raise DataError(
                "there is no cell_type column", where=f"dataset {study.card.name}", fix="choose --label-key"
            )
    all_labels = {str(x) for study in (train, test) for x in study.adata.obs["cell_type"].unique()}
    unknown = sorted(set(mapping) - all_labels)
    if unknown:
        raise DataError(
            f"neither study has the labels {', '.join(unknown)}",
            where="the label mapping",
            fix=f"labels: {', '.join(sorted(all_labels))}",
        )
    columns, names = _common_genes(train, test, notes)
    blocks, tables = [], []
    for study, chosen, role in ((train, columns[0], "train"), (test, columns[1], "test")):
        keep = _usable(study, notes)
        blocks.append(study.adata.X[keep][:, chosen])
        tables.append(_obs(study, keep, mapping, role))
    X = sparse.vstack(blocks, format="csr")
    X.sort_indices()
    obs = pd.concat(tables)
    filled = np.diff(X.indptr) > 0
    if not filled.all():
        notes.append(f"{int((~filled).sum()):,} cells have no count of a common gene and are left out")
    _compare_labels(obs[filled], notes)
    weak = "; ".join(f"{s.card.name}: {s.card.weak_labels}" for s in (train, test) if s.card.weak_labels)
    if weak:
        notes.append(Note(weak, "warning"))
    return Pair(_anndata(X[filled], obs[filled], names, weak), notes)


def _anndata(X: sparse.csr_matrix, obs: pd.DataFrame, names: pd.Index, weak: str) -> AnnData:
    from anndata import AnnData

    return AnnData(
        X=X, obs=obs, var=pd.DataFrame({"symbol": names}, index=names), uns={"weak_labels": weak} if weak else {}
    )


def _common_genes(train: Dataset, test: Dataset, notes: Notes) -> tuple[list[np.ndarray], pd.Index]:
    """Positions of the common genes in either study, and their names."""
    best: tuple[pd.Index, pd.Index, pd.Index] | None = None
    for by in ("name", "symbol"):
        a, b = (
            pd.Index(s.adata.var_names if by == "name" else s.adata.var.get("symbol", s.adata.var_names), dtype=object)
            for s in (train, test)
        )
        common = a[~a.duplicated(keep=False) & a.isin(b[~b.duplicated(keep=False)])]
        if best is None or len(common) > len(best[2]):
            best, matched = (a, b, common), by
    assert best is not None
    a, b, common = best
    if not len(common):
        raise DataError(
            f"the studies have no gene in common ({a[0]} and {b[0]}, for example)",
            where=f"var of {train.card.name} and {test.card.name}",
            fix="give both Ensembl IDs or gene symbols (var['symbol'])",
        )
    notes.append(
        f"{len(common):,} common genes by {matched}: {len(a) - len(common):,} of the training study's and "
        f"{len(b) - len(common):,} of the tested study's genes are left out"
    )
    return [a.get_indexer_for(common), b.get_indexer_for(common)], pd.Index(common.astype(str))


def _usable(study: Dataset, notes: Notes) -> np.ndarray:
    keep = np.ones(study.adata.n_obs, dtype=bool)
    for column in ("is_doublet", "exclude"):
        if column in study.adata.obs:
            keep &= ~study.adata.obs[column].to_numpy(dtype=bool)
    if not keep.all():
        notes.append(f"{study.card.name}: {int((~keep).sum()):,} doublets and excluded cells are left out")
    return keep


def _obs(study: Dataset, keep: np.ndarray, mapping: Mapping[str, str], role: str) -> pd.DataFrame:
    obs, name = study.adata.obs[keep], study.card.name
    label = obs["cell_type"].astype(str).map(lambda x: mapping.get(x, x)).replace("", _LEFT_OUT)
    donor = obs["donor"].astype(str) if "donor" in obs else pd.Series("library", index=obs.index)
    table = pd.DataFrame({"donor": f"{name}:" + donor, "batch": name, "cell_type": label, "split": role})
    table.index = f"{name}:" + obs.index.astype(str)
    return table


def _compare_labels(obs: pd.DataFrame, notes: Notes) -> None:
    of = {role: set(obs.loc[obs["split"] == role, "cell_type"]) - {_LEFT_OUT} for role in ("train", "test")}
    if not of["train"] & of["test"]:
        raise DataError(
            "the studies have no label in common",
            where=f"{', '.join(sorted(of['train']))} and {', '.join(sorted(of['test']))}",
            fix="map them to common names: --labels FILE (CSV with the columns from,to)",
        )
    for role, other in (("test", "train"), ("train", "test")):
        alone = sorted(of[role] - of[other])
        if alone:
            text = f"labels of the {role} study that the {other} study does not have: {', '.join(alone)}"
            notes.append(Note(text, "warning"))
    n_left_out = int((obs["cell_type"] == _LEFT_OUT).sum())
    if n_left_out:
        notes.append(f"{n_left_out:,} cells have a label that the mapping leaves out, or none")
