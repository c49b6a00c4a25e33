"""Leaders: the best method of each track and dataset, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reports.run import tables
from bench.reports.run.load import Run, once
from bench.reports.run.standing import not_compared
from bench.reports.run.words import STATUS_WORDS, interval, number
from bench.results.records import TaskCard, TrialRecord
from bench.words import count

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Leader:
    """The method with the best headline value of one (track, dataset) whose methods may be compared.

    Parameters
    ----------
    how
        What the interval is, where it is not that of one trial; of two splits, which have none, their values.
    tied
        Other methods whose interval reaches into that of the best, or whose value is the same.
    same
        Those whose value is the same.
    below_trap
        Methods that a trap control matches or beats.
    trap
        The best trap control with its value.
    beaten
        Whether that holds for the best method too, so that none is better than a trap.
    detail
        What qualifies the value of the best.
    near_trap
        Whether the interval of the best, which beats the trap, reaches the trap's value all the same.
    others
        Number of the other methods with a value.
    ahead, next
        By how much the best leads, and over which method; nothing where it is alone.
    """

    track: str
    dataset: str
    best: str
    value: str
    interval: str
    how: str
    tied: list[str]
    same: list[str]
    below_trap: list[str]
    trap: str
    beaten: bool
    detail: str
    near_trap: bool
    others: int
    ahead: float
    next: str

    @property
    def alone(self) -> bool:
        """Return whether no other method has a value."""
        return not self.others


def leaders(run: Run, task: TaskCard) -> list[Leader]:
    """Best method, ties and methods below a trap, for each pair whose methods are compared and have a value.

    Methods that lack splits which others have (:func:`bench.reports.run.tables.cells`) take no part.
    """
    metric = tables.headline(task)
    frame = tables.cells(run)
    if metric is None or frame.empty:
        return []
    frame = frame[(frame["metric"] == metric.name) & (frame["task"] == task.name) & frame["value"].notna()]
    traps = tables.trap_values(frame, task).set_index(["track", "dataset"])
    sign = metric.sign
    apart, detail = not_compared(run, task), _details(run, task, metric.name)
    of_pair = dict(list(frame[(frame["role"] == "method") & frame["whole"]].groupby(["track", "dataset"])))
    out = []
    for track, dataset in tables.pairs(run, task.name):
        if (track, dataset) not in of_pair or (track, dataset) in apart:
            continue
        methods = of_pair[track, dataset]
        methods = methods.assign(key=sign * methods["value"]).sort_values(["key", "label"], ascending=[False, True])
        best = methods.iloc[0]
        rest = methods.iloc[1:]
        near, far = ("ci_low", "ci_high") if sign > 0 else ("ci_high", "ci_low")
        bounds = interval(best["ci_low"], best["ci_high"])
        tied = rest[(sign * rest[far] >= sign * best[near]).fillna(False) | (rest["value"] == best["value"])]
        trap = traps.loc[(track, dataset)] if (track, dataset) in traps.index else None
        below = methods[methods["key"] <= sign * trap["trap"]] if trap is not None else methods.iloc[:0]
        out.append(
            Leader(
                track=track,
                dataset=dataset,
                best=best["label"],
                value=number(best["value"]),
                interval=bounds,
                how=_how(best),
                tied=tied["label"].tolist(),
                same=rest.loc[rest["value"] == best["value"], "label"].tolist(),
                below_trap=below["label"].tolist(),
                trap=f"{trap['trap_label']} {number(trap['trap'])}" if trap is not None else "",
                beaten=best["label"] in below["label"].tolist(),
                detail=detail.get((track, dataset, best["label"]), ""),
                near_trap=bounds != ""
                and trap is not None
                and bool(sign * best[near] <= sign * trap["trap"] < best["key"]),
                others=len(rest),
                ahead=0.0 if rest.empty else float(best["key"] - rest["key"].iloc[0]),
                next="" if rest.empty else rest["label"].iloc[0],
            )
        )
    return out


def _how(best: pd.Series) -> str:
    if best["splits"] == 2:
        return f"2 splits: {number(best['low'])} and {number(best['high'])}"
    several = {"splits": ("splits", "split"), "trials": ("trials", "trial")}.get(best["interval"])
    return f"over {count(best[several[0]], several[1])}" if several else ""


def _details(run: Run, task: TaskCard, metric: str) -> dict[tuple[str, str, str], str]:
    """(track, dataset, label) -> details of its rows, without those of the single intervals: these stand in a table."""
    rows = run.rows[run.rows["detail"].notna()]
    rows = rows[(rows["metric"] == metric) & (rows["unit"] == "pooled") & (rows["task"] == task.name)]
    parts: dict[tuple[str, str, str], set[str]] = {}
    for *name, text in rows[["track", "dataset", "label", "detail"]].itertuples(index=False, name=None):
        told = {part for part in text.split("; ") if part and not part.startswith("interval rests on ")}
        parts.setdefault(tuple(name), set()).update(told)
    return {name: "; ".join(sorted(told)) for name, told in parts.items()}


@once
def without_result(run: Run, task: TaskCard) -> list[tuple[str, str, str]]:
    """(track, dataset, reason) of the pairs that were tried, and for which no method has a result."""
    of_pair: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in run.trials.values():
        if record.spec.task == task.name and record.spec.role == "method":
            of_pair.setdefault((record.spec.track, record.spec.dataset), []).append(record)
    out = []
    for track, dataset in tables.pairs(run, task.name):
        tried = of_pair.get((track, dataset), [])
        if not tried or any(record.status == "ok" for record in tried):
            continue
        # what is not installed explains a method, never a pair, unless it is all there is
        explaining = [record for record in tried if record.status != "unavailable"] or tried
        reasons = {record.detail or STATUS_WORDS[record.status] for record in explaining}
        several = f"{count(len(explaining), 'trial')} ended for different reasons, see the coverage"
        out.append((track, dataset, reasons.pop().rstrip(".") if len(reasons) == 1 else several))
    return out
