"""The data that the HTML carries: what its figures, tables and CSV downloads are made of."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.reports.classes import label_levels, same_cells, supplementary
from bench.reports.classes import payload as class_payload
from bench.reports.classes import tables as class_tables
from bench.reports.deg import payload as deg_payload
from bench.reports.embeddings import tables as embedding_tables
from bench.reports.figures.curves import CURVES, DIAGONAL
from bench.reports.imputation import tables as imputation_tables
from bench.reports.integration import tables as integration_tables
from bench.reports.run import caveats, gaps, overview, published, tables
from bench.reports.run.load import Run
from bench.reports.run.ranks import POLICIES, comparisons, power_notes, ranking
from bench.reports.run.standing import not_compared
from bench.reports.run.style import styles
from bench.reports.run.words import rounded
from bench.results.records import TaskCard

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Budget for the results in the HTML, in bytes; beyond it per-donor rows are left out, of minor metrics first.
ROWS_BUDGET = 2_600_000
CURVES_BUDGET = 1_400_000
#: Cells and genes of all maps in the HTML; the figures' files show all.
POINTS_BUDGET = 24_000
_MOST_POINTS = 6_000  # of one map: more would make the page slow, since they are drawn as SVG
#: Size of a map in the page, in pixels, for which the labels of marker genes are placed.
_MAP = (520.0, 400.0)
#: Bytes that one row, and one point of a curve, take.
_ROW_BYTES = 75
_POINT_BYTES = 13

ROW_FIELDS = ["unit", "metric", "value", "ci_low", "ci_high", "n"]


def payload(run: Run, embeddings: Sequence[embedding_tables.Embedding]) -> dict[str, Any]:
    """Everything the page's script needs, as plain JSON."""
    trials = tables.trials(run)
    rows, left_out = _fitting(run)
    position = {key: i for i, key in enumerate(trials["trial"])}
    return {
        "tasks": {name: _task(run, card) for name, card in run.tasks.items()},
        "trials": _columns(trials.drop(columns="split")),
        "rows": {"trial": rows["trial"].map(position).tolist(), **_columns(rows[[*ROW_FIELDS, "detail"]])},
        "rowsLeftOut": left_out,
        "fromPaths": sorted({name for request in run.requests for name in request.paths}),
        "curves": _curves(run, position),
        "intervals": tables.INTERVALS,
        "curveNames": {name: {**words, "diagonal": name in DIAGONAL} for name, words in CURVES.items()},
        "embeddings": [_embedding(e, len(embeddings)) for e in embeddings],
    }


