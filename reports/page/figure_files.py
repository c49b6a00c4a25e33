"""Static figures, a module each: ``prepare(run, task)`` gives the tidy frame, ``draw(run, task, frame)`` draws it.

To add one, write the module and name it in :data:`FIGURES`; with ``PER_PAIR = True`` it is drawn once for each
track and dataset, with ``PARQUET = True`` its data lie there as parquet, too. Its interactive twin is a function of
the page's scripts.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import matplotlib

from bench.reports.classes import supplementary
from bench.reports.classes.figures import by_class, cell_maps, confusion, hierarchy, levels, lost, same_cells
from bench.reports.deg import tables as deg_tables
from bench.reports.deg.figures import null, overlap, pr, qq, ratios, subsets, volcano
from bench.reports.embeddings import figure as embedding_figure
from bench.reports.embeddings.tables import Embedding
from bench.reports.figures import coverage, curves, donors, heatmap, ranks, resources, summary
from bench.reports.imputation import tables as imputation_tables
from bench.reports.imputation.figures import expression_bins, group_bars, joint, zeros
from bench.reports.integration.figures import resolutions, umaps
from bench.reports.run.load import Run
from bench.system import replacing
from bench.words import csv_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Name -> module, in the order of the report.
FIGURES = {
    "summary": summary,
    "coverage": coverage,
    "heatmap": heatmap,
    "curves": curves,
    "resources": resources,
    "donors": donors,
    "hierarchy": hierarchy,
    "classes": by_class,
    "lost": lost,
    "levels": levels,
    "cell_map": cell_maps,
    "confusion": confusion,
    "same_cells": same_cells,
    "joint": joint,
    "group_bars": group_bars,
    "expression_bins": expression_bins,
    "zeros": zeros,
    "umaps": umaps,
    "resolutions": resolutions,
    "deg_overlap": overlap,
    "deg_ratios": ratios,
    "deg_subsets": subsets,
    "deg_null": null,
    "deg_qq": qq,
    "deg_pr": pr,
    "volcano": volcano,
    "ranks": ranks,
}
#: Tables without a figure of their own that lie beside the figures as CSV and parquet: what makes each for a task.
TABLES: dict[str, Callable[[Run, str], pd.DataFrame]] = {
    "summary_table": summary.table,
    "groups": imputation_tables.groups,
    "supplementary_table_4": supplementary.table,
    **{name: functools.partial(deg_tables.plain, name=name) for name in ("truth", "pseudobulk", "left_out")},
}

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "hatch.linewidth": 0.4,
    "text.parse_math": False,  # names of cell types and genes may hold a dollar sign
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
_DPI = 160
#: Without these, two reports of the same run would differ by a date.
_METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}


def write_figures(run: Run, embeddings: Sequence[Embedding], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw every figure that has data into ``folder``, once per format and task, with its data as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, module in FIGURES.items():
        for task in run.tasks:
            frame = module.prepare(run, task)
            if frame.empty:
                continue
            stem = folder / (name if len(run.tasks) == 1 else f"{task}_{name}")
            if getattr(module, "PARQUET", False):
                _keep(frame, Path(f"{stem}.parquet"))
            for part, rows in _parts(module, frame):
                with matplotlib.rc_context(_STYLE):
                    paths += _save(module.draw(run, task, rows), Path(f"{stem}{part}"), rows, formats)
    for name, make in TABLES.items():
        for task in run.tasks:
            frame = make(run, task)
            if len(frame):
                stem = folder / (name if len(run.tasks) == 1 else f"{task}_{name}")
                for kind in ("csv", "parquet"):
                    _keep(frame, Path(f"{stem}.{kind}"))
    for embedding in embeddings:
        for kind, frame, draw in (
            ("cells", embedding.cells, embedding_figure.draw_cells),
            ("genes", embedding.genes, embedding_figure.draw_genes),
        ):
            with matplotlib.rc_context(_STYLE):
                paths += _save(draw(embedding), folder / f"embedding_{embedding.name}_{kind}", frame, formats)
    return paths


def _parts(module: ModuleType, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a figure's data by file, with the end of its name: by (track, dataset) where a module asks for it."""
    if not getattr(module, "PER_PAIR", False):
        return [("", frame)]
    pairs = frame.groupby(["track", "dataset"], sort=True)
    return [
        (re.sub(r"[^\w.-]+", "_", f"_{track}_{dataset}"), part.reset_index(drop=True))
        for (track, dataset), part in pairs
    ]


def _save(figure: Figure, stem: Path, frame: pd.DataFrame, formats: Sequence[str]) -> list[Path]:
    """Write a figure in each format, and its data beside it."""
    _keep(frame, Path(f"{stem}.csv"))
    # settled once: otherwise every format nudges the layout of the next, and draws the figure once more to measure it
    figure.set_dpi(_DPI)
    paths = [Path(f"{stem}.{kind}") for kind in formats]
    with warnings.catch_warnings():
        # names in a script that the font lacks: boxes in the figure, and not a line for each character and drawing
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        box = figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])
        for path in paths:
            with replacing(path) as aside:
                figure.savefig(aside, dpi=_DPI, bbox_inches=box, metadata=_METADATA[path.suffix[1:]])
    return paths


def _keep(frame: pd.DataFrame, file: Path) -> None:
    with replacing(file) as aside:
        if file.suffix == ".csv":
            aside.write_text(csv_text(frame), encoding="utf-8", newline="")
        else:
            frame.to_parquet(aside, index=False)
