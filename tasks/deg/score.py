"""From an expression matrix to rows and tables: the method beside the counts as they are, on the same draws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.problem import Curve, Score, Scored
from bench.tasks.deg.compare import DIRECTIONS
from bench.tasks.deg.design import RATIOS, designs, no_permutation
from bench.tasks.deg.evaluate import evaluate
from bench.tasks.deg.null import ALPHAS
from bench.tasks.deg.problem import DegProblem, too_few
from bench.tasks.deg.report_tables import (
    left_out_table,
    null_table,
    overlap_table,
    paired_draws,
    volcano_table,
)
from bench.tasks.deg.score_halves import score_halves
from bench.tasks.deg.truth import against_pseudobulk, against_truth, precision_recall, true_effects

if TYPE_CHECKING:
    from bench.problem import Prediction, Problem
    from bench.tasks.deg.evaluate import Evaluation

#: Metrics of a draw, in the columns of :func:`bench.tasks.deg.compare.compare`.
OF_DRAWS = ("overlap", "jaccard", "precision", "rank_correlation")


def score(problem: Problem, prediction: Prediction) -> Scored:
    """All metrics and tables."""
    assert isinstance(problem, DegProblem)
    if problem.inputs.apart:
        return score_halves(problem, prediction)
    genes = problem.inputs.cells.var.index
    imputed = evaluate(prediction["expression"], problem.solution, genes)
    overlap = overlap_table(imputed, problem.raw)
    null = null_table(imputed.null)
    withheld = {
        design.name: reason
        for design in designs(problem.solution)
        if design.name in set(imputed.sizes["cell_type"])
        and (reason := no_permutation(*(design.samples[name].to_numpy() for name in ("donor", "case"))))
    }
    truth = true_effects(problem, genes)
    reference = problem.pseudobulk
    bulk = against_pseudobulk(imputed.deg, reference.table)
    tables = {
        "overlap": overlap,
        "null": null,
        "qq": imputed.qq,
        "volcano": volcano_table(imputed.deg, problem.inputs.cells.var, truth),
        "pseudobulk": bulk,
        "left_out": left_out_table(too_few(problem.solution), reference.left_out, overlap),
        "deg": imputed.deg.assign(replicate="full"),
    }
    headline = _headline(imputed)
    rows = _of_draws(imputed, overlap, headline) + _sizes(imputed) + _false_positives(null, withheld)
    x, y = _mean_curve(overlap)
    curves = [Curve("overlap", x, y)] if len(x) > 1 else []
    rows += _agreement(bulk, reference.left_out)
    name = "subsets" if imputed.draws["ratio"].nunique() < len(RATIOS) else "draws"
    tables[name] = paired_draws(imputed, problem.raw)
    if truth is not None:
        truth_table = against_truth(imputed.deg, truth, list(imputed.sizes["cell_type"]))
        by_type = {name: precision_recall(imputed.deg, truth, name) for name in imputed.sizes["cell_type"]}
        tables |= {"truth": truth_table, "pr": pd.concat([points for points, _ in by_type.values()], ignore_index=True)}
        rows += _of_truth(truth_table, {name: average for name, (_, average) in by_type.items()})
    return Scored(rows, curves, tables)


def _headline(imputed: Evaluation) -> float:
    """The ratio whose numbers are pooled: half of the cells, or the only one there is."""
    ratios = imputed.draws["ratio"].unique()
    return 0.5 if 0.5 in ratios else float(ratios.max())


def _of_draws(imputed: Evaluation, overlap: pd.DataFrame, headline: float) -> list[Score]:
    """Means over draws of each type, ratio and direction, and their means over types."""
    means = imputed.draws.groupby(["cell_type", "ratio", "direction"])[list(OF_DRAWS)].mean()
    rows = []
    of_both = means.xs("both", level="direction")
    for metric in OF_DRAWS:
        for ratio, values in of_both[metric].groupby("ratio"):
            unit = "pooled" if ratio == headline else f"ratio:{_percent(ratio)}"
            rows.append(_mean(metric, values, unit))
        for (name, ratio), value in of_both[metric].items():
            where = f"type:{name}" if ratio == headline else f"type:{name},ratio:{_percent(ratio)}"
            n = int(imputed.sizes.set_index("cell_type").loc[name, ["n_case", "n_control"]].sum())
            rows.append(Score(metric, float(value), where, n=n, detail=_why(metric) if math.isnan(value) else ""))
    at = overlap[(overlap["ratio"] == headline) & (overlap["direction"] != "both")]
    for direction, part in at.groupby("direction"):
        rows.append(_mean("overlap", part["mean"], f"direction:{direction}"))
    gain = overlap[(overlap["ratio"] == headline) & (overlap["direction"] == "both")]
    rows.append(_mean_gain(gain))
    for line in gain.itertuples():
        rows.append(_gain(line))
    return rows


def _mean_gain(gain: pd.DataFrame) -> Score:
    """Mean over the types that have DEGs with and without imputation, which may be fewer than have an overlap."""
    both = gain.dropna(subset=["mean", "mean_raw"])
    row = _mean("overlap_gain", both["mean"] - both["mean_raw"], "pooled")
    if not len(both):
        return row
    detail = f"over the {len(both)} of {len(gain)} cell types with DEGs in both; there the overlap is "
    detail += f"{both['mean'].mean():.3f} with imputation, {both['mean_raw'].mean():.3f} without"
    return replace(row, detail=detail)


def _percent(ratio: float) -> int:
    return round(100 * ratio)


def _gain(line) -> Score:
    """The difference from the counts as they are, with every test there is of it."""
    value = line.mean - line.mean_raw
    if math.isnan(value):
        missing = [who for who, n in (("the method", line.n_deg_full), ("raw", line.n_deg_full_raw)) if not n]
        detail = f"no DEG in the full data of {' and '.join(missing)}" if missing else "no draw could be tested"
        return Score("overlap_gain", math.nan, f"type:{line.cell_type}", detail=detail)
    low, high = (None, None) if math.isnan(line.diff_low) else (line.diff_low, line.diff_high)
    detail = f"paired t-test over {line.n_both} draws (the paper's) p = {line.p_paper:.2g}, corrected p = "
    detail += f"{line.p_corrected:.2g}; " + ("interval over donors" if low is not None else "no interval")
    return Score("overlap_gain", value, f"type:{line.cell_type}", low, high, n=line.n_both, detail=detail)


def _mean(metric: str, values: pd.Series, unit: str) -> Score:
    """Mean over the cell types in which a metric is defined; ``n`` is their number."""
    defined = values.dropna()
    detail = f"mean over {len(defined)} of {len(values)} cell types" if len(defined) else _why(metric)
    return Score(metric, float(defined.mean()) if len(defined) else math.nan, unit, n=len(defined), detail=detail)


def _why(metric: str) -> str:
    return {
        "overlap": "no DEG in the full data",
        "jaccard": "no DEG in the full data or in any draw",
        "precision": "no DEG in any draw",
        "rank_correlation": "fewer than 3 genes change enough to be tested, or all change alike",
        "overlap_gain": "no cell type has DEGs in the full data, with and without imputation",
    }[metric]


def _sizes(imputed: Evaluation) -> list[Score]:
    sizes = imputed.sizes.assign(n_deg=imputed.sizes["n_up"] + imputed.sizes["n_down"])
    rows = [Score("n_deg_full", float(sizes["n_deg"].sum()), n=len(sizes), detail="sum over cell types")]
    for line in sizes.itertuples():
        detail = f"{line.n_up} up, {line.n_down} down; {line.n_case} case and {line.n_control} control cells"
        rows.append(
            Score(
                "n_deg_full",
                float(line.n_deg),
                f"type:{line.cell_type}",
                n=line.n_case + line.n_control,
                detail=detail,
            )
        )
    return rows


def _false_positives(null: pd.DataFrame, withheld: dict[str, str]) -> list[Score]:
    """Share of p below alpha with the condition permuted; ``detail`` says where that is too many, or why there is none.

    Parameters
    ----------
    withheld
        Cell type -> why the condition is not permuted among its donors.
    """
    rows = []
    for kind, missing in (("cells", {}), ("donors", withheld)):
        metric = f"fpr_{kind}"
        at = null[(null["kind"] == kind) & (null["alpha"] == ALPHAS[0])]
        rows += [Score(metric, math.nan, f"type:{name}", detail=reason) for name, reason in missing.items()]
        if not len(at):
            detail = "; ".join(dict.fromkeys(missing.values())) or "no gene is expressed by enough cells to be tested"
            rows.append(Score(metric, math.nan, detail=detail))
            continue
        for line in at.itertuples():
            detail = f"EXCEEDS alpha = {line.alpha:g}" if line.low > line.alpha else ""
            rows.append(Score(metric, line.fpr, f"type:{line.cell_type}", line.low, line.high, line.n_tests, detail))
        above = sorted(at.loc[at["low"] > at["alpha"], "cell_type"])
        remarks = [f"EXCEEDS alpha = {ALPHAS[0]:g} in {len(above)} of {len(at)} cell types"] if above else []
        remarks += [f"mean over {len(at)} of {len(at) + len(missing)} cell types"] if missing else []
        rows.append(Score(metric, float(at["fpr"].mean()), n=int(at["n_tests"].sum()), detail="; ".join(remarks)))
    return rows


def _of_truth(truth_table: pd.DataFrame, average: dict[str, float]) -> list[Score]:
    rows = []
    both = truth_table[truth_table["direction"] == "both"]
    called, right, true = (int(both[c].sum()) for c in ("n_called", "n_right", "n_true"))
    pooled = {
        "truth_precision": (right / called if called else math.nan, called),
        "truth_recall": (right / true if true else math.nan, true),
        "truth_fdr": (1 - right / called if called else math.nan, called),
        "truth_auprc": (float(np.nanmean(list(average.values()))) if true else math.nan, true),
    }
    for metric, (value, n) in pooled.items():
        rows.append(Score(metric, value, n=n, detail="" if not math.isnan(value) else "no DEG in the full data"))
    for line in both.itertuples():
        values = (line.precision, line.recall, line.fdr, average[line.cell_type])
        for metric, value in zip(pooled, values, strict=True):
            rows.append(Score(metric, value, f"type:{line.cell_type}", n=line.n_called))
    return rows


def _agreement(bulk: pd.DataFrame, left_out: dict[str, str]) -> list[Score]:
    """MAST's DEGs that a test of donors finds as well, and the donors' that MAST finds."""
    both = bulk[bulk["direction"] == "both"]
    shared = int(both["n_both"].sum())
    rows = []
    for metric, column in (("pseudobulk_precision", "n_mast"), ("pseudobulk_recall", "n_pseudobulk")):
        n = int(both[column].sum())
        why = "; ".join(dict.fromkeys(left_out.values())) if not len(both) else "no DEG to take a share of"
        rows.append(Score(metric, shared / n if n else math.nan, n=n, detail="" if n else why))
    return rows


def _mean_curve(overlap: pd.DataFrame) -> tuple[list[float], list[float]]:
    mean = overlap[overlap["direction"] == list(DIRECTIONS)[-1]].groupby("ratio")["mean"].mean()
    return [float(x) for x in mean.index], [float(y) for y in mean]
