"""A task whose own code misbehaves in every place where the harness calls it: `--plugin` loads this file."""

import sys

import numpy as np
import pandas as pd
from toy_plugin import Guess

from bench.errors import NotApplicableError
from bench.method import Method
from bench.task import Control, Track


def truth(problem, rng):
    return {"score": problem.solution["hot"].to_numpy(float)}


def fail(problem, rng):
    raise ValueError("it broke on file \udcff")


def leave(problem, rng):
    sys.exit(3)


class Rude(Guess):
    name = "rude"
    tracks = {
        name: Track(f"{name} goes wrong.", "simulated", default=False)
        for name in ("nothing", "broken", "problem_tables", "check", "score")
    }
    controls = (
        Control("truth", "perfect", "The solution.", truth),
        Control("fails", "random", "Raises.", fail),
        Control("leaves", "trap", "Exits.", leave),
        Control("silent", "trap", "Returns nothing.", lambda p, rng: None),
        Control("short", "trap", "Not for all cells.", lambda p, rng: {"score": np.zeros(len(p.solution) - 1)}),
        Control("declines", "trap", "Has its reasons.", lambda p, rng: (_ for _ in ()).throw(NotApplicableError("no"))),
        Control(
            "sorted",
            "trap",
            "The solution, sorted.",
            lambda p, rng: {"score": pd.Series(p.solution["hot"].to_numpy(float), p.solution.index).sort_values()},
        ),
    )

    def problem_tables(self, problem):
        self._maybe("problem_tables", problem)
        return {}

    def check(self, inputs, prediction):
        if inputs.info["track"] == "check":
            raise KeyError("check")

    def score(self, problem, prediction):
        self._maybe("score", problem)
        return super().score(problem, prediction)

    def _maybe(self, place, problem):
        if problem.inputs.info["track"] == place:
            raise RuntimeError(f"{place} has a bug")


class Polite(Method):
    name = "polite"
    tasks = ("rude",)
    summary = "Total counts."
    stochastic = False

    def run(self, inputs, ctx):
        return {"score": np.asarray(inputs.cells.X.sum(axis=1)).ravel()}


class Forgetful(Polite):
    name = "forgetful"
    pretrained_on = ("something",)

    @classmethod
    def seen_before(cls, files):
        raise OSError("no memory of it")


class Full(Polite):
    """Writes more than there is room for."""

    name = "full"

    def __init__(self, how="write"):
        self.how = how

    def run(self, inputs, ctx):
        if self.how == "write":
            (ctx.scratch / "big").write_bytes(bytes(8_000_000))
        elif self.how == "numpy":
            np.save(ctx.scratch / "big.npy", np.ones(1_000_000))
        else:
            ctx.empty((1000, 2000))[:] = 1
