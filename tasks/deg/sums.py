"""The sums of one cell type from which every test of the DEG task follows, in one pass over its cells."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bench.tasks.deg.design import HALF, N_JACKKNIFE
from bench.tasks.deg.mast.sums import GroupSums, group_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tasks.deg.design import TypeDesign


@dataclass(frozen=True)
class ArmSums:
    """Sums of the cells of one arm.

    Parameters
    ----------
    codes
        Codes of its samples, ascending.
    samples
        Of each of them.
    null_case, null_control
        Of the cells that count as case, as control, in each permutation of cells.
    draws
        A group per ratio and permutation, ratio by ratio; None where samples are drawn whole.
    jackknife
        Half of the cells, a group per sample and permutation, sample by sample; None likewise.
    """

    codes: NDArray[np.intp]
    samples: GroupSums
    null_case: GroupSums
    null_control: GroupSums
    draws: GroupSums | None
    jackknife: GroupSums | None


def arm_sums(expression: Any, design: TypeDesign, case: bool, n_ratios: int) -> ArmSums:
    """Sum the expression of one arm of a cell type.

    Parameters
    ----------
    expression
        Whole study, cells x genes: a scipy sparse matrix or anything with ``shape`` that gives rows by index.
    n_ratios
        Ratios drawn; 0 where samples are drawn whole.
    """
    of_arm = design.case == case
    rows, sample = design.rows[of_arm], design.sample[of_arm]
    codes = np.unique(sample)
    null = design.null_cells[:, of_arm]
    by_sample = codes[:, None] == sample
    blocks = [by_sample, null, ~null]
    if n_ratios:
        draws = design.draws[:, of_arm]
        # Each ratio's own cells; those of the smaller ratios are added afterwards.
        blocks += [draws == level for level in range(1, n_ratios + 1)]
        half = (draws[:N_JACKKNIFE] > 0) & (draws[:N_JACKKNIFE] <= HALF + 1)
        blocks += [half & of_sample for of_sample in by_sample]
    indicator = sparse.vstack([sparse.csr_matrix(block) for block in blocks], format="csr")
    sums = group_sums(expression[rows] if sparse.issparse(expression) else _Some(expression, rows), indicator)
    ends = np.cumsum([0, len(codes), len(null), len(null)])
    samples, null_case, null_control = (sums.take(slice(ends[i], ends[i + 1])) for i in range(3))
    if not n_ratios:
        return ArmSums(codes, samples, null_case, null_control, None, None)
    end = ends[-1] + n_ratios * len(design.draws)
    drawn = sums.take(slice(ends[-1], end))
    for values in _values(drawn):
        by_ratio = values.reshape(n_ratios, len(design.draws), *values.shape[1:])  # a view: this is in place
        np.cumsum(by_ratio, axis=0, out=by_ratio)
    return ArmSums(codes, samples, null_case, null_control, drawn, sums.take(slice(end, None)))


def add(sums: GroupSums, weights: NDArray[Any]) -> GroupSums:
    """Sums of groups that are put together of others: ``weights`` (new groups x groups) of 0 and 1."""
    return GroupSums(*(weights.astype(np.float64) @ values for values in _values(sums)))


def joined(first: GroupSums, second: GroupSums) -> GroupSums:
    """The groups of the first, then those of the second."""
    return GroupSums(*(np.concatenate(pair) for pair in zip(_values(first), _values(second), strict=True)))


def genes_of(sums: GroupSums, genes: NDArray[np.bool_]) -> GroupSums:
    """The sums of some genes."""
    n, *values = _values(sums)
    return GroupSums(n, *(v[:, genes] for v in values))


def total(first: GroupSums, second: GroupSums) -> GroupSums:
    """Group by group, the cells of both."""
    return GroupSums(*(a + b for a, b in zip(_values(first), _values(second), strict=True)))


def _values(sums: GroupSums) -> list[NDArray[np.float64]]:
    return [getattr(sums, field.name) for field in fields(GroupSums)]


class _Some:
    """Some rows of a matrix that memory need not hold: ``[a:b]`` gives the ``a``-th to ``b``-th of them."""

    def __init__(self, source: Any, rows: NDArray[np.intp]) -> None:
        self._source, self._rows = source, rows
        self.shape = (len(rows), source.shape[1])

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        block: NDArray[np.float32] = self._source[self._rows[part]]
        return block
