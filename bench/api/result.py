"""The result of a run: scores, trials, predictions and the report, as tables and in a notebook."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import BenchError, UnknownNameError
from bench.execution.run import Result
from bench.plan.cards import task_card
from bench.results.headline import headline
from bench.results.records import DECLARED, TaskCard, TrialRecord
from bench.results.store import Store, read_parquet
from bench.results.tables import result_table
from bench.words import count

if TYPE_CHECKING:
    from anndata import AnnData

#: Columns of ``results.csv`` that tell a score; all others are about its trial.
SCORE_COLUMNS = (
    "method dataset track metric value ci_low ci_high n unit status detail role params split_seed "
    "sim_seed method_seed task trial"
).split()
#: Columns of :attr:`Run.trials`, as in ``results.csv``.
TRIAL_COLUMNS = (
    "method dataset track status detail notes wall_s cpu_s rss_peak_mb gpu_peak_mb role implementation "
    "params split_seed sim_seed method_seed task trial"
).split()
_SEEDS = ("split_seed", "sim_seed", "method_seed")


class Run:
    """A run folder and what is in it; made by :func:`bench.run` and :func:`bench.load`.

    A notebook that shows it draws the headline metric of every method.

    Attributes
    ----------
    records
        The trials: of :func:`bench.run` those that the call asked for, of :func:`bench.load` the newest of each.
    result
        What the call did, such as how many trials ran now; None of a folder that was loaded.

    Examples
    --------
    >>> import bench
    >>> run = bench.load("bench-runs/doublet")  # doctest: +SKIP
    >>> run.scores[run.scores["metric"] == "auprc"]  # doctest: +SKIP
    """

    def __init__(
        self, store: Store, records: Sequence[TrialRecord], tasks: Mapping[str, TaskCard], result: Result | None = None
    ) -> None:
        self.store, self.records, self.tasks, self.result = store, list(records), dict(tasks), result

    @classmethod
    def of(cls, result: Result) -> Run:
        """The run of a call."""
        task = result.plan.task
        return cls(result.store, result.records, {task.name: task_card(task)}, result)

    @property
    def folder(self) -> Path:
        """The run folder; docs/run-folder.md says what is in it."""
        return self.store.root

    @cached_property
    def _table(self) -> pd.DataFrame:
        return result_table(self.records, self.store.info.run_id)

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each metric value.

        ``method, dataset, track, metric``; ``value`` with its 95 % interval ``ci_low, ci_high`` (missing where there is
        none) over ``n`` cells or, in means, parts; ``unit``, what it was computed on: ``pooled`` for all cells, else
        such as ``donor:d1``; ``status`` and ``detail``: a trial that failed has one row without a value, which says
        why; ``role``: ``method``, or which control; ``params``, the three seeds, ``task`` and ``trial``, the name of
        its folder. The columns are those of ``results.csv``.
        """
        return self._table[SCORE_COLUMNS].copy()

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial: how it ended, and the seconds (wall, CPU) and memory that the method used."""
        return self._table.assign(detail=self._table["trial"].map({r.key: r.detail for r in self.records}))[
            TRIAL_COLUMNS
        ].drop_duplicates("trial", ignore_index=True)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of :attr:`trials` that should have scores and have none, with the ``log`` of each.

        Methods that are unavailable here or not applicable by design are no failures.
        """
        failed = self.trials[~self.trials["status"].isin([*DECLARED, "ok"])].reset_index(drop=True)
        return failed.assign(log=[str(self.store.trial_folder(key) / "log.txt") for key in failed["trial"]])

    def headline(self, task: str | None = None) -> pd.DataFrame:
        """The headline metric: a row for each method, best first, controls last; a column for each dataset and track.

        Parameters
        ----------
        task
            Which task, where the folder holds several.
        """
        table = self._headline(task)
        index = pd.MultiIndex.from_tuples([(row.method, row.role) for row in table.rows], names=["method", "role"])
        columns = pd.MultiIndex.from_tuples(table.places, names=["dataset", "track"])
        return pd.DataFrame([[cell.value for cell in row.cells] for row in table.rows], index, columns, dtype="Float64")

    def _headline(self, task: str | None) -> Any:
        if task is None and len(self.tasks) != 1:
            raise BenchError("there are several tasks", where=str(self.folder), fix=f"name one of {list(self.tasks)}")
        name = next(iter(self.tasks)) if task is None else task
        if name not in self.tasks:
            raise UnknownNameError("task of this run", name, self.tasks)
        card = self.tasks[name]
        circular = [name for name, track in card.tracks.items() if track.circular]
        return headline([r for r in self.records if r.spec.task == name], card.metrics, circular)

    def predictions(
        self, method: str, *, dataset: str | None = None, track: str | None = None, **seeds: int
    ) -> pd.DataFrame:
        """Return the answer of a method, a row a cell, by the dataset's own cell names.

        Parameters
        ----------
        method
            A method or control of the run.
        dataset, track
            Of these only. Default: all.
        seeds
            ``split_seed``, ``sim_seed``, ``method_seed``. Default: all.

        Returns
        -------
        ``dataset, track``, the three seeds, ``trial`` and ``cell``, then a column an output: of doublets ``score`` and
        ``call``, of labels ``label`` and, if the method tells them, the probability of each class.

        Raises
        ------
        bench.errors.BenchError
            If there is no such method, dataset or track, or no trial of it has an answer.
        """
        return pd.concat(
            [_prediction(self.store, r) for r in self._answered(method, dataset, track, seeds)], ignore_index=True
        )

    def expression(self, method: str, *, dataset: str | None = None, track: str | None = None, **seeds: int) -> AnnData:
        """Return the expression that a method imputed in one trial, cells x genes in ln(1 + counts per 10,000).

        Where entries were hidden, ``X`` is sparse and has those only.

        Parameters as of :meth:`predictions`; they must leave one trial.
        """
        from anndata import AnnData

        from bench.exchange import matrices

        answered = self._answered(method, dataset, track, seeds)
        files = [f for r in answered for end in ("npz", "zarr") for f in self._trial_files(r, f"*.{end}")]
        if len(files) != 1:
            places = ", ".join(f"{r.spec.dataset}/{r.spec.track} {r.spec.seeds}" for r in answered)
            fix = "name dataset=, track= and seeds of one trial" if files else "see .predictions()"
            raise BenchError(f"{len(files)} matrices of expression are from {method!r}", where=places, fix=fix)
        cells, genes = matrices.names(files[0])
        X = matrices.load(files[0]) if files[0].suffix == ".npz" else matrices.load_dense(files[0])[:]
        return AnnData(X, pd.DataFrame(index=cells), pd.DataFrame(index=genes))

    def _trial_files(self, record: TrialRecord, pattern: str) -> list[Path]:
        return sorted(self.store.trial_folder(record.key).glob(pattern))

    def _answered(
        self, method: str, dataset: str | None, track: str | None, seeds: Mapping[str, int]
    ) -> list[TrialRecord]:
        records = self.records
        for kind, name in (("method", method), ("dataset", dataset), ("track", track)):
            known = {getattr(r.spec, kind) for r in self.records}
            if name is not None and name not in known:
                raise UnknownNameError(f"{kind} of this run", name, known)
            records = [r for r in records if name is None or getattr(r.spec, kind) == name]
        for name, seed in seeds.items():
            if name not in _SEEDS:
                raise UnknownNameError("seed", name, _SEEDS)
            records = [r for r in records if _seeds(r)[name] == seed]
        answered = [r for r in records if self._trial_files(r, "prediction.parquet")]
        if not answered:
            ends = "; ".join(dict.fromkeys(f"{r.status}: {r.detail}" for r in records)) or "no such trial"
            raise BenchError(f"{method!r} has no prediction here", where=ends, fix="see .trials for those that have")
        return answered

    def report(self, out: str | os.PathLike[str] | None = None, *, formats: Sequence[str] = ()) -> Report:
        """Render the report, one HTML file that needs no network; a notebook shows it inline.

        Parameters
        ----------
        out
            Where to write it. Default: ``report.html`` in the run folder, which is rendered anew only if it is older
            than the results.
        formats
            Formats of the figure files beside it, of ``png``, ``pdf``, ``svg``. Default: ``png`` when the report is
            rendered.
        """
        html = self.folder / "report.html"
        if out is None and not formats and html.exists() and (not self.store.is_writable or not self._is_older(html)):
            return Report(html)
        from bench.reports import build_report

        if self.result is not None:
            self.result.draw()
        if out is None and not self.store.is_writable:
            fix = "write the report to another place: report('report.html')"
            raise BenchError("the run folder is read-only", where=str(self.folder), fix=fix)
        return Report(build_report(self.folder, Path(out) if out is not None else None, formats or ("png",)))

    def _is_older(self, html: Path) -> bool:
        tables = self.folder / "results.parquet"
        return tables.exists() and html.stat().st_mtime_ns < tables.stat().st_mtime_ns

    def _counts(self) -> str:
        statuses = Counter(record.status for record in self.records)
        told = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))
        return f"{count(len(self.records), 'trial')}: {told or 'none'}"

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self._counts()}>"

    def _repr_html_(self) -> str:
        parts = [_table_html(self._headline(task)) for task in self.tasks if self.records]
        told = f"{self._counts()}. <code>.scores</code> <code>.trials</code> <code>.failures</code> "
        told += "<code>.predictions(method)</code> <code>.report()</code>"
        return "".join([*parts, f"<p>{told}<br><small>{html.escape(str(self.folder))}</small></p>"])


