"""A comparison in words: what the terminal prints, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.reports.compare.changes import NOISE, Comparison
from bench.reports.run.load import Run
from bench.reports.run.words import interval, number
from bench.words import count, listing

if TYPE_CHECKING:
    import pandas as pd

#: In the order of how much they say.
_TOLD = ("worse", "better", "not separated", "no interval", "not judged")
#: Intervals over fewer are too narrow.
FEW_DONORS = 5
#: Most lines of a kind that the terminal shows.
_MOST = 40


def difference(row: Any) -> str:
    """``+0.012 [0.003, 0.020]``."""
    sign = "+" if row.difference > NOISE else ""
    return " ".join(filter(None, [f"{sign}{number(row.difference)}", interval(row.ci_low, row.ci_high)]))


def sentence(comparison: Comparison) -> str:
    """The verdict in one line."""
    headline = comparison.scores[comparison.scores["headline"]]
    n = headline["change"].value_counts()
    parts = [f"{n[change]} {change}" for change in _TOLD if change in n]
    parts.append(f"{n.get('same', 0)} the same")
    lost = f"; {count(len(comparison.lost), 'trial')} no longer finished" if len(comparison.lost) else ""
    return f"Of {count(len(headline), 'headline score')} {listing(parts)}{lost}."


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as text, line by line."""
    for side, run in (("A", comparison.a), ("B", comparison.b)):
        yield f"{side}  {run.folder}  run {run.info.run_id}, {run.info.created}, bench {run.info.bench_version}"
    yield f"{count(comparison.n_trials, 'trial')} finished in both, on the same data and the same truth."
    yield from _scores(comparison)
    yield from _statuses(comparison)
    yield from _listed("Settings that differ", [*_settings(comparison)])
    yield from _listed("Versions that differ", [f"{r.name} {r.a} -> {r.b}" for r in comparison.versions.itertuples()])
    refused = comparison.refused
    yield from _listed("Not compared", [f"{r.task}/{r.track} on {r.dataset}: {r.reason}" for r in refused.itertuples()])
    yield ""
    yield sentence(comparison)


def _scores(comparison: Comparison) -> Iterator[str]:
    scores = comparison.scores
    for (task, metric), rows in scores[scores["headline"]].groupby(["task", "metric"]):
        card = next(m for m in comparison.b.tasks[task].metrics if m.name == metric)
        changed = rows[rows["change"] != "same"]
        yield ""
        rest = len(rows) - len(changed)
        if len(changed):
            yield f"{task}, {metric} ({card.direction}); in brackets the paired 95 % interval of the difference"
            table = [("track", "dataset", "method", "A", "B", "B - A", "")]
            table += [
                (r.track, r.dataset, r.method, number(r.a), number(r.b), difference(r), r.change)
                for r in changed.sort_values("change", key=lambda c: c.map(_TOLD.index)).itertuples()
            ]
            yield from _aligned(table)
            if rest:
                yield f"  {count(rest, 'other')}: the same"
            if (changed["change"] == "not judged").any():
                yield "  not judged: the truth is circular, or the metric cannot tell perfect from random there"
            few = changed[changed["ci_low"].notna() & (changed["donors"] < FEW_DONORS)]
            if len(few):
                least = count(int(few["donors"].min()), "donor")
                yield f"  intervals that rest on few donors are too narrow; here on {least}"
        else:
            yield f"{task}, {metric}: the same in all {count(rest, 'pair')} of method and dataset"
        other = scores[(scores["task"] == task) & ~scores["headline"]]["change"].value_counts()
        told = [f"{other[change]} {change}" for change in _TOLD if change in other]
        if told:
            yield f"  other metrics: {listing(told)} (--json and --csv have them)"


def _statuses(comparison: Comparison) -> Iterator[str]:
    statuses = comparison.statuses
    both = statuses[statuses["status_a"].notna() & statuses["status_b"].notna()]
    yield from _listed(
        "Trials that end otherwise",
        [
            f"{r.task}/{r.track} on {r.dataset}, {r.method} {r.split_seed}.{r.sim_seed}.{r.method_seed}: "
            f"{r.status_a} -> {r.status_b}" + (f" ({r.detail_b.splitlines()[0]})" if r.detail_b else "")
            for r in both.sort_values("lost", ascending=False, kind="stable").itertuples()
        ],
    )
    for side, other in (("A", "status_b"), ("B", "status_a")):
        only = statuses[statuses[other].isna()]
        by_task = [f"{task} {methods}" for task, methods in only.groupby("task")["method"].apply(_named).items()]
        yield from _listed(f"Only in {side}: {count(len(only), 'trial')}", by_task)


def _settings(comparison: Comparison) -> Iterator[str]:
    """Tell once the differences that several methods share; of their code only that it does."""
    frame = comparison.settings
    code = frame["setting"].isin(["source", "inputs"])
    for (task, setting), rows in frame[code].groupby(["task", "setting"]):
        yield f"{task}: other {'source code' if setting == 'source' else 'inputs'} of {listing(sorted(rows['method']))}"
    for (task, setting, a, b), rows in frame[~code].groupby(["task", "setting", "a", "b"]):
        yield f"{task}: {setting} {a} -> {b} of {_named(rows['method'])}"


def _named(methods: pd.Series) -> str:
    names = sorted(methods.unique())
    return listing(names) if len(names) <= 8 else count(len(names), "method and control", "methods and controls")


def _listed(title: str, items: list[str]) -> Iterator[str]:
    if items:
        yield ""
        yield f"{title}:"
        yield from (f"  {item}" for item in items[:_MOST])
        if len(items) > _MOST:
            yield f"  and {len(items) - _MOST} more"


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def as_json(comparison: Comparison) -> str:
    """Everything, for scripts."""
    frames = {name: getattr(comparison, name) for name in ("scores", "statuses", "settings", "versions", "refused")}
    return json.dumps(
        {
            "a": _run(comparison.a),
            "b": _run(comparison.b),
            "trials": comparison.n_trials,
            "worse": len(comparison.worse),
            "lost": len(comparison.lost),
            **{
                name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in frames.items()
            },
        },
        indent=1,
    )


def _run(run: Run) -> dict[str, str]:
    return {"folder": str(run.folder), **run.info.model_dump()}
