"""The cells that are drawn in each permutation: the same for every method, and kept with the problem."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.seeds import derive_seed
from bench.tasks._shared.donors import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

#: Shares of the cells that the track ``subsample`` draws; the paper's.
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.75, 0.9)
#: The ratio of the headline number.
HALF = RATIOS.index(0.5)
#: Permutations per ratio; the paper's.
N_PERMUTATIONS = 100
#: Subsets of the donors, at most: the paper's number for 5 against 6 donors. Where there are more, they are drawn.
MAX_SUBSETS = 200
#: Permutations of the condition under the null.
N_NULL = 20
#: Permutations of which the leave-one-donor-out interval is made.
N_JACKKNIFE = 20
#: Random ways to exchange samples, among which the different ones are found; all, where there are few.
_TRIES = 1000
#: Donors without whom no condition is permuted among them: 2 against 2 can be exchanged in two ways, 4 pairs in three.
MIN_DONORS = 4

#: Label of a sample that is in neither half of a permutation.
LEFT_OUT = 2

#: Columns of the solution with one byte per draw and cell.
DRAWS, NULL_CELLS, NULL_DONORS = "draws", "null_cells", "null_donors"


@dataclass(frozen=True)
class TypeDesign:
    """Cells of one cell type, and in which groups they are.

    Parameters
    ----------
    name
        Of the cell type.
    rows
        Its cells (positions in the problem), (cells,), as are the following.
    case
        Whether a cell is of the case arm.
    sample
        Code of the cell's donor and arm.
    samples
        One row a sample, by code: ``donor``, ``case``.
    draws
        (draws, cells): 0 if a cell is in no subset of the draw, ``v`` if in those from the ``v``-th ratio on.
    null_cells
        (permutations, cells): whether a cell counts as case.
    null_samples
        (permutations, samples): 1 where all cells of a sample count as case, 0 as control, :data:`LEFT_OUT` as neither;
        none where :func:`no_permutation` says why.
    """

    name: str
    rows: NDArray[np.intp]
    case: NDArray[np.bool_]
    sample: NDArray[np.intp]
    samples: pd.DataFrame
    draws: NDArray[np.uint8]
    null_cells: NDArray[np.bool_]
    null_samples: NDArray[np.uint8]


def designs(solution: pd.DataFrame) -> Iterator[TypeDesign]:
    """The cell types of a problem in alphabetical order, tested or not."""
    tested = (solution["cell_type"] != "").to_numpy()
    for name in sorted(solution.loc[tested, "cell_type"].unique()):
        rows = np.flatnonzero((solution["cell_type"] == name).to_numpy())
        part = solution.iloc[rows]
        case = (part["arm"] == "case").to_numpy()
        keys = pd.MultiIndex.from_arrays([part["donor"], case], names=["donor", "case"])
        sample, samples = pd.factorize(keys, sort=True)
        null_donors = _unpacked(part[NULL_DONORS])
        first = np.unique(sample, return_index=True)[1]
        yield TypeDesign(
            name,
            rows,
            case,
            sample,
            samples.to_frame(index=False, name=["donor", "case"]),
            _unpacked(part[DRAWS]),
            _unpacked(part[NULL_CELLS]).astype(bool),
            null_donors[:, first],
        )


def _unpacked(column: pd.Series) -> NDArray[np.uint8]:
    """(draws, cells) of a column of bytes."""
    values = np.frombuffer(b"".join(column), dtype=np.uint8)
    return values.reshape(len(column), -1).T


def packed(draws: NDArray[np.uint8]) -> list[bytes]:
    """A column of bytes of (draws, cells)."""
    by_cell = np.ascontiguousarray(draws.T, dtype=np.uint8)
    return [row.tobytes() for row in by_cell]


def subsamples(cell_type: NDArray[np.object_], seed: tuple[str | int, ...]) -> NDArray[np.uint8]:
    """(permutations, cells): the first ratio at which a cell is drawn, from 1; 0 if it never is.

    In each permutation the cells of a type are put in a random order, and each ratio takes the first of them: within
    a permutation the draws are nested, between permutations they are independent.
    """
    draws = np.zeros((N_PERMUTATIONS, len(cell_type)), np.uint8)
    for name in sorted(set(cell_type) - {""}):
        cells = np.flatnonzero(cell_type == name)
        rng = np.random.default_rng(derive_seed("deg/subsample", *seed, name))
        place = rng.random((N_PERMUTATIONS, len(cells))).argsort(axis=1).argsort(axis=1)
        sizes = [round(ratio * len(cells)) for ratio in RATIOS]
        level = np.searchsorted(sizes, place, side="right") + 1
        draws[:, cells] = np.where(level > len(RATIOS), 0, level)
    return draws


def by_arms(donor: NDArray[np.object_], case: NDArray[np.bool_]) -> dict[str, list[str]]:
    """Donors with cells in the case arm only, in the control arm only, and in both: ``case``, ``control``, ``both``."""
    share = pd.Series(case, dtype=float).groupby(np.asarray(donor, dtype=object)).mean()
    which = share.map(lambda x: "both" if 0 < x < 1 else arm_name(x == 1))
    return {name: sorted(which.index[which == name]) for name in ("case", "control", "both")}


def few_pairs(donors: dict[str, list[str]]) -> str:
    """Say that the design is paired (most donors have both arms) and has too few pairs to draw from; else empty."""
    both, n = len(donors["both"]), sum(map(len, donors.values()))
    if 2 * both <= n or both >= MIN_DONORS or donors["both"] == [LIBRARY]:
        return ""
    return f"paired design: {_in_both_arms(both, n)}, {MIN_DONORS} such pairs are needed"


def _in_both_arms(both: int, n: int) -> str:
    return f"{both} of {n} donors {'have' if both > 1 else 'has'} cells in both arms"


def donor_subsets(donors: dict[str, list[str]], seed: tuple[str | int, ...]) -> tuple[list[frozenset[str]], int]:
    """Halves (rounded up) of the donors of each kind (:func:`by_arms`), and how many such halves there are.

    All of them, or :data:`MAX_SUBSETS` different ones drawn at random. A donor with both arms comes with both.

    Returns
    -------
    Sets of ``(case, donor)`` written as ``case/NAME`` and ``control/NAME``.
    """
    named = [[f"{kind}/{d}" for d in donors[kind]] for kind in ("case", "control", "both") if donors[kind]]
    halves = [math.ceil(len(names) / 2) for names in named]
    total = math.prod(math.comb(len(names), k) for names, k in zip(named, halves, strict=True))
    if total <= MAX_SUBSETS:
        drawn = itertools.product(*(itertools.combinations(names, k) for names, k in zip(named, halves, strict=True)))
        return [_samples(itertools.chain.from_iterable(parts)) for parts in drawn], total
    rng = np.random.default_rng(derive_seed("deg/patients", *seed))
    subsets: dict[frozenset[str], None] = {}
    while len(subsets) < MAX_SUBSETS:
        parts = [rng.choice(names, k, replace=False).tolist() for names, k in zip(named, halves, strict=True)]
        subsets[_samples(itertools.chain.from_iterable(parts))] = None
    return list(subsets), total


def _samples(names: Iterable[str]) -> frozenset[str]:
    """The samples of donors that :func:`donor_subsets` drew: two of those who have both arms."""
    parts = (name.partition("/") for name in names)
    return frozenset(
        f"{arm}/{d}" for kind, _, d in parts for arm in (("case", "control") if kind == "both" else (kind,))
    )


def arm_name(case: bool) -> str:
    """Name of an arm in the solution and in tables."""
    return "case" if case else "control"


def permuted_cells(
    cell_type: NDArray[np.object_], case: NDArray[np.bool_], seed: tuple[str | int, ...]
) -> NDArray[np.uint8]:
    """(permutations, cells): the condition (1: case) permuted among the cells of each type."""
    null = np.zeros((N_NULL, len(cell_type)), np.uint8)
    for name in sorted(set(cell_type) - {""}):
        cells = np.flatnonzero(cell_type == name)
        rng = np.random.default_rng(derive_seed("deg/null", *seed, name))
        for row in null:
            row[cells] = case[cells][rng.permutation(len(cells))]
    return null


def permuted_samples(
    case: NDArray[np.bool_], seed: tuple[str | int, ...], donor: NDArray[np.object_] | None = None
) -> NDArray[np.uint8]:
    """(permutations, samples): other ways to give the samples their conditions, as many cases as there are.

    The true one is left out, and so is its mirror image, which tests the same. Each half of what a permutation
    compares has its share of true cases (as near as whole samples come to that): a difference between the arms cancels,
    and what is left is what donors differ by.

    Parameters
    ----------
    case
        Whether a sample is of the case arm.
    donor
        Of each sample. The arms of a donor who has both are exchanged with each other only: another donor's cells
        would bring the difference between donors, which a paired design takes out. Half of these donors are exchanged;
        of an odd number one is left out each time (:data:`LEFT_OUT`), so that the arms' difference cancels for them,
        too. None: no donor has both.
    """
    rng = np.random.default_rng(derive_seed("deg/null donors", *seed))
    both = np.zeros(len(case), bool) if donor is None else pd.Series(donor).duplicated(keep=False).to_numpy()
    pairs = [np.flatnonzero(donor == name) for name in sorted(set(donor[both]))] if donor is not None else []
    cases, controls = np.flatnonzero(case & ~both), np.flatnonzero(~case & ~both)
    exchanged, flipped = _exchanged(len(cases), len(controls)), len(pairs) // 2
    true = case.astype(np.uint8)
    tested_before = {true.tobytes(), mirrored(true).tobytes()}
    permutations: list[NDArray[np.uint8]] = []
    for _ in range(_TRIES):
        if len(permutations) == N_NULL:
            break
        labels = true.copy()
        order = rng.permutation(len(pairs))
        for pair in order[:flipped]:
            labels[pairs[pair]] ^= 1
        if len(pairs) % 2 and len(pairs) > 1:
            labels[pairs[order[-1]]] = LEFT_OUT
        n = rng.choice(exchanged)
        labels[rng.permutation(cases)[:n]] = 0
        labels[rng.permutation(controls)[:n]] = 1
        if labels.tobytes() not in tested_before:
            permutations.append(labels)
            tested_before |= {labels.tobytes(), mirrored(labels).tobytes()}
    return np.array(permutations, np.uint8).reshape(len(permutations), len(case))


def mirrored(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels with cases and controls exchanged."""
    return np.where(labels == LEFT_OUT, LEFT_OUT, 1 - (labels & 1)).astype(np.uint8)


def _exchanged(n_case: int, n_control: int) -> list[int]:
    """Numbers of cases that change places with as many controls, so that both halves have the same share of cases."""
    if not n_case or not n_control:
        return [0]
    imbalance = [abs((n_case - n) / n_case - n / n_control) for n in range(min(n_case, n_control) + 1)]
    return [n for n, difference in enumerate(imbalance) if difference < min(imbalance) + 1e-9]


def no_permutation(donor: NDArray[np.object_], case: NDArray[np.bool_]) -> str:
    """Say why the condition cannot be permuted among the donors of these samples; empty if it can."""
    if set(donor) == {LIBRARY}:
        return "donors are not told apart"
    n_case, n_control, n = int(case.sum()), int((~case).sum()), len(set(donor))
    if n >= MIN_DONORS and min(n_case, n_control) >= 2:
        return ""
    if both := len(donor) - n:
        why = f"too few to exchange the arms within donors ({MIN_DONORS} are needed)"
        return f"paired design: {_in_both_arms(both, n)}, {why}"
    return f"{n_case} case and {n_control} control donors: too few to permute the condition (2 of each are needed)"
