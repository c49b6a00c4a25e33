"""From trial records to the tidy tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.results.records import ScoreRecord, TrialRecord

_NO_SCORE = ScoreRecord(metric="", value=None, unit="")

#: Columns of ``results.csv`` and ``results.parquet``, in order.
#: A trial without scores (any status but ``ok``) has one row with an empty ``metric`` and ``value``.
ROW_COLUMNS: dict[str, str] = {
    "run_id": "string",
    "trial": "string",
    "task": "string",
    "task_version": "string",
    "track": "string",
    "dataset": "string",
    "method": "string",
    "implementation": "string",
    "role": "string",
    "problem": "string",
    "params": "string",
    "split_seed": "Int64",
    "sim_seed": "Int64",
    "method_seed": "Int64",
    "unit": "string",
    "metric": "string",
    "value": "Float64",
    "ci_low": "Float64",
    "ci_high": "Float64",
    "n": "Int64",
    "status": "string",
    "detail": "string",
    "notes": "string",
    "wall_s": "Float64",
    "fit_s": "Float64",
    "predict_s": "Float64",
    "cpu_s": "Float64",
    "rss_peak_mb": "Float64",
    "gpu_peak_mb": "Float64",
    "threads": "Int64",
    "device": "string",
    "host": "string",
    "cpu": "string",
    "load": "Float64",
    "interpreter": "string",
    "blas": "string",
    "versions": "string",
    "environment": "string",
}

#: Columns of ``versions.csv`` and ``versions.parquet``: a row per distribution or R package that a trial's process had
#: loaded.
VERSION_COLUMNS: dict[str, str] = {"run_id": "string", "trial": "string", "name": "string", "version": "string"}

#: Columns of ``curves.csv`` and ``curves.parquet``.
CURVE_COLUMNS: dict[str, str] = {
    "run_id": "string",
    "trial": "string",
    "task": "string",
    "track": "string",
    "dataset": "string",
    "method": "string",
    "split_seed": "Int64",
    "sim_seed": "Int64",
    "method_seed": "Int64",
    "curve": "string",
    "x": "Float64",
    "y": "Float64",
}


def result_table(records: Iterable[TrialRecord], run_id: str) -> pd.DataFrame:
    """The tidy table: a row per metric value, one row without a metric for a trial without scores."""
    rows = [
        _trial_columns(record, run_id)
        | {
            "task_version": record.spec.task_version,
            "implementation": record.spec.implementation,
            "role": record.spec.role,
            "problem": record.problem or None,
            "params": json.dumps(record.spec.params, sort_keys=True),
            "unit": score.unit or None,
            "metric": score.metric or None,
            "value": score.value,
            "ci_low": score.ci_low,
            "ci_high": score.ci_high,
            "n": score.n if score.n is not None else record.n_cells,
            "status": record.status,
            "detail": score.detail or record.detail,
            "notes": "; ".join(map(str, record.notes)),
            **record.resources.model_dump(exclude={"device"}),
            "threads": record.limits.threads,
            "device": record.resources.device or None,
            "host": record.host,
            **record.machine.model_dump(exclude={"cores"}),
            "versions": json.dumps(record.versions, sort_keys=True),
            "environment": record.spec.environment,
        }
        for record in records
        for score in (record.scores or [_NO_SCORE])
    ]
    return _typed(rows, ROW_COLUMNS)


def curve_table(records: Iterable[TrialRecord], run_id: str) -> pd.DataFrame:
    """Every curve, a row per point."""
    rows = [
        _trial_columns(record, run_id) | {"curve": curve.name, "x": x, "y": y}
        for record in records
        for curve in record.curves
        for x, y in zip(curve.x, curve.y, strict=True)
    ]
    return _typed(rows, CURVE_COLUMNS)


def version_table(records: Iterable[TrialRecord], run_id: str) -> pd.DataFrame:
    """Tabulate what every trial's process had loaded, a row per distribution or R package."""
    rows = [
        {"run_id": run_id, "trial": record.key, "name": name, "version": version}
        for record in records
        for name, version in sorted(record.imported.items())
    ]
    return _typed(rows, VERSION_COLUMNS)


def _trial_columns(record: TrialRecord, run_id: str) -> dict[str, Any]:
    spec = record.spec
    return {
        "run_id": run_id,
        "trial": record.key,
        "task": spec.task,
        "track": spec.track,
        "dataset": spec.dataset,
        "method": spec.method,
        "split_seed": spec.seeds.split,
        "sim_seed": spec.seeds.simulation,
        "method_seed": spec.seeds.method,
    }


def _typed(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype(columns)
