"""The one tidy table: a row per metric value, with everything needed to judge it."""

from __future__ import annotations

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
