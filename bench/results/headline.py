"""The headline metric of every method on every dataset and track: one number each, best method first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.errors import BenchError
from bench.results.records import TrialRecord
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
    """A table of methods by (dataset, track)."""

    metric: Metric
    places: list[tuple[str, str]]
    rows: list[Row]


def headline(records: Sequence[TrialRecord], metrics: Iterable[Metric], circular: Collection[str] = ()) -> Headline:
    """Tabulate the trials of one task: methods before controls, those with the best mean first.

    Parameters
    ----------
    metrics
        Of the task.
    circular
        Tracks that do not count in the mean (:class:`bench.task.Track`).

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
    compared = [i for i, (_, track) in enumerate(places) if track not in circular]
    return Headline(metric, places, sorted(rows, key=lambda row: _order(row, compared, metric)))


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
