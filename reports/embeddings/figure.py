"""Cells and genes as a pre-trained model sees them: the paper's figure 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from bench.reports.embeddings.tables import COLOURINGS, MARKER_COLOURS, Embedding, colours, label_places, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 24  # that a legend can hold
_INCHES = (6.0, 5.0)
_POINTS_PER_INCH = 72


def draw_cells(embedding: Embedding) -> Figure:
    """A panel for each thing that the cells can be coloured by."""
    colourings: list[str | None] = [*embedding.colourings] or [None]
    figure = Figure(figsize=(5.2 * len(colourings), 4.0), layout="constrained")
    for axes, by in zip(figure.subplots(1, len(colourings), squeeze=False)[0], colourings, strict=True):
        size = 4.0 if len(embedding.cells) < 10_000 else 1.0
        # in random order, or the last donor would hide the others
        cells = embedding.cells.sample(frac=1, random_state=0)
        values = cells[by] if by else None
        chosen = colours(values) if values is not None else {}
        colour = values.map(chosen) if values is not None else "#56758A"
        axes.scatter(cells["x"], cells["y"], s=size, c=colour, linewidths=0, rasterized=True)
        _plain(axes, COLOURINGS[by] if by else "cells")
        if by:
            legend(axes, chosen)
    return figure


def draw_genes(embedding: Embedding) -> Figure:
    """All genes in grey, the markers in colour and by name."""
    figure = Figure(figsize=(_INCHES[0] + 1.4, _INCHES[1]), layout="constrained")
    axes = figure.add_subplot()
    genes, markers = embedding.genes, embedding.markers
    axes.scatter(genes["x"], genes["y"], s=2 if len(genes) > 5_000 else 4, c="#D5DADD", linewidths=0, rasterized=True)
    size = (_INCHES[0] * _POINTS_PER_INCH, _INCHES[1] * _POINTS_PER_INCH)
    places = label_places(unit(markers, genes), markers["label"].tolist(), size)
    for row, place in zip(markers.itertuples(), places, strict=True):
        colour = MARKER_COLOURS.get(row.marker_of, "#444444")
        axes.annotate(
            row.label, (row.x, row.y), xytext=place, textcoords="offset points", ha="center", va="center",
            fontsize=6.5, color=colour, arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkB": 2},
        )  # fmt: skip
    for name, part in markers.groupby("marker_of"):
        colour = MARKER_COLOURS.get(str(name), "#444444")
        axes.scatter(part["x"], part["y"], s=16, c=colour, linewidths=0.4, edgecolors="white", zorder=3)
    _plain(axes, "genes, with marker genes named")
    present = set(markers["marker_of"])
    legend(axes, {name: colour for name, colour in MARKER_COLOURS.items() if name in present})
    return figure


def _plain(axes: Axes, title: str) -> None:
    axes.set(xlabel="UMAP 1", ylabel="UMAP 2", title=title, xticks=[], yticks=[])


def legend(axes: Axes, chosen: dict[str, str]) -> None:
    """Names of the colours beside a panel."""
    for name, colour in list(chosen.items())[:_MOST_NAMES]:
        axes.scatter([], [], s=14, c=colour, label=name, linewidths=0)
    if len(chosen) > _MOST_NAMES:
        axes.scatter([], [], s=0, label=f"and {len(chosen) - _MOST_NAMES} more")
    if chosen:
        axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, handletextpad=0.2, fontsize=7)
