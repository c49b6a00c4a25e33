"""Several cheap doublet callers at once: ranks averaged, calls by majority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.method import Context, Method
from bench.methods.cxds import Cxds
from bench.methods.doubletfinder import DoubletFinder
from bench.methods.scrublet import Scrublet

if TYPE_CHECKING:
    from bench.problem import Inputs, Prediction

CALLERS: dict[str, type[Method]] = {caller.name: caller for caller in (Cxds, DoubletFinder, Scrublet)}


class Vote(Method):
    """Rank and vote of cheap callers, each with its defaults.

    Parameters
    ----------
    callers
        Which, comma-separated, of ``cxds``, ``doubletfinder`` and ``scrublet``.
    """

    name = "vote"
    tasks = ("doublet",)
    summary = "Majority of cxds, DoubletFinder and Scrublet; the score is the mean of their ranks."
    reference = "10.1186/s13059-024-03224-8"
    citation = """@article{neavin2024demuxafy,
    author = {Neavin, Drew and Senabouth, Anne and Arora, Himanshi and Lee, Jimmy Tsz Hang and Ripoll-Cladellas, Aida
        and others},
    title = {Demuxafy: improvement in droplet assignment by integrating multiple single-cell demultiplexing and doublet
        detection methods},
    journal = {Genome Biology},
    volume = {25},
    pages = {94},
    year = {2024},
    doi = {10.1186/s13059-024-03224-8},
}"""
    licence = "BSD-3-Clause"
    per_donor = True
    fractional_counts = all(caller.fractional_counts for caller in CALLERS.values())
    caveat = (
        "The idea of Demuxafy, which combines callers by their agreement, with the cheap ones of this table: cxds and "
        "doubletfinder are ports, scrublet is scanpy's. A doublet is what more than half of them call. Where one of "
        "them declines a library, so does the vote."
    )

    def __init__(self, callers: str = "cxds,doubletfinder,scrublet") -> None:
        names = [name.strip() for name in callers.split(",")]
        if len(set(names)) < 2 or not set(names) <= CALLERS.keys():
            fix = f"give two or more of {', '.join(CALLERS)}"
            raise BenchError(f"{callers!r} are no callers that can vote", where=self.name, fix=fix)
        self.callers = callers
        self._names = sorted(set(names))

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Score and call each cell."""
        import numpy as np
        from scipy.stats import rankdata

        answers = []
        for i, name in enumerate(self._names):
            ctx.progress(i / len(self._names), name)
            answers.append(CALLERS[name]().run(inputs, ctx))
        n_cells = inputs.cells.X.shape[0]
        ranks = np.mean([rankdata(answer["score"]) for answer in answers], axis=0)
        votes = np.sum([answer["call"] for answer in answers], axis=0)
        return {"score": ranks / n_cells, "call": votes > len(answers) / 2}
