"""A task and methods for tests of the core: `--plugin` loads this file. Every way a method can misbehave is a mode."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd

from bench.method import Method, python_package
from bench.problem import Cells, Curve, Inputs, Problem, Score, Scored
from bench.task import Control, Metric, Output, Task, Track


class Guess(Task):
    """Guess which cells are `hot`; half of the donors train."""

    name = "guess"
    version = "1"
    summary = "Guess the hidden boolean."
    tracks = {
        "plain": Track("As is.", "simulated"),
        "never": Track("No dataset serves it.", "simulated", default=False),
        "refused": Track("The task refuses.", "simulated", default=False),
        "broken": Track("The task raises.", "simulated", default=False),
        "leaky": Track("The inputs tell the truth.", "simulated", default=False),
    }
    metrics = (Metric("accuracy", "Share of right calls.", headline=True),)
    outputs = (Output("score", "float", "Higher is hotter."), Output("call", "bool", "Is it hot?", required=False))
    controls = (
        Control("truth", "perfect", "The solution.", lambda p, rng: {"score": p.solution["hot"].to_numpy(float)}),
        Control("random", "random", "A coin.", lambda p, rng: {"score": rng.random(len(p.solution))}, stochastic=True),
    )

    def why_not(self, card, track):
        return "this track is for nobody" if track == "never" else None

    def make_problem(self, dataset, track, seeds):
        from bench.errors import NotApplicableError

        if track == "refused":
            raise NotApplicableError("the task has its reasons")
        if track == "broken":
            raise RuntimeError("the task has a bug")
        adata = dataset.adata
        test = (
            (adata.obs["donor"] == "d0").to_numpy() if adata.obs["donor"].nunique() > 1 else np.ones(adata.n_obs, bool)
        )
        obs = adata.obs[["donor"]].copy()
        if track == "leaky":
            obs["hint"] = adata.obs["is_doublet"].astype(int)
        cells = Cells(adata.X, obs, adata.var)
        train = None
        if not test.all():
            train = cells.take(~test)
            train = Cells(train.X, train.obs.assign(hot=adata.obs["is_doublet"][~test].to_numpy()), train.var)
        solution = pd.DataFrame({"hot": adata.obs["is_doublet"][test].to_numpy()}, index=adata.obs_names[test])
        return Problem(Inputs(cells.take(test), train, {"track": track}), solution, ("a note",))

    def score(self, problem, prediction):
        if (prediction["score"] < 0).any():
            raise ZeroDivisionError("the metric has a bug")
        call = prediction.get("call", prediction["score"] > 0.5)
        value = float((call == problem.solution["hot"].to_numpy()).mean())
        line = Curve("line", [0.0, 0.5, 1.0], [0.0, float("nan"), value])
        return Scored([Score("accuracy", value, n=len(call))], [line])

    def scramble(self, dataset, track, seeds, rng):
        from dataclasses import replace

        if track == "broken":
            return None
        adata = dataset.adata.copy()
        test = (adata.obs["donor"] == "d0").to_numpy()
        truth = adata.obs["is_doublet"].to_numpy().copy()
        truth[test] = ~truth[test]
        adata.obs["is_doublet"] = truth
        return replace(dataset, adata=adata)


class Toy(Method):
    """Well-behaved by default."""

    name = "toy"
    tasks = ("guess",)
    summary = "Total counts."
    stochastic = False

    def __init__(self, mode: str = "ok", seconds: float = 60.0):
        self.mode, self.seconds = mode, seconds

    def run(self, inputs, ctx):
        n = inputs.cells.X.shape[0]
        getattr(self, f"_{self.mode}", lambda ctx: None)(ctx)
        if self.mode == "nan":
            return {"score": np.full(n, np.nan)}
        if self.mode == "short":
            return {"score": np.zeros(n - 1)}
        if self.mode == "unknown":
            return {"score": np.zeros(n), "sorce": np.zeros(n)}
        if self.mode == "negative":
            return {"score": np.full(n, -1.0)}
        if self.mode == "nothing":
            return None
        if self.mode == "mutate":
            inputs.cells.X.data[:] = 0
        if self.mode in ("column", "attribute", "fact", "field"):
            self._misread(inputs)
        print("a line for the log")
        totals = np.asarray(inputs.cells.X.sum(axis=1)).ravel()
        if self.mode == "named":
            return {"score": pd.Series(totals, index=inputs.cells.obs.index).sort_values()}
        return {"score": totals}

    def _misread(self, inputs):
        if self.mode == "column":
            return inputs.cells.obs.pipe(lambda rows: rows["condition"])
        if self.mode == "attribute":
            return inputs.cells.obs.copy().condition
        if self.mode == "fact":
            return inputs.info["classes"]
        return inputs.obs

    def _exit(self, ctx):
        os._exit(3)

    def _leave(self, ctx):
        sys.exit(0)

    def _interrupt(self, ctx):
        raise KeyboardInterrupt

    def _silence(self, ctx):
        sys.stdout.close()
        sys.stderr.close()
        os.closerange(0, 3)
        sys.stdout = open(os.devnull, "w")

    def _forge(self, ctx):
        (ctx.scratch.parent / "result.json").write_text('{"status": "great", "wall_s": "never"}')
        os._exit(0)

    def _forge_junk(self, ctx):
        (ctx.scratch.parent / "result.json").write_text("[1, 2")
        os._exit(0)

    def _abort(self, ctx):
        print("printed before the end")
        os.abort()

    def _litter(self, ctx):
        os.mkdir("lightning_logs")

    def _regicide(self, ctx):
        subprocess.Popen(["setsid", "sleep", str(self.seconds)])
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    def _learn(self, ctx):
        import sklearn.linear_model  # noqa: F401

    def _linger(self, ctx):
        subprocess.run(["setsid", "sleep", str(self.seconds)])

    def _progress(self, ctx):
        ctx.progress(float("nan"), "no idea")
        time.sleep(0.6)

    def _stuck(self, ctx):
        with ctx.phase("fit"):
            ctx.progress(0.1, "epoch 1")
            ctx.progress(0.37, "epoch 12, loss 0.31, file \udcff")
            time.sleep(self.seconds)

    def _stuck_dumb(self, ctx):
        with ctx.phase("fit"):
            time.sleep(self.seconds)

    def _stuck_later(self, ctx):
        with ctx.phase("fit"):
            ctx.progress(0.5)
        time.sleep(self.seconds)

    def _hoard_fitting(self, ctx):
        with ctx.phase("fit"):
            ctx.progress(0.5, "hoarding")
            self._hoard(ctx)

    def _allocate_fitting(self, ctx):
        with ctx.phase("fit"):
            ctx.progress(0.5, "allocating")
            self._allocate(ctx)

    def _vanish(self, ctx):
        # Claims success and leaves no prediction behind.
        (ctx.scratch.parent / "result.json").write_text('{"status": "ok"}')
        os._exit(0)

    def _segfault(self, ctx):
        os.kill(os.getpid(), signal.SIGSEGV)

    def _raise(self, ctx):
        raise ValueError("it went wrong")

    def _allocate(self, ctx):
        np.ones(50 * 2**30 // 8)

    def _hoard(self, ctx):
        hoard = []
        while True:
            hoard.append(np.ones(2**21))

    def _loop(self, ctx):
        while True:
            pass

    def _stubborn(self, ctx):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.1)

    def _sleep(self, ctx):
        time.sleep(self.seconds)

    def _threads(self, ctx):
        threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _children(self, ctx):
        for _ in range(3):
            # A session of its own and a parent that exits: the usual way to escape a process group.
            subprocess.Popen(
                [sys.executable, "-c", f"import subprocess; subprocess.Popen(['setsid', 'sleep', '{self.seconds}'])"]
            )
        time.sleep(0.5)

    def _environment(self, ctx):
        for name in sorted(os.environ):
            print(f"{name}={os.environ[name]}")

    def _torch(self, ctx):
        import ctypes

        import torch

        nowhere = np.ctypeslib.as_array(ctypes.cast(16, ctypes.POINTER(ctypes.c_float)), shape=(4,))
        torch.from_numpy(nowhere).sum()

    def _r_quits(self, ctx):
        import rpy2.robjects as robjects

        robjects.r("quit(status = 3)")

    def _r_crashes(self, ctx):
        import rpy2.robjects as robjects

        robjects.r("tools::pskill(Sys.getpid(), 11)")

    def _r_overflows(self, ctx):
        import rpy2.robjects as robjects

        robjects.r("options(expressions = 500000); f <- function(n) f(n + 1); f(1)")


class Noisy(Method):
    """Depends on the seed."""

    name = "noisy"
    tasks = ("guess",)
    summary = "Random numbers."

    def run(self, inputs, ctx):
        with ctx.phase("fit"):
            time.sleep(0.05)
        ctx.progress(0.5, "half way")
        return {"score": np.random.default_rng(ctx.seed).random(inputs.cells.X.shape[0])}


class Unseeded(Method):
    """Ignores the seed: the conformance suite must notice."""

    name = "unseeded"
    tasks = ("guess",)
    summary = "Random numbers, never the same."

    def run(self, inputs, ctx):
        return {"score": np.random.default_rng().random(inputs.cells.X.shape[0])}


class ByPosition(Method):
    """Scores cells by where they stand: the conformance suite must notice."""

    name = "by-position"
    tasks = ("guess",)
    summary = "The row number."
    stochastic = False

    def run(self, inputs, ctx):
        return {"score": np.arange(inputs.cells.X.shape[0], dtype=float)}


class Supervised(Method):
    """Needs training donors."""

    name = "supervised"
    tasks = ("guess",)
    summary = "Mean of the training labels."
    supervised = True
    stochastic = False

    def run(self, inputs, ctx):
        return {"score": np.full(inputs.cells.X.shape[0], inputs.train.obs["hot"].mean())}


class Absent(Method):
    """Requires what nobody has."""

    name = "absent"
    tasks = ("guess",)
    summary = "Never runs."
    requires = (python_package("no-such-distribution-at-all"),)

    def run(self, inputs, ctx):
        import no_such_distribution_at_all  # noqa: F401


class PerDonor(Method):
    """Runs once per donor."""

    name = "per-donor"
    tasks = ("guess",)
    summary = "The donor's mean depth."
    per_donor = True
    stochastic = False

    def run(self, inputs, ctx):
        assert inputs.cells.obs["donor"].nunique() == 1
        return {"score": np.full(inputs.cells.X.shape[0], inputs.cells.X.sum() / inputs.cells.X.shape[0])}


class Loaded(Method):
    """Reads a file that is given as a parameter."""

    name = "loaded"
    tasks = ("guess",)
    summary = "A number from a file."
    files = ("weights",)
    stochastic = False

    def __init__(self, weights: str = ""):
        self.weights = weights

    @classmethod
    def seen_before(cls, files):
        words = files["weights"].read_text().split()[1:] if files else []
        return {
            name: frozenset(donors.split(",")) if donors else None
            for name, _, donors in (w.partition(":") for w in words)
        }

    def run(self, inputs, ctx):
        value = float(open(self.weights).read().split()[0]) if self.weights else 0.0
        ctx.note(f"weights of {value:g}")
        return {"score": np.full(inputs.cells.X.shape[0], value)}


class Spy(Method):
    """Looks for the truth wherever a method could come upon it, and tries to change what it must not."""

    name = "spy"
    tasks = ("guess",)
    summary = "What it could read and write."
    stochastic = False

    def __init__(self, told: str = ""):
        self.told = told.split(",") if told else []

    def run(self, inputs, ctx):
        starts = [".", "..", "../..", "../../..", os.environ["HOME"], os.environ["TMPDIR"], "/tmp"]
        for process in (os.getpid(), os.getppid()):
            for link in ("cwd", "root/tmp"):
                try:
                    starts.append(os.path.realpath(f"/proc/{process}/{link}", strict=True))
                except OSError:
                    continue
        for name, value in os.environ.items():
            if name not in ("PATH", "LD_LIBRARY_PATH"):
                starts += [part for part in value.split(os.pathsep) if os.path.isdir(part)]
        for start in starts:
            for folder, _, files in os.walk(os.path.realpath(start)):
                for file in files:
                    if file == "solution.parquet" or file.endswith((".h5ad", "cells.npz")):
                        print("found", os.path.join(folder, file))
        for path in self.told:
            try:
                os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
            except PermissionError:
                print("refused", path)
            else:
                print("opened", path)
            try:
                open(os.path.join(path, "mark") if os.path.isdir(path) else path, "ab").close()
            except OSError:
                continue
            print("changed", path)
        return {"score": np.zeros(inputs.cells.X.shape[0])}
