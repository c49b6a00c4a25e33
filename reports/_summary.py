"""What the numbers say, in sentences: the part of the report that everybody reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from bench.record import DECLARED, TaskCard
from bench.reports import _tables
from bench.reports._load import Run

STATUS_WORDS = {
    "ok": "finished",
    "timeout": "ran out of time",
    "oom": "ran out of memory",
    "crash": "crashed",
    "invalid_output": "returned an invalid answer",
    "not_applicable": "not applicable",
    "unavailable": "not installed",
    "missing": "not finished (no record)",
}

#: Of a metric whose values cannot be resampled.
NO_INTERVALS = "without intervals: small differences say nothing"


@dataclass(frozen=True)
class Leader:
    """The best method of one (track, dataset) by the headline metric.

    Parameters
    ----------
    tied
        Other methods whose confidence interval reaches into that of the best.
    below_trap
        Methods that a trap control matches or beats, and that trap.
    detail
        What qualifies the value of the best, such as few donors behind its interval.
    """

    track: str
    dataset: str
    best: str
    value: str
    interval: str
    tied: list[str]
    below_trap: list[str]
    trap: str
    detail: str


def count(n: int, noun: str, plural: str = "") -> str:
    """``1 trial``, ``2 trials``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listing(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def number(value: float | None) -> str:
    """Three decimals for numbers near one, three figures otherwise; a dash for none."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def leaders(run: Run, task: TaskCard) -> list[Leader]:
    """Best method, ties and methods below a trap, for each pair with at least one scored method."""
    metric = _tables.headline(task)
    frame = _tables.cells(run)
    if metric is None or frame.empty:
        return []
    frame = frame[(frame["metric"] == metric.name) & (frame["task"] == task.name) & frame["value"].notna()]
    traps = _tables.trap_values(frame, task).set_index(["track", "dataset"])
    sign = 1.0 if metric.higher_is_better else -1.0
    out = []
    for track, dataset in _tables.pairs(run, task.name):
        here = frame[(frame["track"] == track) & (frame["dataset"] == dataset) & (frame["role"] == "method")]
        if here.empty:
            continue
        here = here.assign(key=sign * here["value"]).sort_values(["key", "label"], ascending=[False, True])
        best = here.iloc[0]
        rest = here.iloc[1:]
        near, far = ("ci_low", "ci_high") if sign > 0 else ("ci_high", "ci_low")
        tied = rest[(sign * rest[far] >= sign * best[near]).fillna(False) | (rest["value"] == best["value"])]
        trap = traps.loc[(track, dataset)] if (track, dataset) in traps.index else None
        below = here[here["key"] <= sign * trap["trap"]] if trap is not None else here.iloc[:0]
        known = not (pd.isna(best["ci_low"]) or pd.isna(best["ci_high"]))
        out.append(
            Leader(
                track=track,
                dataset=dataset,
                best=best["label"],
                value=number(best["value"]),
                interval=f"{number(best['ci_low'])}–{number(best['ci_high'])}" if known else "",
                tied=tied["label"].tolist(),
                below_trap=below["label"].tolist(),
                trap=f"{trap['trap_label']} {number(trap['trap'])}" if trap is not None else "",
                detail=_detail(run, task, track, dataset, best["label"], metric.name),
            )
        )
    return out


def _detail(run: Run, task: TaskCard, track: str, dataset: str, label: str, metric: str) -> str:
    rows = run.rows[(run.rows["task"] == task.name) & (run.rows["track"] == track) & (run.rows["dataset"] == dataset)]
    rows = rows[(rows["label"] == label) & (rows["metric"] == metric) & (rows["unit"] == "pooled")]
    return "; ".join(sorted({detail for detail in rows["detail"].dropna() if detail}))


def without_result(run: Run, task: TaskCard) -> list[tuple[str, str, str]]:
    """(track, dataset, reason) of the pairs that were tried, and for which no method has a result."""
    out = []
    for track, dataset in _tables.pairs(run, task.name):
        here = [
            record
            for record in run.trials.values()
            if (record.spec.task, record.spec.track, record.spec.dataset) == (task.name, track, dataset)
            and run.methods[record.spec.method].role == "method"
        ]
        if not here or any(record.status == "ok" for record in here):
            continue
        # what is not installed explains a method, never a pair, unless it is all there is
        told = [record for record in here if record.status != "unavailable"] or here
        reasons = {record.detail or STATUS_WORDS[record.status] for record in told}
        several = f"{count(len(told), 'trial')} ended for different reasons, see the coverage"
        out.append((track, dataset, reasons.pop().rstrip(".") if len(reasons) == 1 else several))
    return out


def sentences(run: Run, task: TaskCard, found: list[Leader]) -> list[str]:
    """The summary in plain language."""
    coverage = _tables.coverage(run)
    coverage = coverage[coverage["task"] == task.name]
    planned = set(coverage[coverage["role"] == "method"]["method"])
    tried = planned & set(coverage[~coverage["status"].isin([*DECLARED, "missing"])]["method"])
    idle, verb = (sorted(planned - tried), "compared") if tried else ([], "asked for")
    controls = coverage[coverage["role"] != "method"]["method"].nunique()
    tracks, datasets = sorted(set(coverage["track"])), sorted(set(coverage["dataset"]))
    if coverage.empty:
        return ["Nothing was planned for this run, so there is nothing to compare."]
    first = (
        f"{count(len(planned) - len(idle), 'method')} and {count(controls, 'control')} were {verb} on "
        f"{count(len(datasets), 'dataset')} ({listing(datasets)}) in {count(len(tracks), 'track')} ({listing(tracks)})"
    )
    more = f"; {count(len(idle), 'more', 'more')} ({listing(idle)}) could not or did not run" if idle else ""
    empty = [
        f"No method has a result in track {track} on {dataset}: {reason}."
        for track, dataset, reason in without_result(run, task)
    ]
    many = [f"{len(empty)} track and dataset pairs have no result; the table below says why."]
    return [
        f"{first}{more}.",
        *_verdict(task, found),
        *(empty if len(empty) <= 2 else many if found else []),
        _outcome(run, task),
    ]


def _verdict(task: TaskCard, found: list[Leader]) -> list[str]:
    metric = _tables.headline(task)
    if metric is None or not found:
        return ["No method has a result, so none can be called best."]
    name = metric.name.upper() if metric.name in {"auprc", "auroc"} else metric.name
    top = Counter(leader.best for leader in found)
    if len(found) == 1:
        only = found[0]
        interval = f" (95 % CI {only.interval})" if only.interval else f" ({NO_INTERVALS})"
        tie = f"; the intervals of {listing(only.tied)} overlap with it" if only.tied else ""
        text = [f"By {name}, {only.best} is best with {only.value}{interval}{tie}."]
    else:
        parts = [f"{method} on {n}" for method, n in sorted(top.items(), key=lambda item: (-item[1], item[0]))]
        text = [
            f"By {name}, the highest value belongs to {listing(parts)} of {len(found)} track and dataset pairs; "
            f"{_clear(found)}."
            if metric.higher_is_better
            else f"By {name} (lower is better), the best value belongs to {listing(parts)} of {len(found)} pairs."
        ]
    trapped = sorted({method for leader in found for method in leader.below_trap})
    if trapped:
        verb = "is" if len(trapped) == 1 else "are"
        text.append(f"{listing(trapped)} {verb} beaten or matched by a trap control at least once.")
    return text


def _clear(found: list[Leader]) -> str:
    known = [leader for leader in found if leader.interval]
    if not known:
        return NO_INTERVALS
    n = sum(not leader.tied for leader in known)
    if n == 0:
        return "on none of them does its confidence interval stand clear of all others"
    where = "all of them" if n == len(found) else f"{n} of them"
    return f"on {where} its confidence interval stands clear of all others"


def _outcome(run: Run, task: TaskCard) -> str:
    planned = [key for key, (name, _) in run.planned.items() if name == task.name]
    extra = [key for key, r in run.trials.items() if r.spec.task == task.name and key not in run.planned]
    status = Counter(run.trials[key].status if key in run.trials else "missing" for key in [*planned, *extra])
    total = len(planned) + len(extra)
    if status["ok"] == total:
        return f"All {count(total, 'planned trial')} finished."
    failed = {s: n for s, n in status.items() if s not in {"ok", "missing", *DECLARED}}
    declared = {s: n for s, n in status.items() if s in DECLARED}
    parts = [f"{status['ok']:,} of {count(total, 'planned trial')} finished"]
    if failed:
        parts.append(f"{sum(failed.values()):,} failed ({_spelled(failed)})")
    if declared:
        parts.append(f"{sum(declared.values()):,} could not be run ({_spelled(declared)})")
    if status["missing"]:
        parts.append(f"{status['missing']:,} {'has' if status['missing'] == 1 else 'have'} no record yet")
    return "; ".join(parts) + "."


def _spelled(status: dict[str, int]) -> str:
    return ", ".join(f"{n} {STATUS_WORDS[s]}" for s, n in sorted(status.items(), key=lambda item: (-item[1], item[0])))
