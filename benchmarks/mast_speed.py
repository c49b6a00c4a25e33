"""Time the hurdle model at 600 cells x 1,500 genes beside R's MAST (recorded) and a loop of statsmodels (run here).

python benchmarks/mast_speed.py

R's seconds are those of MAST 1.32.0 on R 4.2.2, one core of a shared machine, for data of this size: they are upper
bounds, and none of this machine. The two models compared are zlm and one likelihood ratio test.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse

from bench.tasks.deg.mast.two_groups import group_sums, two_group_lrt
from bench.tasks.deg.mast.zlm import zlm

CELLS, GENES = 600, 1500
#: zlm + one lrTest, seconds: ~ condition from 8.611 + 19.689 / 2, ~ condition + cngeneson from 10.061 + 11.014.
R_SECONDS = {"~ condition": 18.46, "~ condition + cngeneson": 21.08}
#: Subsamples of the permutation design that are timed together.
PERMUTATIONS = 600


def main() -> None:
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(np.log1p(rng.poisson(rng.gamma(0.5, 1.0, GENES), (CELLS, GENES)) / 3.0))
    detected = X.getnnz(axis=1)
    obs = pd.DataFrame(
        {
            "condition": rng.integers(0, 2, CELLS).astype(float),
            "cngeneson": (detected - detected.mean()) / detected.std(),
        }
    )
    groups = sparse.csr_matrix(np.array([obs["condition"] == 0, obs["condition"] == 1], dtype=float))
    jobs: dict[str, tuple[str, Callable[[], object]]] = {
        "sums": ("~ condition", lambda: two_group_lrt(group_sums(X, groups), [1], [0])),
        "zlm ~ condition": ("~ condition", lambda: zlm(X, obs, "~ condition").lrt("condition")),
        "zlm ~ condition + cngeneson": (
            "~ condition + cngeneson",
            lambda: zlm(X, obs, "~ condition + cngeneson").lrt("condition"),
        ),
    }
    print(f"{CELLS} cells x {GENES:,} genes, {X.nnz / CELLS / GENES:.0%} positive")
    best = {}
    for name, (formula, job) in jobs.items():
        job()  # compiles
        best[name] = min(_time(job) for _ in range(5))
        print(f"{name:30s} {1000 * best[name]:8.1f} ms   {R_SECONDS[formula] / best[name]:8,.0f} x R's recorded time")
    for formula, name in (("~ condition", "sums"), ("~ condition + cngeneson", "zlm ~ condition + cngeneson")):
        loop = _time(lambda formula=formula: statsmodels_loop(X, obs, formula))  # type: ignore[misc]
        print(f"statsmodels loop, {formula:24s} {loop:6.1f} s; ours is {loop / best[name]:,.0f} x as fast")
    arms = [np.flatnonzero(obs["condition"] == arm) for arm in (0, 1)]
    rows = [rng.permutation(arms[k % 2])[: len(arms[k % 2]) // 2] for k in range(2 * PERMUTATIONS)]
    pattern = (np.ones(sum(map(len, rows))), np.concatenate(rows), np.cumsum([0, *map(len, rows)]))
    indicator = sparse.csr_matrix(pattern, shape=(2 * PERMUTATIONS, CELLS))
    pairs = np.arange(PERMUTATIONS)
    seconds = _time(lambda: two_group_lrt(group_sums(X, indicator), 2 * pairs + 1, 2 * pairs, fields=("p",)))
    each = seconds / PERMUTATIONS
    print(
        f"{PERMUTATIONS} subsamples of half the cells: {seconds:.2f} s, {1000 * each:.2f} ms each; "
        f"{R_SECONDS['~ condition'] / each:,.0f} x R's recorded time for a fit of all cells"
    )


def statsmodels_loop(X: sparse.csr_matrix, obs: pd.DataFrame, formula: str) -> None:
    """The hurdle test without penalty and shrinkage, gene by gene: logistic and linear model, each with and without."""
    import statsmodels.api as sm

    design = np.column_stack([np.ones(len(obs)), *(obs[name] for name in formula.removeprefix("~ ").split(" + "))])
    rest = np.delete(design, 1, axis=1)
    dense = X.toarray()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in dense.T:
            on = x > 0
            if 2 < on.sum() < len(on):
                for D in (design, rest):
                    sm.GLM(on.astype(float), D, family=sm.families.Binomial()).fit()
                    sm.OLS(x[on], D[on]).fit()


def _time(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
