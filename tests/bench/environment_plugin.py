"""Methods with an environment of their own; the tests write `environment_plugin.toml` beside a copy of this file."""

import os
import sys
import time

from bench.method import Method, python_package


class InsideToy(Method):
    """Runs where the package `only_here` is."""

    name = "inside"
    tasks = ("guess",)
    summary = "Total counts, in an environment."
    stochastic = False
    environment = "environment_plugin.toml"
    requires = (python_package("only-here"),)

    def __init__(self, mode: str = "ok"):
        self.mode = mode

    def run(self, inputs, ctx):
        import numpy as np
        import only_here

        if self.mode == "raise":
            raise ValueError("it went wrong inside")
        if self.mode == "exit":
            os._exit(3)
        if self.mode == "sleep":
            with ctx.phase("fit"):
                ctx.progress(0.4, "asleep")
                time.sleep(60)
        if self.mode == "memory":
            ctx.progress(0.5, "hoarding")
            hog = np.ones(200_000_000)
            time.sleep(30)
            del hog
        ctx.note(f"only_here {only_here.VERSION}, donors {sorted(set(inputs.cells.obs['donor']))}")
        ctx.note(f"python {sys.prefix}")
        ctx.note(f"home {os.environ['HOME']}")
        ctx.note(f"libraries of R {os.environ.get('R_LIBS', '')}")
        for module in ("bench.results.store", "bench.execution.trial", "bench.tasks.doublet", "toy_plugin"):
            try:
                __import__(module)
            except ImportError:
                continue
            ctx.note(f"{module} can be imported")
        return {"score": np.asarray(inputs.cells.X.sum(axis=1)).ravel()}
