"""The numbers in sentences: what everybody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.reports.run import tables
from bench.reports.run.caveats import donors_untold, rests_on, tested_donors, weak_labels
from bench.reports.run.leaders import Leader, without_result
from bench.reports.run.load import Run
from bench.reports.run.standing import not_compared
from bench.reports.run.words import number, short
from bench.results.baseline import without_linear_baseline
from bench.results.records import DECLARED, TaskCard
from bench.words import count, listing

#: Of a value without an interval.
NO_INTERVAL = "no interval: small differences say nothing"


def scope(run: Run, task: TaskCard) -> str:
    """Say how many methods and controls were run, and on what."""
    coverage = tables.coverage(run)
    coverage = coverage[coverage["task"] == task.name]
    if coverage.empty:
        return "Nothing was planned for this run, so there is nothing to compare."
    planned = set(coverage[coverage["role"] == "method"]["method"])
    tried = planned & set(coverage[~coverage["status"].isin([*DECLARED, "missing"])]["method"])
    idle, verb = (sorted(planned - tried), "run") if tried else ([], "asked for")
    controls = coverage[coverage["role"] != "method"]["method"].nunique()
    tracks, datasets = sorted(set(coverage["track"])), sorted(set(coverage["dataset"]))
    more = f"; {count(len(idle), 'more', 'more')} ({_few(idle)}) could not or did not run" if idle else ""
    return (
        f"{count(len(planned) - len(idle), 'method')} and {count(controls, 'control')} were {verb} on "
        f"{count(len(datasets), 'dataset')} ({_few(datasets)}) in {count(len(tracks), 'track')} ({_few(tracks)}){more}."
    )


def verdict(run: Run, task: TaskCard, leading: list[Leader]) -> str:
    """Say which method leads, by how much and how surely, with every condition that the claim hangs on."""
    empty = {pair[:2] for pair in without_result(run, task)}
    lacks = [text] if (text := _baseline(run, task)) else []
    return " ".join([*_claim(task, leading), *lacks, *_weight(run, task, leading), *_apart(run, task, empty)])


def no_result(run: Run, task: TaskCard) -> list[str]:
    """Pairs for which no method has a result: each with its reason, or how many they are."""
    without = without_result(run, task)
    if len(without) > 2:
        return [f"{len(without)} track and dataset pairs have no result; the table below says why."]
    return [f"No method has a result in track {track} on {dataset}: {reason}." for track, dataset, reason in without]


def _few(names: Sequence[str], most: int = 6) -> str:
    names = [short(name) for name in names]
    return listing(names) if len(names) <= most else f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _baseline(run: Run, task: TaskCard) -> str:
    """Say that pre-trained models have results and no linear model stands beside them, where the task asks for one."""
    if not task.linear_baseline:
        return ""
    kinds = {name: card.kind for name, card in run.methods.items()}
    return without_linear_baseline((r for r in run.trials.values() if r.spec.task == task.name), kinds)


def _claim(task: TaskCard, leading: list[Leader]) -> list[str]:
    metric = tables.headline(task)
    if metric is None or not leading:
        return ["No method can be called best."]
    name = metric.name.upper() if metric.name in {"auprc", "auroc"} else metric.name
    name += "" if metric.higher_is_better else " (lower is better)"
    return [_of_one(name, leading[0])] if len(leading) == 1 else _of_several(name, leading)


def _of_one(name: str, only: Leader) -> str:
    value = " ".join(filter(None, [only.value, only.interval])) + (f" ({only.how})" if only.how else "")
    best = short(only.best)
    if only.beaten:
        return f"By {name}, no method beats the trivial baseline {only.trap}: the nearest, {best}, has {value}."
    trap = f"; the trivial baseline {only.trap} lies within it" if only.near_trap else ""
    if only.alone:
        return f"By {name}, {best} has {value}{trap}; no other method has a value."
    if only.same:
        claim = f"By {name}, {_few([only.best, *only.same])} share the best value, {value}"
    else:
        claim = f"By {name}, {best} leads with {value}, {number(only.ahead)} ahead of {short(only.next)}"
    if not only.interval:
        return f"{claim}; {NO_INTERVAL}."
    others = count(only.others, "other method")
    if only.tied:
        names = f" ({_few(only.tied)})" if len(only.tied) <= 3 else ""
        sure = f"{len(only.tied)} of {others} cannot be told from it{names}"
    else:
        sure = f"its interval stands clear of {others if only.others == 1 else f'all {others}'}"
    return f"{claim}; {sure}{trap}. In brackets: the 95 % interval."


def _of_several(name: str, leading: list[Leader]) -> list[str]:
    ahead = sorted((x for x in leading if not x.beaten and not x.alone), key=lambda x: x.ahead)
    noun = f"compared {_noun(leading)}"
    pairs = f"{len(leading)} {noun}"
    text = []
    if ahead:
        top = Counter(_who(leader) for leader in ahead)
        on = [f"{who} on {n}" for who, n in sorted(top.items(), key=lambda item: (-item[1], item[0]))]
        lead = f"the lead is with {_few(on)} of {pairs}"
        if len(top) == 1 and len(ahead) == len(leading):
            lead = f"{_who(ahead[0])} leads on {'both ' + noun if len(leading) == 2 else 'all ' + pairs}"
        by = _span([number(leader.ahead) for leader in ahead])
        text.append(f"{lead}, by {by} over the next method; {_clear(ahead)}.")
    beaten = [leader for leader in leading if leader.beaten]
    alone = len(leading) - len(beaten) - len(ahead)
    if beaten:
        traps = _few(sorted({leader.trap.rsplit(" ", 1)[0] for leader in beaten}))
        text.append(f"on {len(beaten)} of {pairs} no method beats the trivial baseline ({traps}).")
    if alone:
        text.append(f"on {alone} of {pairs} only one method has a value.")
    near = sum(leader.near_trap for leader in leading)
    if near:
        text.append(f"on {near} of {pairs} a trivial baseline lies within the leader's interval.")
    trapped = sorted({method for leader in ahead for method in leader.below_trap})
    if trapped:
        does = "does" if len(trapped) == 1 else "do"
        text.append(f"{_few(trapped)} {does} not beat the trivial baseline everywhere.")
    return [f"By {name}, {text[0]}", *(f"O{words[1:]}" if words.startswith("on ") else words for words in text[1:])]


def _noun(leading: list[Leader]) -> str:
    """Name several pairs: tracks of one dataset, datasets of one track, or pairs."""
    if len({leader.dataset for leader in leading}) == 1:
        return "tracks"
    return "datasets" if len({leader.track for leader in leading}) == 1 else "track and dataset pairs"


def _who(leader: Leader) -> str:
    if len(leader.same) > 2:
        return f"{short(leader.best)} and {len(leader.same)} others alike"
    return " = ".join(map(short, [leader.best, *leader.same]))


def _clear(leading: list[Leader]) -> str:
    """On how many pairs the leader stands clear of the others; said only of pairs that have intervals."""
    with_interval = [leader for leader in leading if leader.interval]
    if not with_interval:
        return NO_INTERVAL
    tied = sorted(((len(x.tied), x.others) for x in with_interval if x.tied), key=lambda pair: pair[0] / pair[1])
    n = len(with_interval) - len(tied)
    of = "" if len(with_interval) == len(leading) else f" of the {count(len(with_interval), 'pair')} with intervals"
    on = f"on {'none' if not n else 'each' if not tied else n}{of}"
    if not tied:
        return f"{on} its 95 % interval stands clear of all others"
    rest = f"{_of(tied)} other methods cannot be told from it"
    if not n:
        return f"{on} does the leader's 95 % interval stand clear of all others ({rest})"
    return f"{on} the leader's 95 % interval stands clear of all others (elsewhere {rest})"


def _of(tied: list[tuple[int, int]]) -> str:
    """``2 to 6 of 6``, or ``2 of 6 to 5 of 7``."""
    if len({others for _, others in tied}) == 1:
        return f"{_span([str(n) for n, _ in tied])} of {tied[0][1]}"
    return _span([f"{n} of {others}" for n, others in tied])


def _span(ordered: Sequence[str]) -> str:
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


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
        unknown: dict[str, set[str]] = {}
        for (_, dataset), n in donors.items():
            if not n:
                unknown.setdefault(donors_untold(run, dataset), set()).add(dataset)
        parts = [span] if n_tested else []
        parts += [f"{words} ({_few(sorted(datasets))})" for words, datasets in unknown.items()]
        text = [f"Each rests on {' or on '.join(parts)}."]
    weak = sorted({leader.dataset for leader in leading if weak_labels(run, task.name, leader.dataset)})
    if weak:
        text.append(f"The labels of {_few(weak)} are weak: not the authors' own.")
    return text


def _apart(run: Run, task: TaskCard, empty: set[tuple[str, str]]) -> list[str]:
    """Pairs whose methods are not compared, and why, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for (track, dataset), why in not_compared(run, task).items():
        if (track, dataset) not in empty:
            reasons.setdefault(why, []).append(f"{track} on {dataset}")
    return [f"Not compared: {_few(pairs)} ({why})." for why, pairs in reasons.items()]
