"""A run folder: one atomic folder per finished trial, the requests that asked for them, and the tidy tables.

Any number of processes and machines may write to one run folder. A trial's folder appears by one rename, so it is
either whole or absent; the tables are rebuilt from the trial folders and replaced by one rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from bench import __version__
from bench.errors import BenchError, did_you_mean
from bench.results.records import Limits, Request, RunInfo, TrialRecord
from bench.system import link_or_copy, locked, now, path_hint, replacing, write_atomic
from bench.words import csv_text

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from bench.problem import Problem

M = TypeVar("M", bound=BaseModel)


class Store:
    """Reads and writes one run folder.

    Parameters
    ----------
    root
        The run folder (``run.json``, ``requests/``, ``problems/``, ``trials/``, the tables and the report).
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> Store:
        """Open ``root`` as a run folder, making it one if it is new or empty.

        Raises
        ------
        BenchError
            If the folder holds other things.
        """
        store = cls.at(root)
        with _writing(root):
            store._make()
        return store

    @classmethod
    def at(cls, root: Path) -> Store:
        """The run folder at ``root``, which need not be there yet; nothing is written.

        Raises
        ------
        BenchError
            If the folder holds other things, or is none.
        """
        usable_folder(root)
        if not (root / "run.json").exists():
            others = [p.name for p in root.iterdir() if not _is_ours(p.name)] if root.exists() else []
            # Looked at again: another process may just have made it a run folder, and written more into it.
            if others and not (root / "run.json").exists():
                raise BenchError(
                    "the output folder is not empty and is not a run folder",
                    where=str(root),
                    fix="give another --out, or the folder of an earlier run to go on with it",
                )
        _check_folders(root)
        return cls(root)

    def _make(self) -> None:
        root = self.root
        if not (root / "run.json").exists():
            (root / "trials").mkdir(parents=True, exist_ok=True)
            (root / "requests").mkdir(exist_ok=True)
            info = RunInfo(run_id=secrets.token_hex(4), created=now(), bench_version=__version__)
            # Two processes may start at once: whoever links first names the run.
            temporary = root / f".run-{secrets.token_hex(4)}.json"
            temporary.write_text(info.model_dump_json(indent=1))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, root / "run.json")
            temporary.unlink()

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open an existing run folder.

        Raises
        ------
        BenchError
            If ``root`` is not one.
        """
        if not (root / "run.json").exists():
            raise BenchError("not a run folder: run.json is missing", where=str(root), fix=_run_folder_hint(root))
        _check_folders(root)
        return cls(root)

    @property
    def info(self) -> RunInfo:
        """Identity of the run."""
        return _read(RunInfo, self.root / "run.json")

    @property
    def is_writable(self) -> bool:
        """Return whether the folder takes files; a finished run may lie where it does not."""
        return os.access(self.root, os.W_OK)

    # -- trials -------------------------------------------------------------------------------------------------

    def trial_folder(self, key: str) -> Path:
        """Folder of the trial ``key``, existing or not."""
        return self.root / "trials" / key

    def keys(self) -> set[str]:
        """Keys of the finished trials."""
        return {file.parent.name for file in (self.root / "trials").glob("[0-9a-f]*/trial.json")}

    def record(self, key: str) -> TrialRecord | None:
        """The finished trial ``key``, or None."""
        try:
            return _read(TrialRecord, self.trial_folder(key) / "trial.json")
        except FileNotFoundError:
            return None

    def records(self) -> Iterator[TrialRecord]:
        """Every finished trial, by key."""
        for file, content in self._trial_files():
            yield _parsed(TrialRecord, content, file)

    def _trial_files(self) -> Iterator[tuple[Path, bytes]]:
        """Every ``trial.json`` and what is in it, by key."""
        for file in sorted((self.root / "trials").glob("[0-9a-f]*/trial.json")):
            with contextlib.suppress(FileNotFoundError):  # another process is replacing it
                yield file, file.read_bytes()

    def save(self, record: TrialRecord, files: Iterable[Path] = ()) -> None:
        """Write a trial's folder in one step, replacing an earlier one.

        Parameters
        ----------
        files
            Prediction and log (files or folders), put into the folder under their own names.
        """
        with _writing(self.root), replacing(self.trial_folder(record.key)) as folder:
            folder.mkdir(parents=True)
            for file in files:
                link_or_copy(file, folder / file.name)
            (folder / "trial.json").write_text(record.model_dump_json(indent=1))

    def rewrite(self, record: TrialRecord) -> None:
        """Replace a trial's ``trial.json`` alone (``bench rescore``)."""
        write_atomic(self.trial_folder(record.key) / "trial.json", record.model_dump_json(indent=1).encode())

    def save_tables(self, key: str, tables: Mapping[str, pd.DataFrame]) -> None:
        """Replace the tables that scoring made of a trial (``bench rescore``)."""
        for name, table in tables.items():
            _write_parquet(table, self.trial_folder(key) / scored_file(name))

    def scored_table(self, key: str, name: str) -> pd.DataFrame | None:
        """A table that scoring made of a trial (:class:`bench.problem.Scored`), or None."""
        return _read_if_there(self.trial_folder(key) / scored_file(name))

    def is_final(self, key: str, limits: Limits) -> bool:
        """Return whether a trial need not run again: finished, and not stopped by a limit lower than today's."""
        record = self.record(key)
        if record is None or record.retryable or record.status == "unavailable":
            return False
        if record.status == "timeout":
            return record.limits.timeout_s >= limits.timeout_s
        if record.status == "oom":
            return (record.limits.memory_mb or float("inf")) >= (limits.memory_mb or float("inf"))
        return True

    # -- problems -----------------------------------------------------------------------------------------------

    def has_problem(self, problem_id: str) -> bool:
        """Return whether all that is kept of a problem is here."""
        return (self._problem_folder(problem_id) / "solution.parquet").exists()

    def save_problem(self, problem_id: str, problem: Problem) -> None:
        """Keep the truth of a problem beside the predictions, so that anyone can recompute the scores.

        ``solution.parquet`` has a row a cell, ``truth_<name>.npz`` a sparse matrix
        (:func:`bench.exchange.matrices.save`).
        """
        folder = self._problem_folder(problem_id)
        with _writing(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            for name, matrix in problem.truth.items():
                from bench.exchange.matrices import save

                cells, genes = problem.solution.index, problem.inputs.cells.var.index
                save(folder / f"truth_{name}.npz", matrix, cells, genes)
            # last: whoever finds it finds the others
            _write_parquet(problem.solution.rename_axis("cell").reset_index(), folder / "solution.parquet")

    def solution(self, problem_id: str) -> pd.DataFrame | None:
        """The kept truth of a problem, indexed by cell, or None."""
        table = _read_if_there(self._problem_folder(problem_id) / "solution.parquet")
        return None if table is None else table.set_index("cell")

    def truth(self, problem_id: str) -> dict[str, csr_matrix]:
        """The kept truth of a problem that is a matrix, by name."""
        from bench.exchange.matrices import load

        files = sorted(self._problem_folder(problem_id).glob("truth_*.npz"))
        return {file.stem.removeprefix("truth_"): load(file) for file in files}

    def tested_donors(self, problem_id: str) -> frozenset[str]:
        """Donors of the cells of a problem that methods answer for; none where they are not kept or not told apart."""
        from pyarrow import parquet

        file = self._problem_folder(problem_id) / "solution.parquet"
        with _reading(file):
            if not file.exists() or "donor" not in parquet.read_schema(file).names:
                return frozenset()
            return frozenset(parquet.read_table(file, columns=["donor"])["donor"].cast("string").unique().to_pylist())

    def save_problem_tables(self, problem_id: str, tables: Mapping[str, pd.DataFrame]) -> None:
        """Keep what the report draws of a problem (:meth:`bench.task.Task.problem_tables`) beside its truth."""
        with _writing(self.root):
            for name, table in tables.items():
                _write_parquet(table, self._problem_folder(problem_id) / f"table_{name}.parquet")

    def has_problem_tables(self, problem_id: str) -> bool:
        """Return whether anything that the report draws of a problem is here."""
        return any(self._problem_folder(problem_id).glob("table_*.parquet"))

    def problem_table(self, problem_id: str, name: str) -> pd.DataFrame | None:
        """A table that the task made of a problem, or None."""
        return _read_if_there(self._problem_folder(problem_id) / f"table_{name}.parquet")

    def _problem_folder(self, problem_id: str) -> Path:
        return self.root / "problems" / problem_id

    # -- requests -----------------------------------------------------------------------------------------------

    def save_request(self, request: Request) -> None:
        """Write down what was asked; asking the same again adds nothing."""
        text = request.model_dump_json(indent=1, exclude={"created", "host", "git"})
        file = self.root / "requests" / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        if not file.exists():
            with _writing(self.root):
                file.parent.mkdir(exist_ok=True)
                write_atomic(file, request.model_dump_json(indent=1).encode())

    def requests(self) -> list[Request]:
        """Everything that was asked of this run folder, oldest first."""
        saved = [_read(Request, file) for file in (self.root / "requests").glob("[0-9a-f]*.json")]
        return sorted(saved, key=lambda r: r.created)

    # -- tables -------------------------------------------------------------------------------------------------

    def write_tables(self) -> bool:
        """Rebuild ``results.*``, ``curves.*`` and ``versions.*`` from the finished trials; True if anything changed."""
        if self._are_current(_state(self._trial_files())):  # told without a lock: the folder may be read-only
            return False
        # One at a time: of two writers, the slower could put an older table under the newer one's stamp.
        with _writing(self.root), locked(self.root / ".lock"):
            return self._write_tables()

    def _are_current(self, state: str) -> bool:
        stamp = self.root / ".tables"
        targets = [self.root / f"{t}.{e}" for t in ("results", "curves", "versions") for e in ("csv", "parquet")]
        return stamp.exists() and stamp.read_text() == state and all(t.exists() for t in targets)

    def _write_tables(self) -> bool:
        # Read once: the stamp must be of the very records that the tables hold.
        files = list(self._trial_files())
        state = _state(files)
        if self._are_current(state):
            return False
        from bench.results.tables import curve_table, result_table, version_table

        records, run_id = [_parsed(TrialRecord, content, file) for file, content in files], self.info.run_id
        for name, make in (("results", result_table), ("curves", curve_table), ("versions", version_table)):
            table = make(records, run_id)
            write_atomic(self.root / f"{name}.csv", csv_text(table).encode())
            _write_parquet(table, self.root / f"{name}.parquet")
        write_atomic(self.root / ".tables", state.encode())
        return True


def _state(files: Iterable[tuple[Path, bytes]]) -> str:
    """Digest of trial files and what is in them."""
    digest = hashlib.sha256()
    for file, content in files:
        digest.update(file.parent.name.encode() + content)
    return digest.hexdigest()


def usable_folder(path: Path) -> Path:
    """``path``, if it is a folder or can become one."""
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise BenchError("this is a file, not a folder", where=f"--out {place}", fix="name a new folder")
    return path


def _check_folders(root: Path) -> None:
    """Refuse a run folder that has a file where one of its folders belongs: it would look empty."""
    for place in (root / "trials", root / "requests", root / "problems"):
        if place.exists() and not place.is_dir():
            fix = "it did not come from bench: move it away, put the folder back if you have it, or give another --out"
            raise BenchError("this is a file where a run folder has a folder", where=str(place), fix=fix)


def scored_file(name: str) -> str:
    """Name of the file, in a trial's folder, with a table that scoring made."""
    return f"scored_{name}.parquet"


def _is_ours(name: str) -> bool:
    """Return whether a run folder without a ``run.json`` yet may hold this: a killed process leaves such things."""
    return name in {"trials", "requests", "problems"} or name.startswith(".run-")


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"cannot write into the run folder: {error.strerror or error}",
            where=str(root),
            fix="free some space or give another --out; finished trials are kept, the same command goes on from here",
        ) from error


