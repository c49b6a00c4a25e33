"""The cells that are drawn in each permutation: the same for every method, and kept with the problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.seeds import derive_seed
from bench.tasks._shared.donors import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        (permutations, samples): the same where all cells of a sample do; none where :func:`no_permutation` says why.
    """

    name: str
    rows: NDArray[np.intp]
    case: NDArray[np.bool_]
    sample: NDArray[np.intp]
    samples: pd.DataFrame
    draws: NDArray[np.uint8]
    null_cells: NDArray[np.bool_]
    null_samples: NDArray[np.bool_]


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
            null_donors[:, first].astype(bool),
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


def donor_subsets(donors: dict[bool, list[str]], seed: tuple[str | int, ...]) -> tuple[list[frozenset[str]], int]:
    """Halves (rounded up) of the donors of each arm, and how many such halves there are.

    All of them, or :data:`MAX_SUBSETS` different ones drawn at random.

    Parameters
    ----------
    donors
        Whether an arm is the case -> its donors.

    Returns
    -------
    Sets of ``(case, donor)`` written as ``case/NAME`` and ``control/NAME``.
    """
    named = [[f"{arm_name(case)}/{d}" for d in sorted(donors[case])] for case in (True, False)]
    halves = [math.ceil(len(names) / 2) for names in named]
    total = math.prod(math.comb(len(names), k) for names, k in zip(named, halves, strict=True))
    if total <= MAX_SUBSETS:
        cases, controls = (list(combinations(names, k)) for names, k in zip(named, halves, strict=True))
        return [frozenset(a + b) for a in cases for b in controls], total
    rng = np.random.default_rng(derive_seed("deg/patients", *seed))
    subsets: dict[frozenset[str], None] = {}
    while len(subsets) < MAX_SUBSETS:
        drawn = [rng.choice(names, k, replace=False).tolist() for names, k in zip(named, halves, strict=True)]
        subsets[frozenset(drawn[0] + drawn[1])] = None
    return list(subsets), total


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
        would bring the difference between donors, which a paired design takes out. None: no donor has both.
    """
    rng = np.random.default_rng(derive_seed("deg/null donors", *seed))
    both = np.zeros(len(case), bool) if donor is None else pd.Series(donor).duplicated(keep=False).to_numpy()
    pairs = [np.flatnonzero(donor == name) for name in sorted(set(donor[both]))] if donor is not None else []
    cases, controls = np.flatnonzero(case & ~both), np.flatnonzero(~case & ~both)
    exchanged, flipped = _exchanged(len(cases), len(controls)), [len(pairs) // 2, -(-len(pairs) // 2)]
    tested_before = {case.tobytes(), (~case).tobytes()}
    permutations: list[NDArray[np.bool_]] = []
    for _ in range(_TRIES):
        if len(permutations) == N_NULL:
            break
        labels = case.copy()
        for pair in rng.permutation(len(pairs))[: rng.choice(flipped)]:
            labels[pairs[pair]] ^= True
        n = rng.choice(exchanged)
        labels[rng.permutation(cases)[:n]] = False
        labels[rng.permutation(controls)[:n]] = True
        if labels.tobytes() not in tested_before:
            permutations.append(labels)
            tested_before |= {labels.tobytes(), (~labels).tobytes()}
    return np.array(permutations, np.uint8).reshape(len(permutations), len(case))


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
        paired = f"{both} of {n} donors {'have' if both > 1 else 'has'} cells in both arms"
        return f"paired design: {paired}, too few to exchange the arms within donors ({MIN_DONORS} are needed)"
    return f"{n_case} case and {n_control} control donors: too few to permute the condition (2 of each are needed)"
