"""Maps of cells and genes that ``bench embed --run`` has left in a run folder."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError

from bench.errors import BenchError
from bench.reports.run.style import PALETTE

#: What cells can be coloured by, in this order, and how it is called.
COLOURINGS = {"cell_type": "cell type", "subtype": "subtype", "donor": "donor"}
MARKER_COLOURS = {"astrocyte": "#009E73", "microglia": "#D55E00", "neuron": "#0072B2", "oligodendrocyte": "#B0528A"}
UNLABELLED, UNLABELLED_COLOUR = "not labelled", "#C8CDD1"

_COLUMNS = {"cells": {"cell", "x", "y"}, "genes": {"gene", "symbol", "x", "y", "marker_of"}}
_CHARACTER, _LINE = 6.0, 12.0  # of a label, in pixels
_DISTANCES = (14.0, 26.0, 40.0, 58.0)


class Card(BaseModel):
    """``card.json`` of an embedding."""

    model: str
    checkpoint: str
    dataset: str
    seen_in_pretraining: bool
    cells: int
    cells_without_counts: int
    cells_shown: int
    genes: int
    genes_matched: int
    seed: int


@dataclass(frozen=True)
class Embedding:
    """One model's view of one dataset.

    Parameters
    ----------
    name
        Of its folder.
    cells
        cell, x, y, and those of :data:`COLOURINGS` that are known, without missing values.
    genes
        gene, symbol, x, y, marker_of (missing for most).
    """

    name: str
    card: Card
    cells: pd.DataFrame
    genes: pd.DataFrame

    @property
    def colourings(self) -> list[str]:
        """Columns that its cells can be coloured by."""
        return [name for name in COLOURINGS if name in self.cells]

    @property
    def markers(self) -> pd.DataFrame:
        """Its marker genes by kind, with ``label``, how they are shown."""
        named = self.genes[self.genes["marker_of"].notna()]
        symbols = named["symbol"].fillna("")
        named = named.assign(label=symbols.where(symbols != "", named["gene"]))
        return named.sort_values(["marker_of", "label"], kind="stable").reset_index(drop=True)


def load(run: Path) -> list[Embedding]:
    """All embeddings of a run, by name; none if there are none.

    Raises
    ------
    bench.errors.BenchError
        If one is damaged.
    """
    folders = sorted((run / "embeddings").glob("[!.]*/"))
    return [_load(folder) for folder in folders]


def colours(values: pd.Series) -> dict[str, str]:
    """Colour of every value; the palette's first, then more of them round the colour circle."""
    names = sorted(set(values) - {UNLABELLED}, key=str.casefold)
    colour_of = {name: PALETTE[i] if i < len(PALETTE) else _more(i) for i, name in enumerate(names)}
    return colour_of | ({UNLABELLED: UNLABELLED_COLOUR} if UNLABELLED in set(values) else {})


def label_places(xy: np.ndarray, texts: Sequence[str], size: tuple[float, float]) -> np.ndarray:
    """Place labels so that they hide neither each other nor a labelled point: greedy, from left to right.

    Parameters
    ----------
    xy
        (n, 2), in [0, 1] of the panel.
    size
        Of the panel in pixels.

    Returns
    -------
    (n, 2): offsets of the labels' centres in pixels, upwards positive.
    """
    points = np.asarray(xy, dtype=float) * size
    half = np.array([[len(text) * _CHARACTER / 2 + 2, _LINE / 2] for text in texts]).reshape(-1, 2)
    angles = np.arange(0, 2 * np.pi, np.pi / 6)
    places = np.zeros_like(points)
    centres, halves = points.copy(), np.full_like(points, 3.0)  # what is taken: points first, then labels too
    for i in np.lexsort((points[:, 1], points[:, 0])):
        options = np.array(
            [
                (d + half[i, 0] * abs(np.cos(a))) * np.array([np.cos(a), 0]) + d * np.array([0, np.sin(a)])
                for d in _DISTANCES
                for a in angles
            ]
        )
        boxes = points[i] + options
        overlap = (halves[None] + half[i]) - np.abs(boxes[:, None] - centres[None])
        hidden = np.clip(overlap, 0, None).prod(axis=2).sum(axis=1)
        outside = np.clip(np.abs(boxes - np.asarray(size) / 2) + half[i] - np.asarray(size) / 2, 0, None).sum(axis=1)
        cost = hidden + 20 * outside + 0.6 * np.hypot(*options.T)
        places[i] = options[np.argmin(cost)]
        centres = np.vstack([centres, boxes[np.argmin(cost)]])
        halves = np.vstack([halves, half[i]])
    return places


def unit(frame: pd.DataFrame, within: pd.DataFrame) -> np.ndarray:
    """Points of ``frame`` in [0, 1] of the span of ``within``."""
    low, high = within[["x", "y"]].min().to_numpy(float), within[["x", "y"]].max().to_numpy(float)
    return (frame[["x", "y"]].to_numpy(float) - low) / np.where(high > low, high - low, 1.0)


def sentence(embedding: Embedding) -> str:
    """Say in words what the maps show."""
    card, mapped = embedding.card, embedding.cells
    parts = [
        f"{card.model}, checkpoint {card.checkpoint}, on {card.dataset}: {card.genes_matched:,} of its "
        f"{card.genes:,} genes are in the data."
    ]
    parts.append(f"{len(mapped):,} of {card.cells:,} cells are laid out.")
    if card.cells_without_counts:
        parts.append(f"{card.cells_without_counts:,} cells have no counts in these genes.")
    if card.seen_in_pretraining:
        parts.append("The model has seen these data in pre-training.")
    return " ".join(parts)


def _more(i: int) -> str:
    """Steps of the golden ratio round the colour circle never come close to an earlier one soon."""
    rgb = colorsys.hls_to_rgb((i * 0.618) % 1, 0.35 + 0.15 * (i % 3), 0.55)
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb)


def _load(folder: Path) -> Embedding:
    try:
        card = Card.model_validate_json((folder / "card.json").read_bytes())
        tables: dict[str, Any] = {kind: pd.read_parquet(folder / f"{kind}.parquet") for kind in _COLUMNS}
        missing = [f"{kind}.{c}" for kind, columns in _COLUMNS.items() for c in columns - set(tables[kind])]
        if missing:
            raise ValueError(f"columns missing: {', '.join(sorted(missing))}")
    except (OSError, ValueError, ValidationError) as error:
        raise BenchError(
            f"the embedding cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            fix="remove the folder, or make it again with bench embed --run",
        ) from error
    cells = tables["cells"]
    for name in COLOURINGS:
        if name in cells:
            cells[name] = cells[name].astype(object).where(cells[name].notna(), UNLABELLED).astype(str)
    return Embedding(folder.name, card, cells, tables["genes"])
