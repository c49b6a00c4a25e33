"""The method's side of a trial: read the inputs, run the method, write its prediction and how it went."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from bench.errors import InvalidOutputError, status_of
from bench.exchange import gate
from bench.exchange.files import has_fractions, read_inputs, read_obsm, round_folders
from bench.locate import load_class
from bench.method import Context, Method
from bench.problem import Inputs, Output, Prediction
from bench.sandbox import imported
from bench.sandbox.hints import hint
from bench.sandbox.progress import ProgressNote
from bench.seeds import derive_seed
from bench.system import no_space

_MAY_OPEN = (
    "a trial may open installed software, its inputs, and files that its parameters name; "
    "more, if its results do not hang on them: BENCH_READ=FOLDER:FOLDER"
)


def main(job: dict[str, Any], index: dict[str, list[imported.Installed]] | None = None) -> int:
    """Run one job; returns the process's exit code (0 whenever ``result.json`` tells the rest).

    Parameters
    ----------
    index
        What is installed (:func:`bench.sandbox.imported.installed`), where it is known already.
    """
    folder = Path(job["folder"])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # nothing printed is lost in a crash
    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    warnings.simplefilter("ignore", FutureWarning)
    try:
        result = _run(job, folder)
    except BaseException as error:  # noqa: BLE001 - the trial boundary: whatever a method raises, SystemExit too, is data
        result = _failure(error, guarded=bool(job["guard"]))
    with contextlib.suppress(Exception):  # a method may have left its modules, or R, in any state
        result["session"] = imported.session(imported.installed() if index is None else index)
    temporary = folder / ".result.json"
    temporary.write_text(json.dumps(result))
    temporary.replace(folder / "result.json")
    return 0


def _failure(error: BaseException, *, guarded: bool) -> dict[str, Any]:
    """Describe, for ``result.json``, the failure of a method that raised ``error``."""
    status = status_of(error)
    if status != "crash":
        return {"status": status, "detail": str(error)}
    with contextlib.suppress(OSError, ValueError):  # a method may have closed its standard error
        traceback.print_exception(type(error), error, error.__traceback__)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        status = "oom"
    # A lone surrogate (an undecodable file name, say) could not be written down later.
    detail = f"{type(error).__name__}: {error}{hint(error)}".strip().encode("utf-8", "replace").decode()
    if guarded and "Permission denied" in detail:
        detail = f"{detail[:1700]} ({_MAY_OPEN})"
    return {"status": status, "detail": detail[:2000], "retryable": no_space(error)}


def _run(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    cls = load_class(job["locator"])
    ctx = Context(
        seed=job["seed"],
        threads=job["threads"],
        device=job["device"],
        scratch=folder / "scratch",
        log=logging.getLogger(cls.name),
    )
    method = _Verifying(cls(**job["params"])) if job["verify_inputs"] else cls(**job["params"])
    outputs = [Output(**output) for output in job["outputs"]]
    note = ProgressNote(folder)
    ctx.report_phase = note.phase
    folders = round_folders(Path(job["inputs"]))
    ctx.n_rounds = len(folders)
    wall, train = 0.0, None
    for ctx.round, part in enumerate(folders):
        inputs = read_inputs(part, cls.input_layer, train, fractions=cls.fractional_counts)
        if not cls.fractional_counts and has_fractions(part):
            ctx.note("it needs whole counts: half counts were rounded up or down at random, alike for all such methods")
        train, inputs = inputs.train, read_obsm(inputs, folder / "obsm")
        ctx.report_progress = _part_of(note.progress, ctx.round, len(folders))
        start = time.perf_counter()
        arrays = run_method(method, inputs, ctx, outputs)
        wall += time.perf_counter() - start
        for text in gate.hand_over(arrays, inputs, outputs, folder, ctx.round):
            ctx.note(text)
    phases = {name: float(seconds) for name, seconds in ctx.phases.items()}
    phases.setdefault("predict", wall - phases.get("fit", 0.0))
    return {"status": "ok", "wall_s": wall, "phases": phases, "notes": [str(note)[:500] for note in ctx.notes[:20]]}


def _part_of(report: Callable[[float, str], None], k: int, n: int) -> Callable[[float, str], None]:
    """Progress of the ``k``-th of ``n`` masking rounds as progress of the whole."""
    if n == 1:
        return report
    label = f"round {k + 1} of {n}"
    report(k / n, label)
    return lambda done, message: report((k + done) / n, f"{label}: {message}" if message else label)


def run_method(method: Method | _Verifying, inputs: Inputs, ctx: Context, outputs: Sequence[Output]) -> dict[str, Any]:
    """Call the method once, or once per donor (library) with its own seed if its card says so; its answer as arrays."""
    if not method.per_donor:
        return gate.admit(method.run(inputs, ctx), inputs, outputs)
    donors = inputs.cells.obs["donor"].to_numpy()
    names = sorted(set(donors))
    collected: dict[str, np.ndarray[Any, Any]] = {}
    seed, report = ctx.seed, ctx.report_progress
    for i, donor in enumerate(names):
        rows = np.flatnonzero(donors == donor)
        ctx.seed = derive_seed(seed, str(donor))
        ctx.report_progress = lambda done, message, i=i, donor=donor: report(  # type: ignore[misc]
            (i + done) / len(names), f"{donor}: {message}" if message else str(donor)
        )
        ctx.progress(0.0)
        part = inputs.take(rows)
        prediction = method.run(part, ctx)
        try:
            _place(collected, gate.admit(prediction, part, outputs), rows, len(donors))
        except InvalidOutputError as error:
            where = f"donor {donor}, {error.where}" if error.where else f"donor {donor}"
            raise InvalidOutputError(error.what, where=where, fix=error.fix) from error
    return collected


def _place(
    collected: dict[str, np.ndarray[Any, Any]], arrays: dict[str, Any], rows: np.ndarray[Any, Any], n: int
) -> None:
    if collected and set(collected) != set(arrays):
        raise InvalidOutputError(
            f"outputs differ between donors: {sorted(collected)} and {sorted(arrays)}",
            fix="return the same keys for every donor",
        )
    for name, values in arrays.items():
        array = np.asarray(values.toarray() if issparse(values) else values)
        if name not in collected:
            collected[name] = np.empty((n, *array.shape[1:]), dtype=array.dtype)
        elif array.dtype != collected[name].dtype:
            collected[name] = collected[name].astype(np.result_type(collected[name], array))
        collected[name][rows] = array


class _Verifying:
    """A method whose every call is checked to leave its inputs as they were."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self.per_donor = method.per_donor

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        before = _fingerprint(inputs)
        prediction = self._method.run(inputs, ctx)
        if _fingerprint(inputs) != before:
            raise InvalidOutputError("the method changed its inputs in memory", fix="work on a copy")
        return prediction


def _fingerprint(inputs: Inputs) -> list[bytes]:
    blocks = [inputs.cells] + ([inputs.train] if inputs.train is not None else [])
    return [
        part
        for block in blocks
        for part in (
            block.X.data.tobytes(),
            block.X.indices.tobytes(),
            block.X.indptr.tobytes(),
            block.obs.to_csv().encode(),
            block.var.to_csv().encode(),
            *(values.tobytes() for values in block.obsm.values()),
        )
    ] + ([] if inputs.query is None else [inputs.query.indices.tobytes(), inputs.query.indptr.tobytes()])
