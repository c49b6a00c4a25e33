"""A method in a package of its own: the droplet's depth relative to its library."""

from bench.method import Method


class Depth(Method):
    """Log ratio of a droplet's UMI count to the median of its library."""

    name = "depth"
    tasks = ("doublet",)
    summary = "Log ratio of a droplet's UMI count to the median of its library."
    stochastic = False
    per_donor = True

    def run(self, inputs, ctx):
        import numpy as np

        totals = np.asarray(inputs.cells.X.sum(axis=1)).ravel()
        score = np.log((totals + 1) / (np.median(totals) + 1))
        return {"score": score, "call": score > np.log(1.8)}
