"""The scale of a headline value on a dataset: the perfect control must be ahead of the random one."""

from __future__ import annotations

from dataclasses import dataclass

from bench.task import Metric


@dataclass(frozen=True)
class Anchor:
    """A control's value, with its 95 % bounds where there are some."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        bounds = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{bounds}"


def why_untold(perfect: Anchor, random: Anchor, metric: Metric) -> str:
    """Return the reason why methods cannot be told apart; empty where they can.

    The headline value of the perfect control must be better than the random one's, beyond both intervals where both
    have one. Of another metric it need not be, but may not be the same.
    """
    ahead = metric.sign * (perfect.value - random.value)
    if abs(ahead) < 1e-12 or (metric.headline and ahead < 0):
        how = "does no better than"
    elif metric.headline and _overlap(perfect, random):
        how = "cannot be told from"
    else:
        return ""
    return (
        f"nothing can be told: {perfect.name}, the perfect control ({perfect}), {how} {random.name}, the random one "
        f"({random})"
    )


def _overlap(a: Anchor, b: Anchor) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high
