"""Changes between two runs, as tidy frames: scores with paired intervals, statuses, settings, versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.reports.compare import pairs
from bench.reports.run import tables
from bench.reports.run.caveats import tested_donors
from bench.reports.run.load import Run
from bench.reports.run.splits import tested_to_trained
from bench.reports.run.standing import without_scale
from bench.results.records import TrialRecord

#: Metric -> 95 % interval of its difference between two trials of one problem, paired over donors and cells.
Intervals = Callable[[TrialRecord, TrialRecord], Mapping[str, tuple[float, float]]]

#: Differences up to this are the same number, added up in another order.
NOISE = 1e-9
SCORE = ["task", "track", "dataset", "method", "role", "metric"]
SCORES = [
    *SCORE,
    "headline",
    "a",
    "b",
    "difference",
    "ci_low",
    "ci_high",
    "interval",
    "trials",
    "splits",
    "donors",
    "change",
]


@dataclass(frozen=True)
class Comparison:
    """Run ``b`` against run ``a``.

    Parameters
    ----------
    scores
        A row per track, dataset, method and main metric, over the trials that both have finished: :data:`SCORES`.
        ``change`` is ``same``, ``better`` or ``worse`` (the paired 95 % interval of ``difference``, b - a, excludes
        0), ``not separated``, ``no interval``, or ``not judged`` where better and worse mean nothing: the truth is
        circular, or the metric cannot tell a perfect answer from a random one there.
    statuses
        Trials that one run has finished and the other has not, or that end otherwise, or that one run did not plan:
        the columns of :func:`bench.reports.compare.pairs.trials`, ``detail_b`` and ``lost`` (finished in ``a``, not in
        ``b``, which planned it).
    settings, versions
        ``task, method, setting, a, b``; ``name, a, b``: what differs.
    refused
        ``task, track, dataset, reason`` of what does not compare.
    n_trials
        Number of trials that both have finished and that compare.
    """

    a: Run
    b: Run
    scores: pd.DataFrame
    statuses: pd.DataFrame
    settings: pd.DataFrame
    versions: pd.DataFrame
    refused: pd.DataFrame
    n_trials: int

    @property
    def worse(self) -> pd.DataFrame:
        """Headline scores that are worse."""
        return self.scores[self.scores["headline"] & (self.scores["change"] == "worse")]

    @property
    def lost(self) -> pd.DataFrame:
        """Trials that no longer finish."""
        return self.statuses[self.statuses["lost"]]


def compare(a: Run, b: Run, intervals: Intervals) -> Comparison:
    """Compare two runs.

    Raises
    ------
    bench.errors.BenchError
        If they have no trial in common, so that nothing could be said.
    """
    every = pairs.trials(a, b)
    shared = every["key_a"].isin(list(a.trials)) & every["key_b"].isin(list(b.trials))
    if not shared.any():
        raise BenchError(
            "the two runs share no trial: nothing can be compared",
            where=f"{a.folder} and {b.folder}",
            fix="compare runs of one task, on the same datasets, with the same methods and seeds",
        )
    reasons = pairs.refused(a, b, every[shared])
    comparable = pd.Series([t not in reasons for t in every[pairs.PROBLEM].itertuples(index=False, name=None)])
    finished = shared & comparable & (every["status_a"] == "ok") & (every["status_b"] == "ok")
    refused = [(*problem[:3], why) for problem, why in reasons.items()]
    return Comparison(
        a,
        b,
        scores=_scores(a, b, every[finished], intervals),
        statuses=_statuses(b, every),
        settings=_settings(a, b, every[shared]),
        versions=_versions(a, b, every[shared]),
        refused=pd.DataFrame([*dict.fromkeys(refused)], columns=["task", "track", "dataset", "reason"]),
        n_trials=int(finished.sum()),
    )


def _scores(a: Run, b: Run, trials: pd.DataFrame, intervals: Intervals) -> pd.DataFrame:
    first, second, split_of = _pooled(a), _pooled(b), a.rows.drop_duplicates("trial").set_index("trial")["split"]
    found: dict[tuple, list[tuple[float, ...]]] = {}
    for trial in trials.itertuples(index=False):
        x, y = first[trial.key_a], second[trial.key_b]
        same = x.keys() == y.keys() and all(_same(x[m], y[m]) for m in x)
        bounds = {} if same else intervals(a.trials[trial.key_a], b.trials[trial.key_b])
        for metric in x.keys() & y.keys():
            name = (trial.task, trial.track, trial.dataset, trial.method, trial.role, metric)
            ends = (0.0, 0.0) if _same(x[metric], y[metric]) else bounds.get(metric, (np.nan, np.nan))
            found.setdefault(name, []).append((split_of[trial.key_a], x[metric], y[metric], *ends))
    rows = [dict(zip(SCORE, name, strict=True)) | _score(a, b, name, np.array(of)) for name, of in found.items()]
    frame = pd.DataFrame([row for row in rows if row["trials"]], columns=SCORES)
    frame = frame.astype({"headline": bool, "donors": "Int64"})
    return frame.sort_values(SCORE, kind="stable", ignore_index=True)


def _pooled(run: Run) -> dict[str, dict[str, float]]:
    """Trial -> main metric -> value; NaN where it is undefined."""
    wanted = {(name, metric) for name, card in run.tasks.items() for metric in tables.main_metrics(card)}
    rows = run.rows[(run.rows["status"] == "ok") & (run.rows["unit"] == "pooled")]
    values = rows["value"].to_numpy(dtype=float, na_value=np.nan)
    found: dict[str, dict[str, float]] = {str(key): {} for key in rows["trial"].unique()}
    for key, task, metric, value in zip(rows["trial"], rows["task"], rows["metric"], values, strict=True):
        if (task, metric) in wanted:
            found[key][metric] = value
    return found


def _same(x: float, y: float) -> bool:
    """Return whether two values are the same but for the order in which numbers were added up."""
    return bool(np.isclose(x, y, rtol=0.0, atol=NOISE, equal_nan=True))


def _score(a: Run, b: Run, name: tuple, of: np.ndarray) -> dict[str, object]:
    """A row of :attr:`Comparison.scores` from ``split, a, b, ci_low, ci_high`` of each pair of trials."""
    task, track, dataset, *_, metric = name
    card = b.tasks[task]
    up = next(m.higher_is_better for m in card.metrics if m.name == metric)
    split, x, y, low, high = of.astype(float).T
    both = ~np.isnan(x - y)
    share = tested_to_trained(a.splits.get((task, track, dataset), {}), a.datasets.get(dataset))
    shares = np.array([share], dtype=float)
    mean = tables.means_of_trials(np.zeros(len(split), int), split, y - x, low, high, shares).iloc[0]
    headline = tables.headline(card)
    row = {
        "headline": headline is not None and headline.name == metric,
        "a": x[both].mean() if both.any() else np.nan,
        "b": y[both].mean() if both.any() else np.nan,
        "difference": mean["value"],
        "ci_low": mean["ci_low"],
        "ci_high": mean["ci_high"],
        "interval": mean["interval"],
        "trials": mean["trials"],
        "splits": mean["splits"],
        "donors": tested_donors(b, task, track, dataset),
    }
    tells = not card.tracks[track].circular and (track, dataset, metric) not in without_scale(b, card)
    return row | {"change": _change(row, y - x, up) if tells or _same(row["difference"], 0.0) else "not judged"}


def _change(row: dict, differences: np.ndarray, up: bool) -> str:
    if all(_same(difference, 0.0) for difference in differences[~np.isnan(differences)]):
        return "same"
    low, high = (row["ci_low"], row["ci_high"]) if up else (-row["ci_high"], -row["ci_low"])
    return "no interval" if np.isnan(low) else "better" if low > 0 else "worse" if high < 0 else "not separated"


def _statuses(b: Run, every: pd.DataFrame) -> pd.DataFrame:
    differ = every[every["status_a"].fillna("") != every["status_b"].fillna("")]
    details = [b.trials[key].detail if key in b.trials else "" for key in differ["key_b"]]
    lost = (differ["status_a"].fillna("") == "ok") & differ["status_b"].notna()
    return differ.assign(detail_b=details, lost=lost.astype(bool)).reset_index(drop=True)


def _settings(a: Run, b: Run, shared: pd.DataFrame) -> pd.DataFrame:
    """Return differences that decide the trials' outcome, once for each task and method."""
    rows: dict[tuple[str, str, str], tuple[set[str], set[str]]] = {}
    for trial in shared.itertuples(index=False):
        sides = _decisive(a.trials[trial.key_a]), _decisive(b.trials[trial.key_b])
        for name in sorted({*sides[0], *sides[1]}):
            values = [side.get(name, "–") for side in sides]
            if values[0] != values[1]:
                met = rows.setdefault((trial.task, trial.method, name), (set(), set()))
                for of, value in zip(met, values, strict=True):
                    of.add(value)
    columns = ["task", "method", "setting", "a", "b"]
    return pd.DataFrame(
        [(*name, *(" or ".join(sorted(s)) for s in met)) for name, met in rows.items()], columns=columns
    )


