"""The cells that ``bench deg`` compares, and what a reader of its table must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.dataset import without_label
from bench.errors import DataError
from bench.words import count, few, listing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

#: Covariate that is computed where ``obs`` lacks it: z-score of the number of genes a cell expresses (MAST's CDR).
DETECTION_RATE = "cngeneson"
#: How text says that a value is missing. Words such as *unknown* may be a level of their own.
_GAPS = frozenset({"", "na", "n/a", "nan", "<na>", "null"})
#: Values of a column that are listed.
_SHOWN = 10


@dataclass(frozen=True)
class Compared:
    """The two groups of cells, their types, and lines about the cells that are left out.

    Parameters
    ----------
    arms
        Of case and control, (cells,): whether a cell belongs to it and has a type.
    types
        (cells,): text, missing where a cell has none; None: types are not told apart.
    """

    arms: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    types: pd.Series | None
    notes: tuple[str, ...]

    @property
    def cells(self) -> NDArray[np.bool_]:
        """(cells,): whether a cell is compared."""
        return self.arms[0] | self.arms[1]


def compared(obs: pd.DataFrame, *, group: str, case: str, control: str, by: str | None = None) -> Compared:
    """Find the cells whose ``group`` is ``case`` or ``control`` and who have a type in ``by``, if that is given.

    Raises
    ------
    DataError
        If a column or a group is not in the data.
    """
    groups = as_text(column(obs, group))
    for name in (case, control):
        if not (groups == name).any():
            values = sorted(set(groups.dropna()))
            fix = f"its values: {few(values, _SHOWN)}"
            raise DataError(f"no cell has {group} {name!r}", where=f"obs[{group!r}]", fix=fix)
    if case == control:
        raise DataError(f"case and control are both {case!r}", where=f"obs[{group!r}]", fix="name two values")
    types = None if by is None else as_text(column(obs, by))
    arms = [(groups == name).to_numpy(dtype=bool) for name in (case, control)]
    notes = _left_out(groups, f"without {group!r}", groups.isna().to_numpy())
    notes += _left_out(groups, f"of other values of {group!r}", groups.notna().to_numpy() & ~arms[0] & ~arms[1])
    if types is not None:
        without = without_label(types)
        notes += _left_out(types, f"without {by!r}", without & (arms[0] | arms[1]))
        types = types.mask(without)
        arms = [arm & ~without for arm in arms]
    return Compared((arms[0], arms[1]), types, tuple(notes))


def column(obs: pd.DataFrame, name: str) -> pd.Series:
    """A column of ``obs``, if there is one."""
    if name not in obs:
        columns = ", ".join(map(str, obs.columns)) or "none"
        raise DataError(f"the cells have no column {name!r}", where="obs", fix=f"its columns: {columns}")
    return obs[name]


def as_text(values: pd.Series) -> pd.Series:
    """Values as text, whole numbers without ``.0``; missing where they are."""
    if values.dtype.kind == "f" and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype(object).where(values.notna()).map(str, na_action="ignore")


def _left_out(values: pd.Series, reason: str, rows: NDArray[np.bool_]) -> list[str]:
    """``12 cells of other values of 'condition' are left out (MCI: 12)``, or nothing."""
    n = int(rows.sum())
    if not n:
        return []
    n_of_value = values[rows].fillna("missing").value_counts()
    named = [f"{name}: {k:,}" for name, k in n_of_value.iloc[:_SHOWN].items()] + ["..."] * (len(n_of_value) > _SHOWN)
    which = f" ({', '.join(named)})" if list(n_of_value.index) != ["missing"] else ""
    return [f"{count(n, 'cell')} {reason} {'is' if n == 1 else 'are'} left out{which}"]


def check_covariates(obs: pd.DataFrame, names: Sequence[str], cells: NDArray[np.bool_]) -> str:
    """Refuse covariates with gaps among the cells compared; a line that says how each is taken.

    Raises
    ------
    DataError
        If there is no such column, or one has gaps: which, in how many cells, and what to do.
    """
    descriptions, gaps, masks = [], {}, []
    for name in names:
        if name == DETECTION_RATE and name not in obs:
            descriptions.append(f"{name}, the genes detected in a cell (z-score within each type)")
            continue
        values = column(obs, name)[cells]
        missing = _missing(values)
        if missing.any():
            gaps[name] = int(missing.sum())
            masks.append(_mask_of(values, missing))
        else:
            descriptions.append(_described(values))
    if gaps:
        gap_counts = listing([f"{name} is missing in {count(n, 'cell')}" for name, n in gaps.items()])
        raise DataError(
            f"{gap_counts} (of {int(cells.sum()):,} compared)",
            where=f"--covariates {','.join(gaps)}",
            fix=f"leave it out of --covariates, fill it in, or drop those cells: adata[{' & '.join(masks)}]",
        )
    return "; ".join(descriptions)


def covariates_of(
    obs: pd.DataFrame, X: sparse.csr_matrix, names: Sequence[str], rows: NDArray[np.intp]
) -> pd.DataFrame:
    """Covariates of all cells; those of ``rows`` count, text and categories with the levels that occur there."""
    columns = {}
    for name in names:
        if name in obs:
            columns[name] = obs[name].astype(float) if _is_number(obs[name]) else as_text(obs[name])
        else:
            genes = np.asarray((X > 0).sum(axis=1), dtype=float).ravel()
            spread = genes[rows].std(ddof=1) if len(rows) > 1 else 0.0
            columns[name] = pd.Series((genes - genes[rows].mean()) / (spread or 1.0), index=obs.index)
    return pd.DataFrame(columns)


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values))


def _missing(values: pd.Series) -> NDArray[np.bool_]:
    if _is_number(values):
        return ~np.isfinite(values.astype(float).to_numpy())
    return as_text(values).fillna("").str.strip().str.lower().isin(_GAPS).to_numpy(dtype=bool)


def _mask_of(values: pd.Series, missing: NDArray[np.bool_]) -> str:
    """Code that is true where a covariate is there: what gaps it has decides."""
    column, gap_words = f"adata.obs[{values.name!r}]", values[missing].dropna()
    if not len(gap_words):
        return f"{column}.notna()"
    if _is_number(values):
        return f"numpy.isfinite({column})"
    return f"({column}.notna() & ~{column}.isin({sorted(set(gap_words.astype(str)))}))"


def _described(values: pd.Series) -> str:
    """Describe how the model takes a covariate without gaps: as a number, or as levels."""
    if _is_number(values):
        return f"{values.name}, a number from {values.min():.4g} to {values.max():.4g}"
    levels = sorted(set(as_text(values)))
    level_names = ", ".join(levels[:_SHOWN]) + (", ..." if len(levels) > _SHOWN else "")
    text = f"{values.name}, {count(len(levels), 'level')} ({level_names})"
    if len(levels) > 2 and pd.to_numeric(pd.Series(levels), errors="coerce").notna().all():
        name = f"adata.obs[{values.name!r}]"
        text += f", numbers written as text (to take them as numbers: {name} = {name}.astype(str).astype(float))"
    return text


def about_donors(donor: pd.Series, arms: tuple[NDArray[np.bool_], NDArray[np.bool_]], *, of_cells: bool = True) -> str:
    """A line on how many people are behind the cells: a test of cells (``of_cells``) takes each cell for one."""
    names = as_text(donor)
    case, control = (set(names[arm].dropna()) for arm in arms)
    both = len(case & control)
    text = f"{donor.name}: {len(case):,} case and {count(len(control), 'control donor')}"
    text += f", {both:,} of them in both arms" if both else ""
    unknown = int((names.isna() & (arms[0] | arms[1])).sum())
    text += f"; of {count(unknown, 'cell')} it is not known" if unknown else ""
    if not of_cells:
        return text
    text += ". Cells are not replicates: p says how sure a gene differs between these cells, not between people. "
    if min(len(case), len(control)) < 2:
        return text + "One donor in an arm is too few to tell the condition from the person."
    return text + "To compare people, test sums of counts by donor: --test limma-voom, edgepython or pydeseq2."
