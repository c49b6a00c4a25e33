"""Fate of the planned trials: one line where all is well; else what was lost, by method and reason."""

from __future__ import annotations

from dataclasses import dataclass

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.words import STATUS_WORDS
from bench.results.records import DECLARED, TaskCard
from bench.words import count, listing


@dataclass(frozen=True)
class Lost:
    """Trials of one method that ended alike, or that have no record.

    Parameters
    ----------
    n, planned
        How many of the method's planned trials.
    where
        The tracks and datasets, written out while they are few.
    why
        The most frequent reason, and how many more there are.
    """

    method: str
    status: str
    n: int
    planned: int
    where: str
    why: str

    @property
    def words(self) -> str:
        """The status as a reader says it."""
        return STATUS_WORDS[self.status]


@dataclass(frozen=True)
class Line:
    """Summary of the ends of all that was planned: a claim, and what it sums up, if anything."""

    claim: str
    rest: str

    def __str__(self) -> str:
        return f"{self.claim}{': ' if self.rest else ''}{self.rest}."


def lost(run: Run, task: TaskCard) -> list[Lost]:
    """Return all that failed or is missing, the most frequent first; what was declared impossible is no failure."""
    frame = tables.outcomes(run)
    frame = frame[frame["task"] == task.name]
    planned = frame["method"].value_counts()
    out = []
    for (method, status), group in frame[~frame["status"].isin(["ok", *DECLARED])].groupby(["method", "status"]):
        details = group["key"].map(lambda key: run.trials[key].detail if key in run.trials else "").value_counts()
        why, more = str(details.index[0]), len(details) - 1
        if more:
            why += f"; and {count(more, 'other reason')}"
        pairs = list(dict.fromkeys(zip(group["track"], group["dataset"], strict=True)))
        where = listing([f"{t} on {d}" for t, d in pairs]) if len(pairs) <= 2 else f"{len(pairs)} tracks and datasets"
        out.append(Lost(str(method), str(status), len(group), int(planned[method]), where, why))
    return sorted(out, key=lambda x: (-x.n, x.method, x.status))


def line(run: Run, task: TaskCard) -> Line:
    """``All 68 planned trials finished``, or ``263 of 4,369 planned trials failed or are missing`` and how."""
    frame = tables.outcomes(run)
    status = frame.loc[frame["task"] == task.name, "status"].value_counts().to_dict()
    total, ok = sum(status.values()), status.get("ok", 0)
    bad = {s: n for s, n in status.items() if s not in {"ok", *DECLARED}}
    declared = {s: n for s, n in status.items() if s in DECLARED}
    trials = count(total, "planned trial")
    could_not = f"{sum(declared.values()):,} could not be run ({_spelled(declared)})" if declared else ""
    if not bad:
        claim = f"{ok:,} of {trials} finished" if declared else f"All {trials} finished"
        return Line(claim if total > 1 or declared else "The only planned trial finished", could_not)
    n = sum(bad.values())
    claim = f"{n:,} of {trials} failed or {'is' if n == 1 else 'are'} missing"
    return Line(claim, "; ".join(filter(None, [_spelled(bad), could_not, f"{ok:,} finished"])))


def _spelled(status: dict[str, int]) -> str:
    return ", ".join(
        f"{n:,} {STATUS_WORDS[s]}" for s, n in sorted(status.items(), key=lambda item: (-item[1], item[0]))
    )