def _decisive(record: TrialRecord) -> dict[str, str]:
    spec, limits = record.spec, record.limits
    facts = {
        "source": spec.method_digest[:12],
        "environment": spec.environment,
        "inputs": record.inputs_digest[:12],
        "device": record.resources.device or limits.device,
        "threads": str(limits.threads),
        "implementation": spec.implementation,
    }
    return facts | {f"parameter {k}": v if isinstance(v, str) else json.dumps(v) for k, v in spec.params.items()}


def _versions(a: Run, b: Run, shared: pd.DataFrame) -> pd.DataFrame:
    """Packages that both sides of the shared trials had loaded, in other versions."""
    met = [_met(run.trials[key] for key in shared[column]) for run, column in ((a, "key_a"), (b, "key_b"))]
    names = sorted(met[0].keys() & met[1].keys(), key=str.lower)
    rows = [(name, *(" or ".join(sorted(of[name])) for of in met)) for name in names if met[0][name] != met[1][name]]
    return pd.DataFrame(rows, columns=["name", "a", "b"])


def _met(records: Iterable[TrialRecord]) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for record in records:
        own = {"bench": record.bench_version, **record.versions, **record.imported, **record.scored_with}
        for name, version in own.items():
            versions.setdefault(name, set()).add(version)
    return versions