def _write_parquet(table: pd.DataFrame, file: Path) -> None:
    with replacing(file) as aside:
        table.to_parquet(aside, index=False)


def read_parquet(file: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of a run folder.

    Raises
    ------
    BenchError
        If the file is damaged.
    """
    import pandas as pd

    with _reading(file):
        return pd.read_parquet(file, columns=columns)


def read_typed(file: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read columns of a table as the types they are documented to have; text that repeats is held once.

    Raises
    ------
    BenchError
        If the file is damaged, or lacks a column.
    """
    from pyarrow import parquet

    texts = [name for name, kind in columns.items() if kind == "string"]
    with _reading(file):
        table = parquet.ParquetFile(file, read_dictionary=texts)
        missing = [name for name in columns if name not in table.schema_arrow.names]
        if missing:
            raise BenchError(f"columns missing: {', '.join(missing)}", where=str(file), fix="rescore the run")
        return table.read([*columns]).to_pandas(ignore_metadata=True).astype(dict(columns))


def _read_if_there(file: Path) -> pd.DataFrame | None:
    return read_parquet(file) if file.exists() else None


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise BenchError(
            f"{file.name} cannot be read: {str(error).splitlines()[0]}",
            where=str(file),
            fix="remove the file and rescore the run; of a prediction remove the trial's folder and run again",
        ) from error


def _read(model: type[M], file: Path) -> M:
    return _parsed(model, file.read_bytes(), file)


def _parsed(model: type[M], content: bytes, file: Path) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise BenchError(
            f"{file.name} is not a valid {model.__name__}: {reason}",
            where=str(file),
            fix="it was edited or written by another version of bench; move it away and run again",
        ) from error
    except json.JSONDecodeError as error:
        raise BenchError(f"{file.name} is not JSON: {error}", where=str(file), fix="move it away, run again") from error


def _run_folder_hint(path: Path) -> str:
    """Run folders that may have been meant: the one that ``path`` lies in, those in it, or one of its name."""
    inside = sorted(file.parent for file in path.glob("*/run.json"))[:5] if path.is_dir() else []
    beside = Path("bench-runs") / path.name
    near = [folder for folder in path.parents if (folder / "run.json").exists()] or inside
    near = near or ([beside] if (beside / "run.json").exists() else [])
    if near:
        return did_you_mean(str(folder) for folder in near)
    return f"give the folder of a run; {path_hint(path)}" if not path.exists() else "give the folder of a run"
