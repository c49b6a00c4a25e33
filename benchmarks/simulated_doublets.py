"""How far counting genes goes against simulated doublets, by how two nuclei are put together.

Of each track that simulates doublets: genes detected in a doublet and in a singlet (medians over all cells of the
problem), and the AUPRC on tested donors of two answers that know nothing of doublets: the number of genes, and a
logistic regression on log1p CP10K of all genes that was trained on the other donors. Nuclei are those of the built-in
simulator unless a dataset is named. The more alike the depths of the nuclei, the more the number of genes tells:
``--even`` thins all nuclei to one depth first and leaves out those that are shallower.

    python benchmarks/simulated_doublets.py                      # 6,000 synthetic nuclei x 20,000 genes
    python benchmarks/simulated_doublets.py --even 1500
    python benchmarks/simulated_doublets.py my.h5ad --splits 3
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from bench.data._builtin import CohortSource
from bench.data.cohort import CohortSpec
from bench.dataset import Dataset
from bench.normalise import log1p_cp10k
from bench.plan.registry import Registry
from bench.task import Seeds
from bench.tasks.doublet import DoubletTask

TRACKS = ("simulated-paper", "simulated", "simulated-sum", "simulated-depth")


def one_split(dataset: Dataset, track: str, split: int) -> tuple[float, float, float, float]:
    """Median genes of doublets and of singlets; AUPRC of the number of genes and of logistic regression."""
    problem = DoubletTask().make_problem(dataset, track, Seeds(split=split))
    cells, train = problem.inputs.cells.X, problem.inputs.train
    assert train is not None
    tested, learned = problem.solution["is_doublet"].to_numpy(bool), train.obs["is_doublet"].to_numpy(bool)
    genes = np.diff(cells.indptr)
    of_all, doublet = np.append(genes, np.diff(train.X.indptr)), np.append(tested, learned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=500).fit(log1p_cp10k(train.X).astype(np.float64), learned)
    probability = model.predict_proba(log1p_cp10k(cells))[:, 1]
    return (
        float(np.median(of_all[doublet])),
        float(np.median(of_all[~doublet])),
        float(average_precision_score(tested, genes)),
        float(average_precision_score(tested, probability)),
    )


def of_one_depth(dataset: Dataset, depth: int) -> Dataset:
    """The nuclei of at least ``depth`` counts, each thinned to about that."""
    X = dataset.adata.X
    total = np.asarray(X.sum(axis=1)).ravel()
    cells = dataset.adata[total >= depth].copy()
    keep = np.repeat(depth / total[total >= depth], np.diff(cells.X.indptr))
    cells.X.data = np.random.default_rng(0).binomial(cells.X.data.astype(np.int64), keep).astype(np.int32)
    cells.X.eliminate_zeros()
    return Dataset(dataset.card, cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", help="name or path; default: synthetic nuclei")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--even", type=int, help="depth to thin all nuclei to")
    options = parser.parse_args()
    spec = CohortSpec(n_cells=6000, n_genes=20_000)
    dataset = Registry().load(options.dataset) if options.dataset else CohortSource("synthetic", spec).load()
    if options.even:
        dataset = of_one_depth(dataset, options.even)
    depth = np.asarray(dataset.adata.X.sum(axis=1)).ravel()
    print(f"{dataset.adata.n_obs:,} nuclei x {dataset.adata.n_vars:,} genes, median depth {np.median(depth):,.0f}")
    for track in TRACKS:
        per_split = [one_split(dataset, track, split) for split in range(options.splits)]
        doublets, singlets, by_genes, by_regression = np.mean(per_split, axis=0)
        print(
            f"{track:16s} genes: doublets {doublets:,.0f}, singlets {singlets:,.0f}; AUPRC: number of genes "
            f"{by_genes:.3f}, logistic regression {by_regression:.3f}"
        )


if __name__ == "__main__":
    main()
