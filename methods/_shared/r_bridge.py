"""R in the trial's own process: counts go in without a dense copy, vectors come out, R's output goes to the log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, NotApplicableError, UnavailableError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.method import Context

#: What an R function may be given beside the counts.
Argument = float | int | str | np.ndarray | None

#: Slots are given one by one: the Matrix package offers no constructor that takes a compressed matrix as it is.
_DGCMATRIX = """
function(i, p, x, genes, cells) {
  suppressPackageStartupMessages(library(Matrix))
  new("dgCMatrix", i = i, p = p, x = x, Dim = c(genes, cells),
      Dimnames = list(paste0("g", seq_len(genes)), paste0("c", seq_len(cells))))
}
"""


def call_r(code: str, counts: csr_matrix, ctx: Context, arguments: Mapping[str, Argument]) -> dict[str, np.ndarray]:
    """Call an R function with a library's counts.

    Parameters
    ----------
    code
        R source of ``function(counts, seed, threads, ...)`` that returns a named list of vectors. ``counts`` is a
        dgCMatrix of genes x cells with the names ``g1 ...`` and ``c1 ...``.
    counts
        Cells x genes.
    arguments
        Passed on by name; None becomes NULL, an array a vector (of integers, or of doubles column by column).

    Returns
    -------
    The vectors of the list, by name.

    Raises
    ------
    bench.errors.UnavailableError
        If R or rpy2 cannot be loaded.
    bench.errors.BenchError
        If R stops with an error, an overflow of its stack included (of which some versions of R crash instead).
    MemoryError
        If R cannot allocate.
    """
    robjects, rinterface, callbacks = _load()
    with _logged(callbacks, ctx):
        try:
            matrix = _to_dgcmatrix(counts, robjects, rinterface)
            robjects.r(f"invisible(tempdir(check = TRUE)); options(warn = 1, mc.cores = {ctx.threads}L)")
            given = {name: _to_r(value, robjects) for name, value in arguments.items()}
            given = {"counts": matrix, "seed": ctx.seed, "threads": ctx.threads, **given}
            result = _called(robjects.r(code), given, robjects)
        except rinterface.embedded.RRuntimeError as error:
            message = f"R stopped: {str(error).strip()}"
            if "cannot allocate" in message:
                raise MemoryError(message) from error
            raise BenchError(message, fix="see the log of the trial for R's own messages") from error
        return {name: np.array(vector) for name, vector in zip(result.names, result, strict=True)}


def _called(function: Any, arguments: Mapping[str, Any], robjects: Any) -> Any:
    """Call by the names of variables: Seurat writes every call on the stack out as text, values in it included."""
    variables = robjects.Environment()
    for name, value in {".f": function, **arguments}.items():
        variables[name] = value
    named = ", ".join(f"{name} = {name}" for name in arguments)
    return robjects.r["eval"](robjects.r(f"expression(.f({named}))"), variables)


def start_r() -> Any:
    """``rpy2.robjects`` with R started; it can be started once a process."""
    return _load()[0]


def _load() -> tuple[Any, Any, Any]:
    """Start R; it can be started once a process, and a wrong R_HOME would end the process without a word."""
    home = os.environ.get("R_HOME")
    if home and not (Path(home) / "library" / "base").is_dir():
        raise UnavailableError(f"there is no R at R_HOME={home}", where="R_HOME", fix="unset R_HOME or correct it")
    os.environ.setdefault("TZ", "UTC")  # or R asks systemd for the time zone, and complains where there is none
    os.environ["LANGUAGE"] = "en"  # or R's messages are in the user's, and out of memory is not known as such
    try:
        from _cffi_backend import FFI  # whose error an R without a symbol that rpy2 needs raises
    except ImportError as error:
        raise UnavailableError("rpy2 is missing", fix="pip install 'scmamba-bench[r]'") from error
    search = os.environ.get("LD_LIBRARY_PATH")
    try:
        import rpy2.robjects as robjects
        from rpy2 import rinterface
        from rpy2.rinterface_lib import callbacks
    except (ImportError, OSError, RuntimeError, ValueError, FFI.error) as error:
        raise UnavailableError(
            f"rpy2 cannot load R: {error}",
            fix="install R >= 4.2, then pip install 'scmamba-bench[r]' (it pins rpy2 3.6.5)",
        ) from error
    # Where R finds its own libraries, another Python started from here may find another's.
    if search is None:
        os.environ.pop("LD_LIBRARY_PATH", None)
    else:
        os.environ["LD_LIBRARY_PATH"] = search
    return robjects, rinterface, callbacks


def _to_r(value: Argument, robjects: Any) -> Any:
    if isinstance(value, np.ndarray):
        vector = robjects.FloatVector if value.dtype.kind == "f" else robjects.IntVector
        return vector(value.ravel(order="F").tolist())
    return robjects.NULL if value is None else value


def _to_dgcmatrix(counts: csr_matrix, robjects: Any, rinterface: Any) -> Any:
    """Genes x cells in R: the compressed rows of cells x genes are its compressed columns."""
    if counts.nnz >= 2**31:
        raise NotApplicableError(f"R's sparse matrices hold fewer than 2^31 entries, this library has {counts.nnz}")
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    integers, doubles = rinterface.IntSexpVector.from_memoryview, rinterface.FloatSexpVector.from_memoryview
    return robjects.r(_DGCMATRIX)(
        i=integers(memoryview(counts.indices.astype(np.int32))),
        p=integers(memoryview(counts.indptr.astype(np.int32))),
        x=doubles(memoryview(counts.data.astype(np.float64))),
        genes=counts.shape[1],
        cells=counts.shape[0],
    )


@contextmanager
def _logged(callbacks: Any, ctx: Context) -> Iterator[None]:
    """Send R's console, which arrives in fragments, to the trial's log line by line."""
    out, err = _Lines(ctx.log.info), _Lines(ctx.log.warning)
    with (
        callbacks.obj_in_module(callbacks, "consolewrite_print", out.write),
        callbacks.obj_in_module(callbacks, "consolewrite_warnerror", err.write),
    ):
        try:
            yield
        finally:
            out.flush()
            err.flush()


class _Lines:
    """Collects fragments of text and passes on whole lines."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)

    def flush(self) -> None:
        self._line(self._rest)
        self._rest = ""

    def _line(self, line: str) -> None:
        if line.strip():
            self._emit("R: %s", line.rstrip())
