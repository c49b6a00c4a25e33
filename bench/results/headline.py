"""The headline metric of every method on every dataset and track: one number each, best method first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.errors import BenchError
from bench.results.records import TrialRecord
from bench.results.scale import Anchor, why_untold
from bench.stats import mean_interval
from bench.task import Metric


@dataclass(frozen=True)
class Cell:
    """A method on one dataset and track.

    Parameters
    ----------
    value
        Pooled over donors, mean over splits of the mean over a split's trials; None without a score.
    status
        Why there is none: a trial's status, ``undefined``, or empty where no trial was asked for.
    """

    value: float | None
    status: str


@dataclass(frozen=True)
class Row:
    """A method and its cells, in the order of the table's places."""

    method: str
    role: str
    cells: list[Cell]


@dataclass(frozen=True)
class Headline:
    """A table of methods by (dataset, track), and why methods cannot be told apart at some places: no order there."""

    metric: Metric
    places: list[tuple[str, str]]
    rows: list[Row]
    untold: dict[tuple[str, str], str]


def headline(records: Sequence[TrialRecord], metrics: Iterable[Metric], circular: Collection[str] = ()) -> Headline:
    """Tabulate the trials of one task: methods before controls, those with the best mean first.

    Parameters
    ----------
    metrics
        Of the task.
    circular
        Tracks that do not count in the mean (:class:`bench.task.Track`); nor do places where the perfect control is not
        ahead of the random one.

    Raises
    ------
    BenchError
        If no metric is the headline.
    """
    metric = next((m for m in metrics if m.headline), None)
    if metric is None:
        raise BenchError("the task has no headline metric", fix="mark one Metric as headline")
    places = list(dict.fromkeys((r.spec.dataset, r.spec.track) for r in records))
    trials: dict[str, dict[tuple[str, str], list[TrialRecord]]] = {}
    for record in records:
        place = (record.spec.dataset, record.spec.track)
        trials.setdefault(record.spec.method, {}).setdefault(place, []).append(record)
    roles = {record.spec.method: record.spec.role for record in records}
    rows = [
        Row(name, roles[name], [_cell(of.get(place, []), metric.name) for place in places])
        for name, of in trials.items()
    ]
    untold = {place: why for place in places if (why := _untold(trials, roles, place, metric))}
    compared = [i for i, place in enumerate(places) if place[1] not in circular and place not in untold]
    return Headline(metric, places, sorted(rows, key=lambda row: _order(row, compared, metric)), untold)


def _untold(
    trials: Mapping[str, Mapping[tuple[str, str], list[TrialRecord]]],
    roles: Mapping[str, str],
    place: tuple[str, str],
    metric: Metric,
) -> str:
    anchors: dict[str, Anchor] = {}
    for name, of in trials.items():
        value = _cell(of.get(place, []), metric.name).value
        if roles[name] in ("perfect", "random") and value is not None:
            anchors.setdefault(roles[name], Anchor(name, value, *_bounds(of[place], metric.name)))
    return why_untold(anchors["perfect"], anchors["random"], metric) if len(anchors) == 2 else ""


def _bounds(records: Sequence[TrialRecord], metric: str) -> tuple[float | None, float | None]:
    """The 95 % interval of trials of one split; of several splits the report has it."""
    scores = [s for r in records for s in r.scores if s.metric == metric and s.unit == "pooled" and s.value is not None]
    if len({r.spec.seeds.split for r in records}) > 1 or any(s.ci_low is None or s.ci_high is None for s in scores):
        return None, None
    value, low, high = zip(*((s.value, s.ci_low, s.ci_high) for s in scores), strict=True)
    bounds = mean_interval(value, low, high)
    return float(bounds[0]), float(bounds[1])


def headline_score(record: TrialRecord, metrics: Iterable[Metric]) -> str:
    """``auprc 0.414``: the score of one trial by the headline metric; nothing without one."""
    for metric in metrics:
        if metric.headline and (value := _cell([record], metric.name).value) is not None:
            return f"{metric.name} {value:.3f}"
    return ""


def _order(row: Row, compared: Sequence[int], metric: Metric) -> tuple[bool, float, str]:
    values = [value for i in compared if (value := row.cells[i].value) is not None]
    mean = fmean(values) if values else float("inf")
    return row.role != "method", -mean if values and metric.higher_is_better else mean, row.method


def _cell(records: Sequence[TrialRecord], metric: str) -> Cell:
    by_split: dict[int, list[float]] = {}
    for r in records:
        for s in r.scores:
            if s.metric == metric and s.unit == "pooled" and s.value is not None:
                by_split.setdefault(r.spec.seeds.split, []).append(s.value)
    if by_split:
        return Cell(fmean(fmean(values) for values in by_split.values()), "")
    if not records:
        return Cell(None, "")
    return Cell(None, "undefined" if records[0].status == "ok" else records[0].status)
