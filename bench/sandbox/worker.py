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

#: Numbers of a prediction put together of parts that memory need not hold.
_LARGE = 1 << 25


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
    """Call the method once, or once per part with its own seed (:func:`_parts`); its answer as arrays."""
    parts = _parts(inputs, method.per_donor)
    if not parts:
        return gate.admit(method.run(inputs, ctx), inputs, outputs)
    n = len(inputs.cells.obs)
    collected: dict[str, Any] = {}
    seed, report = ctx.seed, ctx.report_progress
    for i, (name, rows) in enumerate(parts.items()):
        ctx.seed = derive_seed(seed, name.split(" ", 1)[1])
        ctx.report_progress = lambda done, message, i=i, name=name: report(  # type: ignore[misc]
            (i + done) / len(parts), f"{name}: {message}" if message else name
        )
        ctx.progress(0.0)
        part = inputs.part(rows)
        try:
            _place(collected, gate.admit(method.run(part, ctx), part, outputs), rows, n, ctx.scratch)
        except InvalidOutputError as error:
            raise InvalidOutputError(
                error.what, where=f"{name}, {error.where}" if error.where else name, fix=error.fix
            ) from error
    return collected


def _parts(inputs: Inputs, per_donor: bool) -> dict[str, np.ndarray[Any, Any]]:
    """Name -> rows of the cells that the method is called with at a time; empty: it is called once.

    By the column that the inputs name (``apart``), else per donor (library), if the method's card says so; donors are
    not divided by what is apart.
    """
    column = "donor" if per_donor else inputs.apart
    if not column:
        return {}
    values = inputs.cells.obs[column].astype(str).to_numpy()
    return {f"{column} {value}": np.flatnonzero(values == value) for value in sorted(set(values))}


def _place(
    collected: dict[str, Any], arrays: dict[str, Any], rows: np.ndarray[Any, Any], n: int, scratch: Path
) -> None:
    if collected and set(collected) != set(arrays):
        raise InvalidOutputError(
            f"outputs differ between parts: {sorted(collected)} and {sorted(arrays)}",
            fix="return the same keys for every part",
        )
    for name, values in arrays.items():
        array = np.asarray(values.toarray() if issparse(values) else values)
        if name not in collected:
            collected[name] = _room((n, *array.shape[1:]), array.dtype, scratch / f"collected_{name}.npy")
        elif array.dtype != collected[name].dtype:
            collected[name] = collected[name].astype(np.result_type(collected[name], array))
        collected[name][rows] = array


def _room(shape: tuple[int, ...], dtype: np.dtype[Any], file: Path) -> np.ndarray[Any, Any]:
    """An array in memory; a large one of numbers on disk, where the parts' answers lie as well."""
    if dtype.kind == "f" and int(np.prod(shape)) > _LARGE:
        return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    return np.empty(shape, dtype=dtype)


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
