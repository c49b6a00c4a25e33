"""Tables of the DEG task for the report, and for whoever wants to compute the scores again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bench.tasks.deg.null import ALPHAS
from bench.tasks.deg.statistics import corrected_p, donor_interval, paired_p
from bench.tasks.deg.truth import directions

if TYPE_CHECKING:
    from bench.tasks.deg.evaluate import Evaluation

_KEYS = ["cell_type", "ratio", "direction"]
#: Genes of a cell type in a volcano plot, unless more are significant.
_VOLCANO_GENES = 1000


def paired_draws(imputed: Evaluation, raw: Evaluation) -> pd.DataFrame:
    """``cell_type, ratio, direction, subset, overlap, overlap_raw, n_deg, n_cells``: a row a draw."""
    columns = [*_KEYS, "draw", "overlap"]
    both = imputed.draws.merge(raw.draws[columns], on=columns[:-1], suffixes=("", "_raw"))
    both = both.rename(columns={"draw": "subset"})
    return both[[*_KEYS, "subset", "overlap", "overlap_raw", "n_deg", "n_cells"]]


def overlap_table(imputed: Evaluation, raw: Evaluation) -> pd.DataFrame:
    """A row a cell type, ratio and direction.

    ``mean, sd, n`` of the overlap over draws, the same of the counts as they are (``_raw``), ``p_paper``,
    ``p_corrected`` of their difference on the ``n_both`` draws that have both, ``low, high`` and
    ``diff_low, diff_high`` (95 % intervals over donors, of the overlap and of its difference from raw; only at the
    ratio that is pooled), ``n_deg_full``, ``n_deg_full_raw``, ``n_case``, ``n_control``, and ``detail``: why an overlap
    is missing.
    """
    draws = paired_draws(imputed, raw)
    rows = []
    for keys, part in draws.groupby(_KEYS, sort=False):
        difference = (part["overlap"] - part["overlap_raw"]).dropna().to_numpy()
        row = dict(zip(_KEYS, keys, strict=True))
        for suffix in ("", "_raw"):
            values = part[f"overlap{suffix}"].dropna()
            row |= {f"mean{suffix}": values.mean(), f"sd{suffix}": values.std(), f"n{suffix}": len(values)}
        row |= {
            "n_both": len(difference),
            "p_paper": paired_p(difference),
            "p_corrected": corrected_p(difference, float(row["ratio"])),
        }
        rows.append(row)
    table = pd.DataFrame(rows).merge(_intervals(imputed, raw), on=["cell_type", "direction"], how="left")
    at_headline = table["ratio"].eq(0.5) if table["ratio"].nunique() > 1 else pd.Series(True, index=table.index)
    table.loc[~at_headline, ["low", "high", "diff_low", "diff_high"]] = np.nan
    table = table.merge(_full(imputed), on=["cell_type", "direction"])
    of_raw = _full(raw).drop(columns=["n_case", "n_control"])
    table = table.merge(of_raw, on=["cell_type", "direction"], suffixes=("", "_raw"))
    table["detail"] = np.where(
        table["n_deg_full"] == 0, "no DEG in the full data", np.where(table["n"] == 0, "no draw can be tested", "")
    )
    return table


def _full(results: Evaluation) -> pd.DataFrame:
    """DEGs of the full data by direction, and cells of each arm."""
    sizes = results.sizes.assign(up=results.sizes["n_up"], down=results.sizes["n_down"])
    sizes["both"] = sizes["up"] + sizes["down"]
    return sizes.melt(
        ["cell_type", "n_case", "n_control"], ["up", "down", "both"], var_name="direction", value_name="n_deg_full"
    )


def _intervals(imputed: Evaluation, raw: Evaluation) -> pd.DataFrame:
    keys = ["cell_type", "direction", "donor", "arm"]
    both = imputed.jackknife.merge(raw.jackknife, on=keys, suffixes=("", "_raw"))
    rows = []
    for (name, direction), part in both.groupby(["cell_type", "direction"]):
        row = {"cell_type": name, "direction": direction}
        for prefix, value in (("", part["overlap"]), ("diff_", part["overlap"] - part["overlap_raw"])):
            interval = donor_interval(part.assign(value=value)) or (math.nan, math.nan)
            row |= {f"{prefix}low": interval[0], f"{prefix}high": interval[1]}
        row["low"], row["high"] = max(row["low"], 0.0), min(row["high"], 1.0)
        rows.append(row)
    return pd.DataFrame(rows, columns=["cell_type", "direction", "low", "high", "diff_low", "diff_high"])


def null_table(null: pd.DataFrame) -> pd.DataFrame:
    """``cell_type, kind, alpha, fpr, low, high, n_permutations, n_tests, n_deg``.

    ``low, high``: 95 % interval of the mean over permutations; ``n_deg``: genes called per permutation.
    """
    rows = []
    for (name, kind), part in null.groupby(["cell_type", "kind"]):
        for alpha in ALPHAS:
            rate = part[f"below_{alpha:g}"] / part["n_tests"]
            n = len(rate)
            half = float(stats.t.ppf(0.975, n - 1) * rate.std() / math.sqrt(n)) if n > 1 else math.nan
            rows.append(
                {
                    "cell_type": name,
                    "kind": kind,
                    "alpha": alpha,
                    "fpr": float(rate.mean()),
                    "low": float(rate.mean()) - half,
                    "high": float(rate.mean()) + half,
                    "n_permutations": n,
                    "n_tests": int(part["n_tests"].sum()),
                    "n_deg": float(part["n_deg"].mean()),
                }
            )
    columns = ["cell_type", "kind", "alpha", "fpr", "low", "high", "n_permutations", "n_tests", "n_deg"]
    return pd.DataFrame(rows, columns=columns)


def volcano_table(deg: pd.DataFrame, var: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    """The genes tested in the full data with ``symbol`` and, where known, ``is_true``; all that are significant.

    Of the others as many as make :data:`_VOLCANO_GENES` of a cell type, evenly over the ranks of p.
    """
    table = deg.copy()
    symbol = var["symbol"] if "symbol" in var else pd.Series(var.index, index=var.index)
    table.insert(2, "symbol", symbol.reindex(table["gene"]).astype(object).fillna("").to_numpy())
    true_pairs = pd.MultiIndex.from_frame(truth[["cell_type", "gene"]]) if truth is not None else None
    tested_pairs = pd.MultiIndex.from_frame(table[["cell_type", "gene"]])
    is_true = [None] * len(table) if true_pairs is None else tested_pairs.isin(true_pairs)
    table["is_true"] = pd.array(is_true, dtype="boolean")
    significant = (directions(table) != 0).to_numpy()
    drawn = significant.copy()
    for rows in table.groupby("cell_type").indices.values():
        rest = rows[~significant[rows]]
        room = max(0, _VOLCANO_GENES - int(significant[rows].sum()))
        drawn[rest[np.unique(np.linspace(0, len(rest) - 1, min(room, len(rest))).astype(int))]] = True
    return table[drawn].reset_index(drop=True)


def left_out_table(short: dict[str, str], not_in_bulk: dict[str, str], overlap: pd.DataFrame) -> pd.DataFrame:
    """``cell_type, reason``: what was not tested or has no overlap, and why."""
    rows = [{"cell_type": name, "reason": reason} for name, reason in short.items()]
    rows += [
        {"cell_type": name, "reason": f"not in the test of donors: {reason}"}
        for name, reason in not_in_bulk.items()
        if name not in short
    ]
    missing = overlap[overlap["detail"] != ""].drop_duplicates(["cell_type", "direction"])
    for line in missing.itertuples():
        rows.append({"cell_type": line.cell_type, "reason": f"overlap ({line.direction}) undefined: {line.detail}"})
    return pd.DataFrame(rows, columns=["cell_type", "reason"])