def embed(value: Any) -> str:
    """JSON as zlib in base64: a fifth of its size, and free of markup whatever strings it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _task(run: Run, card: TaskCard) -> dict[str, Any]:
    metric, parts = tables.headline(card), tables.part_metrics(run, card.name)
    order = tables.label_order(run, card.name)
    return {
        "metrics": [asdict(m) for m in card.metrics if m.name not in parts],
        "headline": metric.name if metric else "",
        "main": [name for name in tables.main_metrics(card) if name not in parts],
        "pairs": [list(pair) for pair in tables.pairs(run, card.name)],
        "notCompared": {"/".join(pair): why for pair, why in not_compared(run, card).items()},
        "overview": _overview(run, card),
        "means": _means(run, card),
        "tracks": {name: asdict(track) for name, track in card.tracks.items()},
        "labels": [{"label": label, "role": role} for label, role in order],
        "styles": styles(order),
        "cells": _status_cells(run, card.name),
        "ranks": _ranking(run, card),
        "classes": class_payload.of_task(run, card.name),
        "sameCells": _records(same_cells.comparisons(run, card.name)),
        "supplementary": _supplementary_table(run, card),
        "levels": _records(label_levels.consistency(run, card.name)),
        "gaps": _records(gaps.of_task(run, card)),
        "imputation": imputation_tables.of_task(run, card.name),
        "integration": integration_tables.of_task(run, card.name),
        "deg": {name: _columns(frame) for name, frame in deg_payload.frames(run, card.name).items()},
        "volcanoes": deg_payload.volcanoes(run, card.name),
        "published": [
            {
                "title": source.title,
                "reference": source.reference,
                "remark": source.remarks.get(card.name, ""),
                "rows": _records(table.drop(columns="task")),
            }
            for source, table in published.published(card.name)
        ],
    }


def _overview(run: Run, card: TaskCard) -> dict[str, Any]:
    rows = overview.rows(run, card)
    panels = {}
    for (track, dataset), panel in rows.groupby(["track", "dataset"], sort=False):
        name = f"{track}/{dataset}"
        numbers = panel.select_dtypes("number").astype(float).map(rounded)
        panels[name] = {
            "flags": caveats.flags(run, card, str(track), str(dataset)),
            "span": overview.span(panel),
            "rows": _columns(panel.drop(columns=["track", "dataset"]).assign(**numbers).astype({"flags": "string"})),
        }
    return {"metrics": [m.name for m in overview.other_metrics(run, card)], "panels": panels}


def _means(run: Run, card: TaskCard) -> dict[str, Any]:
    """Means over several trials, of every unit that is no part; what one trial gives stands in ``rows``."""
    units = run.rows.loc[run.rows["task"] == card.name, "unit"].dropna().unique()
    frames = [tables.cells(run, unit).assign(unit=unit) for unit in sorted(units) if ":" not in unit]
    frame = pd.concat(frames) if frames else tables.cells(run).assign(unit="pooled")
    frame = frame[(frame["task"] == card.name) & (frame["trials"] > 1)]
    return _columns(frame.drop(columns=["task", "role"]).astype({"unit": "string", "interval": "string"}))


def _supplementary_table(run: Run, card: TaskCard) -> dict[str, Any] | None:
    frame = supplementary.table(run, card.name)
    if frame.empty:
        return None
    headline = tables.headline(card)
    return {
        "headline": headline.name if headline else "",
        "metrics": supplementary.metrics(frame),
        "rows": _columns(frame),
    }


def _ranking(run: Run, card: TaskCard) -> dict[str, Any]:
    ranks = ranking(run, card)
    return {
        "policies": _records(ranks.policies.drop(columns="task")),
        "policyNames": POLICIES,
        "within": _records(ranks.within.drop(columns="task")),
        "tests": _records(comparisons(run, card).drop(columns="task", errors="ignore")),
        "notes": power_notes(run, card),
        "unranked": ranks.unranked,
    }


def _status_cells(run: Run, task: str) -> list[dict[str, Any]]:
    frame = tables.coverage(run)
    return _records(frame[frame["task"] == task].drop(columns="task"))


def _fitting(run: Run) -> tuple[pd.DataFrame, str]:
    """The scored rows that fit the budget, and a sentence about those that do not."""
    scored = run.rows[run.rows["metric"].notna()]
    if len(scored) * _ROW_BYTES <= ROWS_BUDGET:
        return scored, ""
    main = {(name, metric) for name, card in run.tasks.items() for metric in tables.main_metrics(card)}
    top = {(name, m.name) for name, card in run.tasks.items() if (m := tables.headline(card))}
    pair = pd.MultiIndex.from_frame(scored[["task", "metric"]])
    units = scored["unit"].unique()
    part = scored["unit"].isin([unit for unit in units if ":" in unit])
    each = "per-donor and per-class" if any(u.startswith(class_tables.UNIT) for u in units) else "per-donor"
    choices = [
        (~part | pair.isin(main), f"{each} rows of minor metrics"),
        (~part | pair.isin(top), f"{each} rows of all metrics but the headline one"),
        (~part, f"all {each} rows"),
        (~part & pair.isin(main), f"all {each} rows and all minor metrics"),
        (~part & pair.isin(top), "everything but the headline metric"),
    ]
    fitting = (choice for choice in choices if choice[0].sum() * _ROW_BYTES <= ROWS_BUDGET)
    keep, left_out = next(fitting, choices[-1])
    return scored[
        keep
    ], f"To keep this file small it leaves out {left_out}: {int((~keep).sum()):,} rows, all of them in results.csv."


def _curves(run: Run, position: dict[str, int]) -> dict[str, Any]:
    """Curves as lists of points, evenly thinned and rounded for drawing; ``curves.csv`` has them in full."""
    (trial, trials), (curve, names) = (pd.factorize(run.curves[name], sort=True) for name in ("trial", "curve"))
    order = np.lexsort((curve, trial))
    trial, curve = trial[order], curve[order]
    starts = np.flatnonzero(np.diff(trial, prepend=-1) | np.diff(curve, prepend=-1)).tolist()
    x, y = (np.round(run.curves[axis].to_numpy(float, na_value=np.nan)[order], 4) for axis in ("x", "y"))
    limit = max(12, CURVES_BUDGET // (_POINT_BYTES * max(len(starts), 1)))
    out: dict[str, list[Any]] = {"trial": [], "curve": [], "x": [], "y": []}
    for start, stop in itertools.pairwise([*starts, len(order)]):
        keep = [start + i for i in _evenly(stop - start, limit)]
        out["trial"].append(position[trials[trial[start]]])
        out["curve"].append(names[curve[start]])
        out["x"].append(_numbers(x[keep]))
        out["y"].append(_numbers(y[keep]))
    return out


def _embedding(embedding: embedding_tables.Embedding, of: int) -> dict[str, Any]:
    """Points of the two maps, thinned at random and rounded for drawing; no marker gene is left out."""
    limit = min(_MOST_POINTS, POINTS_BUDGET // (2 * of))
    markers = embedding.markers
    others = embedding.genes[embedding.genes["marker_of"].isna()]
    cells, genes = (_thinned(frame, limit) for frame in (embedding.cells, others))
    places = embedding_tables.label_places(
        embedding_tables.unit(markers, embedding.genes), markers["label"].tolist(), _MAP
    )
    marker_rows = markers[["label", "gene", "marker_of"]].assign(
        x=markers["x"].astype(float).round(3),
        y=markers["y"].astype(float).round(3),
        ax=places[:, 0].round(1),
        ay=-places[:, 1].round(1),
        colour=[embedding_tables.MARKER_COLOURS.get(kind, "#444444") for kind in markers["marker_of"]],
    )
    symbols = genes["symbol"].fillna("")
    return {
        "model": embedding.card.model,
        "dataset": embedding.card.dataset,
        "colourings": [[name, embedding_tables.COLOURINGS[name]] for name in embedding.colourings],
        "colours": {name: embedding_tables.colours(embedding.cells[name]) for name in embedding.colourings},
        "cells": {**_xy(cells), **_columns(cells[embedding.colourings].astype("string"))},
        "genes": {**_xy(genes), "label": symbols.where(symbols != "", genes["gene"]).tolist()},
        "markers": _records(marker_rows),
    }


def _thinned(frame: pd.DataFrame, limit: int) -> pd.DataFrame:
    return frame if len(frame) <= limit else frame.sample(limit, random_state=0).sort_index()


def _xy(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {axis: _numbers(frame[axis].to_numpy(float, na_value=np.nan).round(3)) for axis in ("x", "y")}


def _evenly(n: int, limit: int) -> list[int]:
    return list(range(n)) if n <= limit else sorted({round(i * (n - 1) / (limit - 1)) for i in range(limit)})


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Column -> values; repeated strings as ``{words, codes}`` (code -1: missing)."""
    out: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_string_dtype(column.dtype):
            codes, words = pd.factorize(column, sort=True)
            out[name] = {"words": [str(w) for w in words], "codes": codes.tolist()}
        else:
            numbers = _numbers(column.to_numpy(dtype=float, na_value=np.nan))
            whole = pd.api.types.is_integer_dtype(column.dtype)
            out[name] = [v if v is None else int(v) for v in numbers] if whole else numbers
    return out


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [frame[name].astype(object).mask(_lacks(frame[name]), None).tolist() for name in frame]
    return [dict(zip(map(str, frame.columns), values, strict=True)) for values in zip(*columns, strict=True)]


def _lacks(column: pd.Series) -> pd.Series:
    """Return which values JSON does not have: missing, or not finite."""
    return column.isin([np.inf, -np.inf]) | column.isna()


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """JSON numbers; what is not finite becomes null."""
    return [v if ok else None for v, ok in zip(values.tolist(), np.isfinite(values), strict=True)]
