"""A task that asks for expression, and methods that give it well or badly: `--plugin` loads this file."""

import numpy as np
import pandas as pd
from scipy import sparse

from bench.method import Method
from bench.normalise import log1p_cp10k
from bench.problem import Cells, Inputs, Problem, Rounds, Score, Scored
from bench.task import Control, Metric, Output, Task, Track

TRAIN = Cells(
    sparse.csr_matrix(np.ones((5, 20), np.float32)),
    pd.DataFrame({"donor": ["t"] * 5}, index=[f"t{i}" for i in range(5)]),
    pd.DataFrame(index=[f"g{i}" for i in range(20)]),
)
#: Rounds of the track that hides entries.
N_ROUNDS = 3


def hide(X, k):
    """Counts without every third stored entry, from the k-th; and which these are."""
    kept, hidden = X.copy(), X.astype(bool)
    mine = np.arange(X.nnz) % N_ROUNDS == k
    kept.data[mine] = 0
    kept.eliminate_zeros()
    hidden.data[~mine] = False
    hidden.eliminate_zeros()
    return kept, hidden


class Fill(Task):
    name = "fill"
    version = "1"
    summary = "Say what the counts are."
    labelled_training = False
    tracks = {
        "masked": Track("Hidden in rounds.", "experimental"),
        "leaky": Track("What is hidden is told.", "experimental", default=False),
        "whole": Track("Everything is shown.", "experimental"),
        "again": Track("The same is shown.", "experimental", default=False),
    }
    metrics = (Metric("mse", "Mean squared error.", high=None, higher_is_better=False, headline=True),)
    outputs = (Output("expression", "expression", "ln(1 + counts per 10,000)."),)
    controls = (
        Control("zero", "random", "Nothing.", lambda p, rng: {"expression": np.zeros(p.inputs.cells.X.shape)}),
        Control("truth", "perfect", "The truth.", lambda p, rng: {"expression": p.truth["expression"]}),
    )

    def inputs_name(self, track, seeds):
        return "all counts" if track in ("whole", "again") else ""

    def why_not(self, card, track):
        return None

    def make_problem(self, dataset, track, seeds):
        adata = dataset.adata
        obs = adata.obs[["donor"]]
        truth = log1p_cp10k(adata.X)
        solution = pd.DataFrame({"donor": obs["donor"]}, index=adata.obs_names)

        def masking_round(k):
            kept, hidden = hide(adata.X, k)
            info = {"hint": float(adata.X.sum())} if track == "leaky" else {}
            return Inputs(Cells(kept, obs, adata.var), TRAIN, info, hidden)

        if self.inputs_name(track, seeds):
            whole = Inputs(Cells(adata.X, obs, adata.var))
            return Problem(whole, solution, truth={"expression": truth})
        rounds = Rounds(N_ROUNDS, masking_round)
        return Problem(rounds[0], solution, rounds=rounds, truth={"expression": truth})

    def score(self, problem, prediction):
        found, truth = prediction["expression"], problem.truth["expression"].toarray()
        if problem.asked is None:
            assert isinstance(found[0:2], np.ndarray)
            whole = np.concatenate([found[0:30], found[np.arange(30, 60)]])
            errors = (whole - truth).ravel().tolist()
        else:
            rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
            errors = (found.data - truth[rows, found.indices]).tolist()
        mse = float(np.mean(np.square(errors)))
        return Scored([Score("mse", mse, n=len(errors))], tables={"errors": pd.DataFrame({"error": errors})})

    def scramble(self, dataset, track, seeds, rng):
        from dataclasses import replace

        if self.inputs_name(track, seeds):
            return None

        def changed(k):
            adata = dataset.adata.copy()
            adata.X.data[np.arange(adata.X.nnz) % N_ROUNDS == k] += 1
            return replace(dataset, adata=adata)

        return (changed(k) for k in range(N_ROUNDS))


class Filler(Method):
    """Gives what it was shown, and where it was asked the number of the round."""

    name = "filler"
    tasks = ("fill",)
    summary = "What it was shown."
    stochastic = False
    supervised = True

    def __init__(self, mode="ok"):
        self.mode = mode
        self.fits = 0

    def run(self, inputs, ctx):
        if ctx.round == 0:
            self.fits += 1
            ctx.note("fitted once")
        assert self.fits == 1
        out = ctx.empty(inputs.cells.X.shape)
        out[:] = log1p_cp10k(inputs.cells.X).toarray()
        if inputs.query is not None:
            assert not np.asarray(inputs.cells.X.multiply(inputs.query).sum())
            out[inputs.query.toarray()] = ctx.round + 1
            assert inputs.train.X.shape[0] == 5
        if self.mode == "counts":
            return {"expression": inputs.cells.X}
        if self.mode == "shuffled":
            return {"expression": np.asarray(out)[np.random.default_rng(1).permutation(len(out))]}
        frame = pd.DataFrame(out, index=inputs.cells.obs.index, columns=inputs.cells.var.index)
        if self.mode == "frame":
            return {"expression": frame.iloc[::-1, ::-1]}
        if self.mode == "others":
            return {"expression": frame.iloc[:, :-1]}
        if self.mode in ("nan", "inf"):
            out[3, 2] = float(self.mode)
        if self.mode == "negative":
            out[3, 2] = -1
        if self.mode == "transposed":
            return {"expression": np.asarray(out).T}
        if self.mode == "unlogged":
            return {"expression": np.expm1(out) + 0.25}
        return {"expression": out}
