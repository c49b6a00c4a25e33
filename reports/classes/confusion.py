"""Which class was answered for which: counted from the kept predictions and solutions of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.record import TrialRecord

COLUMNS = ["task", "track", "dataset", "label", "truth", "answer", "n"]
_KEYS = COLUMNS[:-1]


def load(folder: Path, records: dict[str, TrialRecord], rows: pd.DataFrame) -> pd.DataFrame:
    """Count the cells of each true and answered class, for every method that was scored by class.

    Parameters
    ----------
    records
        Trials to count, by key.
    rows
        Results with the column ``label``; trials with units ``class:NAME`` are counted, controls are not.

    Returns
    -------
    Columns ``task, track, dataset, label, truth, answer, n``: cells, summed over seeds; pairs without cells are absent.
    A trial whose prediction or solution is not in the folder has no rows.
    """
    by_class = rows["unit"].str.startswith("class:").fillna(False) & (rows["role"] == "method")
    labels = rows[by_class].drop_duplicates("trial").set_index("trial")["label"]
    found = []
    for key, label in labels.items():
        record = records.get(str(key))
        table = None if record is None else answers(folder, record)
        if record is None or table is None:
            continue
        counts = table.value_counts(["truth", "answer"], sort=False).rename("n").reset_index()
        spec = record.spec
        found.append(counts.assign(task=spec.task, track=spec.track, dataset=spec.dataset, label=str(label)))
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