class Report:
    """A rendered report: a file, which a notebook shows inline.

    Attributes
    ----------
    path
        The HTML file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<Report {self.path}>"

    def _repr_html_(self) -> str:
        # Within the page rather than by its address: notebooks may not show files of elsewhere.
        page = html.escape(self.path.read_text(encoding="utf-8"))
        frame = (
            f'<iframe srcdoc="{page}" title="report" style="width:100%;height:800px;border:1px solid #ccc"></iframe>'
        )
        return f"{frame}<p><code>{html.escape(str(self.path))}</code></p>"


def load(folder: str | os.PathLike[str]) -> Run:
    """Open a run folder: the newest trials of everything that was asked of it.

    Parameters
    ----------
    folder
        What ``bench run`` or :func:`bench.run` has written.

    Raises
    ------
    bench.errors.BenchError
        If it is no run folder.

    Examples
    --------
    >>> import bench
    >>> bench.load("bench-runs/doublet").failures  # doctest: +SKIP
    """
    from bench.reports.run.load import load as load_run

    store = Store.open(Path(folder))
    if store.is_writable:
        store.write_tables()  # a run that was killed has not come to that
    run = load_run(store.root)
    return Run(store, sorted(run.trials.values(), key=_place), run.tasks)


def _place(record: TrialRecord) -> tuple[object, ...]:
    spec = record.spec
    return spec.task, spec.dataset, spec.track, spec.role != "method", spec.method, *_seeds(record).values(), record.key


def _seeds(record: TrialRecord) -> dict[str, int]:
    seeds = record.spec.seeds
    return dict(zip(_SEEDS, (seeds.split, seeds.simulation, seeds.method), strict=True))


def _prediction(store: Store, record: TrialRecord) -> pd.DataFrame:
    folder, spec = store.trial_folder(record.key), record.spec
    table = read_parquet(folder / "prediction.parquet")
    for file in sorted(folder.glob("*.parquet")):  # outputs with several columns
        if file.stem != "prediction" and not file.stem.startswith("scored_"):
            table = table.merge(read_parquet(file), on="cell", validate="one_to_one", suffixes=("", f" ({file.stem})"))
    facts = {"dataset": spec.dataset, "track": spec.track, **_seeds(record), "trial": record.key}
    for i, (name, value) in enumerate(facts.items()):
        table.insert(i, name, value)
    return table


def _table_html(table: Any) -> str:
    head = "".join(f"<th>{html.escape(d)}<br>{html.escape(t)}</th>" for d, t in table.places)
    rows = []
    for row in table.rows:
        name = row.method if row.role == "method" else f"<i>{row.method} ({row.role} control)</i>"
        cells = [c.status if c.value is None else f"{c.value:.3f}" for c in row.cells]
        rows.append(f"<tr><td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    caption = f"{html.escape(table.metric.name)}: {html.escape(table.metric.summary)} ({table.metric.direction})"
    body = f"<thead><tr><th>method</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<table><caption style="text-align:left;white-space:nowrap">{caption}</caption>{body}</table>'
