"""Scores of the track of disjoint halves: above chance, beside the floor, and the ceiling that the counts set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.problem import Score, Scored
from bench.tasks.deg.evaluate_halves import evaluate_halves
from bench.tasks.deg.problem import DegProblem
from bench.tasks.deg.statistics import donor_interval, spearman_brown
from bench.tasks.deg.truth import true_effects

if TYPE_CHECKING:
    from bench.problem import Prediction
    from bench.tasks.deg.evaluate_halves import HalvesEvaluation

#: Metric -> column of the table of cell types.
_OF_TYPES = {
    "overlap": "overlap",
    "overlap_found": "found",
    "overlap_floor": "floor",
    "jaccard": "jaccard",
    "rank_correlation": "rank_correlation",
}


def score_halves(problem: DegProblem, prediction: Prediction) -> Scored:
    """All metrics and the table ``halves``."""
    imputed, raw = evaluate_halves(prediction["expression"], problem.solution), problem.raw_halves
    table = imputed.types.merge(
        raw.types[["cell_type", "found", "floor", "overlap"]], on="cell_type", suffixes=("", "_raw")
    )
    table["ceiling"] = spearman_brown(table["overlap_raw"].to_numpy(float))
    bounds = pd.DataFrame([_interval(imputed, [name]) or (math.nan, math.nan) for name in table["cell_type"]])
    table = table.assign(low=bounds[0], high=bounds[1]) if len(table) else table
    rows = _pooled(table, imputed, raw)
    for line in table.itertuples():
        n = line.n_deg_1 + line.n_deg_2
        no_deg = "" if n else "no DEG in either half"
        for metric, column in _OF_TYPES.items():
            interval = (_bound(line.low), _bound(line.high)) if metric == "overlap" else (None, None)
            detail = no_deg if metric != "rank_correlation" else ""
            rows.append(
                Score(metric, float(getattr(line, column)), f"type:{line.cell_type}", *interval, n=n, detail=detail)
            )
        rows.append(Score("overlap_gain", line.overlap - line.overlap_raw, f"type:{line.cell_type}", n=n))
    left_out = pd.DataFrame(imputed.left_out.items(), columns=["cell_type", "reason"])
    return Scored(rows + _truth(problem, imputed), [], {"halves": table, "left_out": left_out})


def _pooled(table: pd.DataFrame, imputed: HalvesEvaluation, raw: HalvesEvaluation) -> list[Score]:
    """Means over the cell types that are compared: those without DEGs count as nothing found again."""
    if not len(table):
        why = "no cell type has enough cells in both arms of both halves"
        return [Score(metric, math.nan, detail=why) for metric in (*_OF_TYPES, "overlap_gain", "overlap_ceiling")]
    n, names = len(table), list(table["cell_type"])
    without = int((table["n_deg_1"] + table["n_deg_2"] == 0).sum())
    rows = []
    for metric, column in _OF_TYPES.items():
        values = table[column].dropna()
        detail = f"mean over {len(values)} of {n} cell types" if len(values) else "no DEG in any half"
        if without and metric.startswith("overlap"):
            detail += f"; {without} without a DEG in either half count as 0"
        interval = _interval(imputed, names) if metric == "overlap" else None
        if metric == "overlap":
            detail += "; interval over donors" if interval else "; no interval: a half has one donor of an arm"
        mean = float(values.mean()) if len(values) else math.nan
        low, high = interval or (None, None)
        rows.append(Score(metric, mean, "pooled", low, high, n=len(values), detail=detail))
    gain, bounds = float((table["overlap"] - table["overlap_raw"]).mean()), _interval(imputed, names, raw)
    low, high = bounds or (None, None)
    rows.append(Score("overlap_gain", gain, "pooled", low, high, n=n))
    found = float(table["overlap_raw"].mean())
    ceiling = float(spearman_brown(np.array([found]))[0])
    detail = f"the counts as they are reach {found:.3f} with half of the donors"
    return [*rows, Score("overlap_ceiling", ceiling, n=n, detail=detail)]


def _interval(
    results: HalvesEvaluation, names: list[str], less: HalvesEvaluation | None = None
) -> tuple[float, float] | None:
    """95 % interval over donors of the mean over cell types, or of its difference from other results."""
    means = [_without(each, names) for each in (results, less) if each is not None]
    values = means[0].assign(value=means[0]["value"] - (means[1]["value"] if less is not None else 0.0))
    bounds = donor_interval(values.reset_index(drop=True))
    if bounds is None:
        return None
    reach = 1.0 if less is None else 2.0
    return max(bounds[0], -reach), min(bounds[1], reach)


def _without(results: HalvesEvaluation, names: list[str]) -> pd.DataFrame:
    """``donor, arm, value``: the mean over cell types without each donor; a type that it lacks stays as it is."""
    wide = results.jackknife.pivot(index="donor", columns="cell_type", values="overlap")[names]
    wide = wide.fillna(wide.loc[""])
    arm = results.jackknife.drop_duplicates("donor").set_index("donor")["arm"]
    return pd.DataFrame({"donor": wide.index, "arm": arm.reindex(wide.index), "value": wide.mean(axis=1)})


def _truth(problem: DegProblem, imputed: HalvesEvaluation) -> list[Score]:
    """DEGs that both halves have, against the genes that the disease changes."""
    genes = problem.inputs.cells.var.index
    truth = true_effects(problem, genes)
    if truth is None:
        return []
    called = right = n_true = 0
    for name, signs in imputed.common.items():
        of_type = truth[truth["cell_type"] == name]
        effect = pd.Series(of_type["effect"].to_numpy(), index=of_type["gene"]).reindex(genes).fillna(0.0).to_numpy()
        called += int((signs != 0).sum())
        right += int(((signs != 0) & (signs == np.sign(effect))).sum())
        n_true += len(of_type)
    share = right / called if called else math.nan
    why = "" if called else "no DEG in both halves"
    return [
        Score("truth_precision", share, n=called, detail=why),
        Score("truth_fdr", 1 - share, n=called, detail=why),
        Score("truth_recall", right / n_true if n_true else math.nan, n=n_true),
    ]


def _bound(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
