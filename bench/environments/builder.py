"""Building the environments of methods: aside, then moved into place whole; one builder at a time; and clearing up."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from bench.environments.declaration import FACTS, Environment, environments_dir
from bench.errors import BenchError
from bench.system import PR_SET_PDEATHSIG, clean_env, locked, now, prctl, replacing, try_lock

#: Lines of the log that an error tells.
_TOLD = 15
#: Must be importable in every environment: the exchange code uses them.
_NEEDED = "import numpy, scipy.sparse, pandas"

Report = Callable[[str], None]


def build_environment(environment: Environment, report: Report = lambda line: None) -> None:
    """Make an environment, unless it is there; waits for another process that is at it.

    Parameters
    ----------
    report
        Told each line of what the installers print.

    Raises
    ------
    BenchError
        If it cannot be built; what the installers printed is kept in a file.
    """
    root = environments_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f"{environment.name}.lock", lambda: report("another process is building it; waiting")):
            for leftover in root.glob(f".{environment.name}-*"):  # by a builder that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            if not environment.is_built:
                _build_aside(environment, root, report)
    except OSError as error:
        raise BenchError(
            f"the environment of {environment.method} cannot be written: {error.strerror or error}",
            where=str(error.filename or root),
            fix="free some space, or name another folder in BENCH_CACHE",
        ) from error


def _build_aside(environment: Environment, root: Path, report: Report) -> None:
    log = root / f"{environment.name}.log"
    started = time.monotonic()
    # A name of its own: what a killed builder's installer still writes never gets into this one. What is replaced is an
    # environment whose interpreter has gone.
    with replacing(environment.folder) as aside:
        with log.open("w") as log_file:
            for command in _commands(environment, aside):
                code = _execute(command, log_file.write, report)
                if code:
                    log_file.flush()
                    raise _failed(environment, command, code, log)
        facts = {
            "method": environment.method,
            "built": now(),
            "seconds": round(time.monotonic() - started, 1),
            "mb": round(_size(aside) / 1e6),
            "lock": environment.lock,
        }
        (aside / FACTS).write_text(json.dumps(facts, indent=1))
    log.unlink()


def _commands(environment: Environment, aside: Path) -> Iterator[list[str]]:
    variant, folder = environment.variant, environment.declared.parent
    aside.mkdir()
    lock = aside / "requirements.txt"
    lines = (str(folder / line) if line in variant.local else line for line in variant.requirements)
    lock.write_text("".join(f"{line}\n" for line in lines))
    uv, python = find_uv_bin(), str(aside / "bin" / "python")
    yield [uv, "venv", "--quiet", "--allow-existing", "--python", str(environment.interpreter.path), str(aside)]
    # Compiled now: its methods may not write there, and would compile what they import in every trial.
    yield [uv, "pip", "install", "--no-deps", "--compile-bytecode", "--python", python, "--requirements", str(lock)]
    yield [python, "-c", _NEEDED]


def _execute(command: Sequence[str], keep: Callable[[str], object], report: Report) -> int:
    keep(f"$ {' '.join(command)}\n")
    process = subprocess.Popen(
        command,
        env=clean_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            keep(line)
            report(line.strip())
        return process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the installer and the compilers it started
        process.wait()
        raise


def _failed(environment: Environment, command: Sequence[str], code: int, log: Path) -> BenchError:
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    missing = command[-1] == _NEEDED
    reason = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1]).strip()
    ended = f"{Path(command[0]).name} ended with exit code {code} ({reason[:300]})"
    how = "it lacks numpy, scipy or pandas" if missing else ended
    tail = "\n".join(f"  | {line}" for line in lines[-_TOLD:])
    return BenchError(
        f"the environment of {environment.method} ({environment.summary}) could not be built: {how}",
        where=f"{log}, which ends with\n{tail}",
        fix="add them to its requirements" if missing else "see the log; the next attempt starts from nothing",
    )


@contextlib.contextmanager
def in_use(names: Iterable[str]) -> Iterator[None]:
    """Keep environments from :func:`clean`, in any process, until the block or this process ends.

    Parameters
    ----------
    names
        Names of environments; an empty one stands for the harness's own.
    """
    with contextlib.ExitStack() as held:
        for name in set(names) - {""}:
            with contextlib.suppress(FileNotFoundError):  # not built, or just removed: its trials tell
                try_lock(held.enter_context((environments_dir() / name / FACTS).open()), shared=True)
        yield


@dataclass(frozen=True)
class Stored:
    """Something in the folder of environments.

    Parameters
    ----------
    method
        The method it was built for; empty: it is half-built.
    """

    folder: Path
    method: str
    built: str
    mb: float


def stored() -> list[Stored]:
    """Every environment of the cache, and what killed builders left there."""
    environments = []
    for folder in sorted(environments_dir().glob("*")):
        if folder.is_dir():
            facts = folder / FACTS
            facts_of = json.loads(facts.read_text()) if facts.exists() and folder.name[0] != "." else {}
            mb = facts_of.get("mb") or _size(folder) / 1e6
            environments.append(Stored(folder, facts_of.get("method", ""), facts_of.get("built", ""), mb))
    return environments


def clean(used: Sequence[str]) -> tuple[list[Stored], list[Stored]]:
    """Remove all environments but those of the names ``used``, and what killed builders left.

    Returns
    -------
    What was removed, and what was left because a builder or a run (:func:`in_use`) is at it.
    """
    root = environments_dir()
    removed: list[Stored] = []
    spared: list[Stored] = []
    for environment in stored():
        name = environment.folder.name.lstrip(".").partition("-")[0]
        if environment.method and name in used:
            continue
        with (root / f"{name}.lock").open("w") as builders:
            if not environment.folder.exists():  # another process was faster
                continue
            gone = try_lock(builders) and _taken_away(environment, root / f".{name}-{secrets.token_hex(4)}")
            if gone:
                (root / f"{name}.log").unlink(missing_ok=True)
        (removed if gone else spared).append(environment)
    return removed, spared


def _taken_away(environment: Stored, aside: Path) -> bool:
    """Remove an environment unless a run uses it; by one rename first, so that what is there is always whole."""
    if environment.method:
        with (environment.folder / FACTS).open("r+") as users:
            if not try_lock(users):
                return False
            environment.folder.rename(aside)
    shutil.rmtree(aside if environment.method else environment.folder, ignore_errors=True)
    return True


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
