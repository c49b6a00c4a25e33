"""The numbers in sentences: the part of the report that everybody reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reports.run import tables
from bench.reports.run.caveats import rests_on, tested_donors, weak_labels
from bench.reports.run.load import Run
from bench.reports.run.standing import not_compared
from bench.reports.run.words import interval, number
from bench.results.records import DECLARED, TaskCard
from bench.words import count, listing

if TYPE_CHECKING:
    import pandas as pd

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

#: Of a value without an interval.
NO_INTERVAL = "no interval: small differences say nothing"


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
    alone
        Whether no other method has a value.
    detail
        What qualifies the value of the best.
    near_trap
        Whether the interval of the best, which beats the trap, reaches the trap's value all the same.
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
    alone: bool
    detail: str
    near_trap: bool = False


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
    sign = 1.0 if metric.higher_is_better else -1.0
    apart = not_compared(run, task)
    out = []
    for track, dataset in tables.pairs(run, task.name):
        methods = frame[(frame["track"] == track) & (frame["dataset"] == dataset)]
        methods = methods[(methods["role"] == "method") & methods["whole"]]
        if methods.empty or (track, dataset) in apart:
            continue
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
                alone=rest.empty,
                detail=_detail(run, task, track, dataset, best["label"], metric.name),
                near_trap=bounds != ""
                and trap is not None
                and bool(sign * best[near] <= sign * trap["trap"] < best["key"]),
            )
        )
    return out


def _how(best: pd.Series) -> str:
    if best["splits"] == 2:
        return f"2 splits: {number(best['low'])} and {number(best['high'])}"
    several = {"splits": ("splits", "split"), "trials": ("trials", "trial")}.get(best["interval"])
    return f"over {count(best[several[0]], several[1])}" if several else ""


def _detail(run: Run, task: TaskCard, track: str, dataset: str, label: str, metric: str) -> str:
    """Details of the rows, without those of the single intervals: the tested donors stand in the table."""
    rows = run.rows[(run.rows["task"] == task.name) & (run.rows["track"] == track) & (run.rows["dataset"] == dataset)]
    rows = rows[(rows["label"] == label) & (rows["metric"] == metric) & (rows["unit"] == "pooled")]
    parts = {part for detail in rows["detail"].dropna() for part in detail.split("; ") if part}
    return "; ".join(sorted(part for part in parts if not part.startswith("interval rests on ")))


def without_result(run: Run, task: TaskCard) -> list[tuple[str, str, str]]:
    """(track, dataset, reason) of the pairs that were tried, and for which no method has a result."""
    out = []
    for track, dataset in tables.pairs(run, task.name):
        tried = [
            record
            for record in run.trials.values()
            if (record.spec.task, record.spec.track, record.spec.dataset) == (task.name, track, dataset)
            and run.methods[record.spec.method].role == "method"
        ]
        if not tried or any(record.status == "ok" for record in tried):
            continue
        # what is not installed explains a method, never a pair, unless it is all there is
        explaining = [record for record in tried if record.status != "unavailable"] or tried
        reasons = {record.detail or STATUS_WORDS[record.status] for record in explaining}
        several = f"{count(len(explaining), 'trial')} ended for different reasons, see the coverage"
        out.append((track, dataset, reasons.pop().rstrip(".") if len(reasons) == 1 else several))
    return out


def sentences(run: Run, task: TaskCard, leading: list[Leader]) -> list[str]:
    """The summary in plain language."""
    coverage = tables.coverage(run)
    coverage = coverage[coverage["task"] == task.name]
    planned = set(coverage[coverage["role"] == "method"]["method"])
    tried = planned & set(coverage[~coverage["status"].isin([*DECLARED, "missing"])]["method"])
    idle, verb = (sorted(planned - tried), "run") if tried else ([], "asked for")
    controls = coverage[coverage["role"] != "method"]["method"].nunique()
    tracks, datasets = sorted(set(coverage["track"])), sorted(set(coverage["dataset"]))
    if coverage.empty:
        return ["Nothing was planned for this run, so there is nothing to compare."]
    first = (
        f"{count(len(planned) - len(idle), 'method')} and {count(controls, 'control')} were {verb} on "
        f"{count(len(datasets), 'dataset')} ({listing(datasets)}) in {count(len(tracks), 'track')} ({listing(tracks)})"
    )
    more = f"; {count(len(idle), 'more', 'more')} ({listing(idle)}) could not or did not run" if idle else ""
    without = without_result(run, task)
    empty = [f"No method has a result in track {track} on {dataset}: {reason}." for track, dataset, reason in without]
    many = [f"{len(empty)} track and dataset pairs have no result; the table below says why."]
    return [
        f"{first}{more}.",
        " ".join([*_verdict(task, leading), *_weight(run, task, leading)]),
        *_apart(run, task, {pair[:2] for pair in without}),
        *(empty if len(empty) <= 2 else many if leading else []),
        _outcome(run, task),
    ]


def _verdict(task: TaskCard, leading: list[Leader]) -> list[str]:
    metric = tables.headline(task)
    if metric is None or not leading:
        return ["No method can be called best."]
    name = metric.name.upper() if metric.name in {"auprc", "auroc"} else metric.name
    name += "" if metric.higher_is_better else " (lower is better)"
    return [_of_one(name, leading[0])] if len(leading) == 1 else _of_several(name, leading)


def _of_one(name: str, only: Leader) -> str:
    value = " ".join(filter(None, [only.value, only.interval])) + (f" ({only.how})" if only.how else "")
    if only.beaten:
        return f"By {name}, no method beats the trap control {only.trap}: the nearest, {only.best}, has {value}."
    trap = f"; the trap control {only.trap} lies within it" if only.near_trap else ""
    if only.alone:
        return f"By {name}, {only.best} has {value}{trap}; no other method has a value."
    if not only.interval:
        have = "has" if not only.same else "share"
        return f"By {name}, {listing([only.best, *only.same])} {have} the best value, {value}; {NO_INTERVAL}."
    single = len(only.tied) == 1
    tied = f"; the interval{'' if single else 's'} of {listing(only.tied)} overlap{'s' if single else ''} with it"
    return (
        f"By {name}, {only.best} is best with {value}{tied if only.tied else ''}{trap}. In brackets: the 95 % interval."
    )


def _of_several(name: str, leading: list[Leader]) -> list[str]:
    ahead = [leader for leader in leading if not leader.beaten and not leader.alone]
    text = []
    if ahead:
        top = Counter(" = ".join([leader.best, *leader.same]) for leader in ahead)
        parts = [f"{method} on {n}" for method, n in sorted(top.items(), key=lambda item: (-item[1], item[0]))]
        pairs = f"{len(leading)} track and dataset pairs"
        text.append(f"By {name}, the best value belongs to {listing(parts)} of {pairs}; {_clear(ahead)}.")
    beaten = sum(leader.beaten for leader in leading)
    alone = len(leading) - beaten - len(ahead)
    for n, words in ((beaten, "no method beats the best trap control"), (alone, "only one method has a value")):
        if n:
            text.append(f"By {name}, on {n} of {len(leading)} track and dataset pairs {words}.")
    near = sum(leader.near_trap for leader in leading)
    if near:
        text.append(
            f"On {near} of {len(leading)} pairs the best trap control lies within the interval of the best method."
        )
    trapped = sorted({method for leader in ahead for method in leader.below_trap})
    if trapped:
        verb = "is" if len(trapped) == 1 else "are"
        text.append(f"{listing(trapped)} {verb} beaten or matched by a trap control where another method is not.")
    return text


def _clear(leading: list[Leader]) -> str:
    """On how many pairs the best stands clear of the others; said only of pairs that have intervals."""
    with_interval = [leader for leader in leading if leader.interval]
    if not with_interval:
        return NO_INTERVAL
    n = sum(not leader.tied for leader in with_interval)
    of = "them" if len(with_interval) == len(leading) else f"the {count(len(with_interval), 'pair')} with intervals"
    return f"on {n or 'none'} of {of} its 95 % interval stands clear of all others"


def _weight(run: Run, task: TaskCard, leading: list[Leader]) -> list[str]:
    """Say how many donors the verdict rests on, and whose labels are weak."""
    if not leading:
        return []
    if len(leading) == 1:
        text = [f"It rests on {rests_on(run, task.name, leading[0].track, leading[0].dataset)}."]
    else:
        donors = {(x.track, x.dataset): tested_donors(run, task.name, x.track, x.dataset) for x in leading}
        n_tested = sorted(n for n in donors.values() if n)
        fewest = f"{n_tested[0]} to " if len(set(n_tested)) > 1 else ""
        span = f"{fewest}{count(n_tested[-1], 'tested donor')}" if n_tested else ""
        unknown = listing(sorted({dataset for (_, dataset), n in donors.items() if not n}))
        parts = [f"{span} a track and dataset"] if n_tested else []
        parts += [f"cells whose donors are not told apart ({unknown})"] if len(n_tested) < len(leading) else []
        text = [f"It rests on {' and on '.join(parts)}."]
    weak = sorted({leader.dataset for leader in leading if weak_labels(run, task.name, leader.dataset)})
    if weak:
        text.append(f"The labels of {listing(weak)} are weak: not the authors' own.")
    return text


def _apart(run: Run, task: TaskCard, empty: set[tuple[str, str]]) -> list[str]:
    """Pairs whose methods are not compared, and why, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for (track, dataset), why in not_compared(run, task).items():
        if (track, dataset) not in empty:
            reasons.setdefault(why, []).append(f"{track} on {dataset}")
    return [f"Not compared: {listing(pairs)} ({why})." for why, pairs in reasons.items()]


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
