"""Embeddings in the plane, as in the paper's figure 2, kept in a run folder for its report."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bench.dataset import CountStore
from bench.methods.nn.embed.embedding import is_embedded
from bench.methods.nn.genes import GeneMap, Genes
from bench.system import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Of the layout, and of the choice of cells where there are too many.
SEED = 0
#: More cells than that are thinned out at random before they are laid out.
MOST_CELLS = 50_000
LABELS = ("donor", "cell_type", "subtype")

_N_NEIGHBORS = 15
_FEWEST = 4  # below, UMAP has no spectral start


@cache
def markers() -> pd.DataFrame:
    """Ten genes each that mark astrocytes, microglia, oligodendrocytes and neurons: marker_of, symbol, ensembl.

    The paper labels as many of the same four types and names none of them; these are ours.
    """
    with (files(__package__) / "markers.csv").open() as file:
        return pd.read_csv(file)


def map_of_cells(embedding: NDArray[np.float32], store: CountStore) -> pd.DataFrame:
    """Cells in the plane: cell, x, y, and those of :data:`LABELS` that the data have.

    Left out are cells without an embedding and those marked ``exclude``; :data:`MOST_CELLS` at most are kept. As in
    the paper's code, dimensions are standardised and cells compared by correlation.
    """
    obs = store.obs
    drawn = is_embedded(embedding)
    if "exclude" in obs:
        drawn &= ~obs["exclude"].to_numpy(bool)
    cells = np.flatnonzero(drawn)
    if len(cells) > MOST_CELLS:
        cells = np.sort(np.random.default_rng(SEED).choice(cells, MOST_CELLS, replace=False))
    frame = _frame(obs.index[cells].astype(str), "cell", _in_the_plane(_standardised(embedding[cells]), "correlation"))
    for field in LABELS:
        if field in obs:
            values = obs[field].iloc[cells].astype(object)
            frame[field] = values.where(values.notna(), None).to_numpy()
    return frame


def map_of_genes(vectors: NDArray[np.float32], genes: Genes, var: pd.DataFrame, gene_map: GeneMap) -> pd.DataFrame:
    """Genes of the model in the plane: gene, symbol, x, y, marker_of (missing for most). Compared by cosine.

    Parameters
    ----------
    vectors
        (genes of the model, d_model).
    var
        Genes of the data in their order; their symbols fill those that the model does not know.
    gene_map
        Where the model's genes are in the data.
    """
    symbols = list(genes.symbols)
    if "symbol" in var:
        for position, symbol in zip(gene_map.target, var["symbol"].fillna("").astype(str), strict=True):
            if position >= 0 and not symbols[position] and symbol != genes.ids[position]:
                symbols[position] = symbol
    frame = _frame(pd.Index(genes.ids), "gene", _in_the_plane(vectors.astype(np.float64), "cosine"))
    frame.insert(1, "symbol", symbols)
    frame["marker_of"] = [_marked(name, symbol) for name, symbol in zip(genes.ids, symbols, strict=True)]
    return frame


def write_maps(run: Path, name: str, cells: pd.DataFrame, genes: pd.DataFrame, card: Mapping[str, Any]) -> Path:
    """Put the maps into ``run/embeddings/name`` in one step, in place of earlier ones of the same name."""
    folder = run / "embeddings" / re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as aside:
        aside.mkdir()
        cells.to_parquet(aside / "cells.parquet", index=False)
        genes.to_parquet(aside / "genes.parquet", index=False)
        (aside / "card.json").write_text(json.dumps(card, indent=1))
    return folder


def _in_the_plane(points: NDArray[np.float64], metric: Literal["correlation", "cosine"]) -> NDArray[np.float32]:
    """UMAP of ``points`` (n, d), (n, 2)."""
    if len(points) < 3:  # two points have no neighbourhood that a layout could show
        return np.array([[float(i), 0.0] for i in range(len(points))], dtype=np.float32).reshape(-1, 2)
    import scanpy as sc
    from anndata import AnnData

    adata = AnnData(points.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns of the seed that it was given, scanpy of small neighbourhoods
        n_neighbors = min(_N_NEIGHBORS, len(points) - 1)
        sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep="X", metric=metric, random_state=SEED)
        start: Literal["spectral", "random"] = "spectral" if len(points) >= _FEWEST else "random"
        sc.tl.umap(adata, min_dist=0.1, random_state=SEED, init_pos=start)
    return np.asarray(adata.obsm["X_umap"], dtype=np.float32)


def _standardised(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Every dimension with mean 0 and standard deviation 1."""
    if not len(points):
        return points.astype(np.float64)
    mean, spread = points.mean(axis=0, dtype=np.float64), points.std(axis=0, dtype=np.float64)
    return (points - mean) / np.where(spread > 0, spread, 1.0)


def _frame(names: pd.Index, kind: str, plane: NDArray[np.float32]) -> pd.DataFrame:
    return pd.DataFrame({kind: names.to_numpy(), "x": plane[:, 0], "y": plane[:, 1]})


@cache
def _marker_names() -> dict[str, str]:
    table = markers()
    return {name: row.marker_of for row in table.itertuples() for name in (row.symbol, row.ensembl)}


def _marked(name: str, symbol: str) -> str | None:
    """Type of the cells that a gene marks; symbols of mice differ from human ones by their case."""
    marker_of = _marker_names()
    return marker_of.get(name) or marker_of.get((symbol or name).upper())
