"""DoubletFinder (McGinnis et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import BenchError, NotApplicableError
from bench.method import Context, Method

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

RATE_COLUMN = "expected_doublet_rate"


class DoubletFinder(Method):
    """Share of artificial doublets among a cell's neighbours (pANN); the top expected number are called.

    Parameters
    ----------
    pn
        Artificial doublets as a share of all points; results hardly depend on it.
    pk
        Neighbourhood size as a share of all points; ``None`` chooses it by the pN-pK sweep and BCmvn.
    n_pcs
        Principal components.
    n_features
        Highly variable genes.
    homotypic
        Lower the number of calls by the share of doublets within one cluster, which pANN cannot see. On by default, as
        in the authors' walk-through; it changes the calls, never the score.
    annotation
        Column of ``obs`` whose labels stand for the clusters; ``None`` clusters the cells (Louvain).
    """

    name = "doubletfinder"
    tasks = ("doublet",)
    summary = "Artificial doublets among each cell's nearest neighbours in PCA space."
    reference = "10.1016/j.cels.2019.03.003"
    citation = """@article{mcginnis2019doubletfinder,
    author = {McGinnis, Christopher S. and Murrow, Lyndsay M. and Gartner, Zev J.},
    title = {{DoubletFinder}: doublet detection in single-cell {RNA} sequencing data using artificial nearest
        neighbors},
    journal = {Cell Systems},
    volume = {8},
    number = {4},
    pages = {329--337},
    year = {2019},
    doi = {10.1016/j.cels.2019.03.003},
}"""
    licence = "CC0-1.0"
    implementation = "port"
    fractional_counts = True
    per_donor = True
    caveat = (
        "Matches DoubletFinder 2.0.6 on Seurat 4.3.0 for given artificial pairs, with three faults mended: 0 expected "
        "doublets call none, a constant pANN is left out of BCmvn, and pairs follow the seed. Neighbours are exact."
    )

    def __init__(
        self,
        pn: float = 0.25,
        pk: float | None = None,
        n_pcs: int = 10,
        n_features: int = 2000,
        homotypic: bool = True,
        annotation: str | None = None,
    ) -> None:
        for parameter, value in {"pn": pn, "pk": pk}.items():
            if value is not None and not 0 < value < 1:
                raise BenchError(f"{parameter} is {value}", where=self.name, fix="give a share between 0 and 1")
        self.pn, self.pk, self.n_pcs, self.n_features = pn, pk, n_pcs, n_features
        self.homotypic, self.annotation = homotypic, annotation

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call the cells; see :class:`bench.method.Method`."""
        import numba
        import numpy as np

        from bench.methods._ports import doubletfinder as df

        numba.set_num_threads(min(ctx.threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        cells, rng = inputs.cells, np.random.default_rng(ctx.seed)
        n = len(cells.obs)
        if df.n_artificial(n, self.pn) < 1:
            raise NotApplicableError(
                f"{n} cells leave no artificial doublet at pn={self.pn}", where=self.name, fix="give more cells"
            )
        with ctx.phase("fit"):
            ctx.progress(0.0, "variable genes")
            counts = df.Counts.select(cells.X, self.n_features)
            pk, start = self.pk, 0.1
            if pk is None:
                sweep = df.sweep(
                    counts, rng, self.n_pcs, ctx.threads, progress=lambda done: ctx.progress(0.1 + 0.3 * done, "sweep")
                )
                pk, start = sweep.best_pk, 0.4
                ctx.log.info("BCmvn chose pK %g", pk)
        with ctx.phase("predict"):
            ctx.progress(start, "principal components")
            coords = df.embed(counts, df.draw_pairs(n, self.pn, rng), self.n_pcs)
            score = df.pann(coords, n, pk, lambda done: ctx.progress(start + (1 - start) * done, "neighbours"))
            share = 0.0
            if self.homotypic:
                labels = cells.obs[self.annotation].to_numpy() if self.annotation else df.cluster(coords[:n], rng)
                share = df.homotypic_proportion(labels)
            n_doublets = df.n_expected(float(cells.obs[RATE_COLUMN].mean()), n, share)
            ctx.log.info("pK %g, homotypic share %.3f, %d doublets called", pk, share, n_doublets)
        return {"score": score, "call": df.call_top(score, n_doublets)}
