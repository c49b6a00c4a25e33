"""Which class was answered for which: counted from the kept predictions and solutions of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.reports.run.load import Run, once
from bench.results.records import TrialRecord

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
    found = []
    for key, label in labels["label"].items():
        record = run.trials.get(str(key))
        table = None if record is None else answers(run.folder, record)
        if record is None or table is None:
            continue
        cells = table.value_counts(["truth", "answer"], sort=False).rename("n").reset_index()
        found.append(cells.assign(track=record.spec.track, dataset=record.spec.dataset, label=str(label)))
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(found).groupby(_KEYS, sort=True)["n"].sum().reset_index()


def answers(folder: Path, record: TrialRecord) -> pd.DataFrame | None:
    """``truth`` and ``answer`` of each cell of a trial; None where its files are not kept."""
    given = folder / "trials" / record.key / "prediction.parquet"
    hidden = folder / "problems" / record.spec.problem / "solution.parquet"
    if not given.is_file() or not hidden.is_file():
        return None
    truth, answer = (
        pd.read_parquet(file, columns=["cell", "label"]).set_index("cell")["label"] for file in (hidden, given)
    )
    if len(truth) != len(answer) or not truth.index.isin(answer.index).all():
        raise BenchError(
            "the prediction and the solution are not of the same cells",
            where=str(given),
            fix="run the trial again",
        )
    return pd.DataFrame({"truth": truth.astype(str), "answer": answer.loc[truth.index].astype(str)})
