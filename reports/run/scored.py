"""Tables that scoring made of each trial (:class:`bench.problem.Scored`), put together for a task."""

from __future__ import annotations

import pandas as pd

from bench.errors import BenchError
from bench.reports.run import tables
from bench.reports.run.load import Run, once
from bench.results.store import Store, scored_file

#: What every joined table starts with.
TRIAL = ["track", "dataset", "label", "role", "trial"]
_SEEDS = ["split_seed", "sim_seed", "method_seed"]


@once
def finished(run: Run, task: str) -> pd.DataFrame:
    """Finished trials of a task, the first seeds of each label first: ``track, dataset, label, role, trial``."""
    trials = tables.trials(run)
    trials = trials[(trials["task"] == task) & (trials["status"] == "ok")]
    return trials.sort_values([*TRIAL[:-1], *_SEEDS, "trial"], kind="stable")[TRIAL].reset_index(drop=True)


@once
def _tables(run: Run) -> set[tuple[str, str]]:
    """(trial, file) of every table: most trials of most tasks have none, and to look for each takes long."""
    return {(file.parent.name, file.name) for file in (run.folder / "trials").glob(f"*/{scored_file('*')}")}


def first_seeds(trials: pd.DataFrame) -> pd.DataFrame:
    """One trial of each label, track and dataset, for what cannot be averaged."""
    return trials.drop_duplicates(TRIAL[:-1])


def table(
    run: Run, name: str, trials: pd.DataFrame, columns: dict[str, str], optional: dict[str, str] | None = None
) -> pd.DataFrame:
    """The table ``name`` of all ``trials`` that have it.

    Parameters
    ----------
    trials
        Some rows of :func:`finished`.
    columns
        Name -> type of the columns to read.
    optional
        The same for columns that not every task has a reason to give; missing values where there are none.

    Returns
    -------
    Columns :data:`TRIAL`, ``columns`` and ``optional``; no rows where no trial has such a table.

    Raises
    ------
    bench.errors.BenchError
        If a table lacks a column.
    """
    store = Store(run.folder)
    optional = optional or {}
    frames = []
    with_table = {trial for trial, file in _tables(run) if file == scored_file(name)}
    for row in trials[trials["trial"].isin(with_table)].itertuples(index=False):
        frame = store.scored_table(row.trial, name)
        if frame is None:  # taken away in between
            continue
        missing = [column for column in columns if column not in frame]
        if missing:
            raise BenchError(
                f"columns missing in the table {name}: {', '.join(missing)}",
                where=str(store.trial_folder(row.trial)),
                fix="run `bench rescore` on the run",
            )
        every = columns | optional
        frame = frame.reindex(columns=[*every]).astype(every)
        frames.append(frame.assign(**{key: getattr(row, key) for key in TRIAL}))
    joined = [frame for frame in frames if len(frame)]
    if not joined:
        return pd.DataFrame(columns=[*TRIAL, *columns, *optional])
    return pd.concat(joined, ignore_index=True)[[*TRIAL, *columns, *optional]]
