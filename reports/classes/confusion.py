"""Confusions: which class was answered for which, from the kept predictions and solutions of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.reports.run.load import Run, once
from bench.results.records import TrialRecord
from bench.results.store import read_parquet

COLUMNS = ["track", "dataset", "label", "truth", "answer", "n"]
_KEYS = COLUMNS[:-1]


@once
def counts(run: Run, task: str) -> pd.DataFrame:
    """Cells of each true and answered class, for every method that was scored by class; of controls none.

    Returns
    -------
    Columns ``track, dataset, label, truth, answer, n``: cells, summed over seeds; pairs without cells are absent.
    A trial whose prediction or solution is not in the folder has no rows.
    """
    rows = run.rows[(run.rows["task"] == task) & (run.rows["role"] == "method")]
    labels = rows[rows["unit"].str.startswith("class:").fillna(False)].drop_duplicates("trial").set_index("trial")
    parts = []
    for key, label in labels["label"].items():
        record = run.trials.get(str(key))
        table = None if record is None else answers(run.folder, record)
        if record is None or table is None:
            continue
        cells = table.value_counts(["truth", "answer"], sort=False).rename("n").reset_index()
        parts.append(cells.assign(track=record.spec.track, dataset=record.spec.dataset, label=str(label)))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts).groupby(_KEYS, sort=True)["n"].sum().reset_index()


def answers(folder: Path, record: TrialRecord) -> pd.DataFrame | None:
    """``truth`` and ``answer`` of each cell of a trial; None where its files are not kept."""
    answer_file = folder / "trials" / record.key / "prediction.parquet"
    truth_file = folder / "problems" / record.spec.problem / "solution.parquet"
    if not answer_file.is_file() or not truth_file.is_file():
        return None
    truth, answer = (
        read_parquet(file, columns=["cell", "label"]).set_index("cell")["label"] for file in (truth_file, answer_file)
    )
    if len(truth) != len(answer) or not truth.index.isin(answer.index).all():
        raise BenchError(
            "the prediction and the solution are not of the same cells",
            where=str(answer_file),
            fix="run the trial again",
        )
    return pd.DataFrame({"truth": truth.astype(str), "answer": answer.loc[truth.index].astype(str)})
