"""Do two versions of the code give the same results? Both run the five tasks, and every number is compared.

Each version is installed from a copy into a virtual environment of its own, which takes all other packages from the
one that this script runs in; nothing is downloaded. It runs, by its own ``bench`` and with a cache of its own, the
methods that take seconds, every control, one scMamba of size ``tiny``, and ``bench deg``. Then rows of ``results.csv``
and ``curves.csv`` are compared as text, without keys and what was measured of the machine; so are the bytes of
predictions, of the tables that scoring made, of the kept truth, and the digest of what each method was shown. Exits
with 1 if anything differs. It takes about 12 minutes for each version on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent.parent
#: Calls of ``bench run`` by task. All write into one folder, so that tasks which show the same cells share predictions.
RUNS = {
    "doublet": ["--methods=cxds,bcds,hybrid,scrublet,doubletfinder,doubletdetection,pyscdblfinder"],
    "annotation": [
        "--methods=scibet,logistic_regression,knn,celltypist,celltypist_voting,seurat-py",
        "--tracks=celltype --methods=scmamba --preset=tiny",
    ],
    "imputation": ["--methods=knn_smoothing,magic"],
    "integration": ["--methods=knn_smoothing,magic"],
    "deg": ["--methods=knn_smoothing,magic"],
}
DEG_TABLE = "cohort --group condition --case AD --control CN --by cell_type --out"
TRIAL = ["task", "track", "dataset", "method", "split_seed", "sim_seed", "method_seed"]
#: Columns that may differ: keys, times, memory, and the state of the machine.
APART = ["run_id", "trial", "wall_s", "fit_s", "predict_s", "cpu_s", "rss_peak_mb", "gpu_peak_mb"]
APART += ["host", "cpu", "load", "blas"]
#: A note tells whose prediction a trial has used; of several equal ones it is the one whose key comes first.
REUSED_TRIAL = r"trial [0-9a-f]{16} \([^)]*\)"
EXAMPLES = """
examples:
  compare_results.py v0.1                            that commit against this checkout, uncommitted changes included
  compare_results.py v0.1 v0.1 --keep base           a version against itself: is it deterministic?
  compare_results.py base/before --task doublet      against kept results, one task only
  compare_results.py v0.1 --dataset my.h5ad --dataset other.h5ad     in place of the built-in cohort
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="a commit, a checkout, or results that --keep has kept")
    parser.add_argument("after", nargs="?", default=str(HERE), help="the same; default: this checkout")
    parser.add_argument("--task", action="append", choices=RUNS, help="only this task; may be given several times")
    parser.add_argument("--dataset", action="append", default=[], help="a file, or a name under BENCH_DATA; repeatable")
    parser.add_argument("--keep", type=Path, help="keep the results in KEEP/before and KEEP/after")
    given = parser.parse_args()
    tasks = given.task or list(RUNS)
    with tempfile.TemporaryDirectory() as scratch:
        keep = given.keep or Path(scratch)
        results = [
            made(source, (keep / name).absolute(), Path(scratch) / f"work-{name}", tasks, given.dataset)
            for name, source in (("before", given.before), ("after", given.after))
        ]
        found = {task: list(differences(*(load(folder, task) for folder in results))) for task in tasks}
    return int(sum(told(task, lines) for task, lines in found.items()) > 0)


def told(task: str, lines: list[str]) -> bool:
    """Print what was found of a task; True if anything differs."""
    counts, *differ = lines
    print(f"{task}: {counts}: {'DIFFERENT' if differ else 'identical'}")
    for line in differ[:5]:
        print(f"  {line}")
    if len(differ) > 5:
        print(f"  and {len(differ) - 5} more")
    return bool(differ)


# -- running one version ----------------------------------------------------------------------------------------------


def made(source: str, out: Path, work: Path, tasks: list[str], datasets: list[str]) -> Path:
    """The folder with the results of a version: there already, or made now in ``out``."""
    if (Path(source) / "results.csv").exists():
        return Path(source)
    if out.exists():
        sys.exit(f"{out} exists: name another --keep, or give that folder in place of the commit")
    log(f"{source}: installing a copy")
    copy(source, work / "tree")
    bench = installed(work / "tree", work / "venv")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = kept | {"BENCH_CACHE": str(work / "cache")}
    chosen = [f"--datasets={','.join(str(Path(d).resolve()) if Path(d).exists() else d for d in datasets)}"]
    calls = [
        ["run", f"--task={task}", *call.split(), *(chosen if datasets else []), f"--out={out}"]
        + ["--jobs=1", "--no-report", "--allow-failures", "--quiet"]
        for task in tasks
        for call in RUNS[task]
    ]
    calls += [["deg", *DEG_TABLE.split(), str(out / "deg.csv")]] if "deg" in tasks and not datasets else []
    for call in calls:
        start = time.monotonic()
        done = subprocess.run([bench, *call], env=environment, cwd=work, stdout=subprocess.DEVNULL, check=False)
        log(f"{source}: {time.monotonic() - start:.0f} s, exit {done.returncode}: bench {' '.join(call)}")
    return out


def copy(source: str, tree: Path) -> None:
    """Put the files of a commit, or those of a checkout that git does not ignore, into ``tree``."""
    if Path(source).is_dir():
        names = git("-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in filter(None, map(os.fsdecode, names)):
                if (Path(source) / name).is_file():
                    tar.add(Path(source) / name, name)
    else:
        archive = io.BytesIO(git("-C", str(HERE), "archive", source))
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        tar.extractall(tree, filter="data")


def git(*command: str) -> bytes:
    done = subprocess.run(["git", *command], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit("neither a commit, nor a checkout, nor a folder with a results.csv")
    return done.stdout


def installed(tree: Path, folder: Path) -> Path:
    """The ``bench`` of a tree, in a new virtual environment that sees the packages of this one."""
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "zz_shared.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    command = [*pip, "--no-index", "--no-deps", "--no-build-isolation", str(tree)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\nthe copy could not be installed: run this in an environment with the extra `dev`")
    return folder / "bin" / "bench"


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# -- comparing two ----------------------------------------------------------------------------------------------------


def load(folder: Path, task: str) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Of a task: its tables as text, in an order that keys do not decide, and a digest of every other output."""
    tables, files = {}, {}
    for name in ("results", "curves"):
        table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        table = table[table["task"] == task].sort_values(TRIAL, kind="stable", ignore_index=True)
        if "notes" in table:
            table["notes"] = table["notes"].str.replace(REUSED_TRIAL, "another trial", regex=True)
        tables[name] = table.drop(columns=APART, errors="ignore")
        if name == "results":
            for where, rows in table.groupby(TRIAL):
                [key] = set(rows["trial"])
                files |= {f"{'/'.join(where)}: {file}": d for file, d in outputs(folder / "trials" / key)}
            for problem in sorted(set(table["problem"]) - {""}):
                files |= {f"{problem}/{file}": d for file, d in digests(folder / problem)}
    if task == "deg":
        files |= {file: d for file, d in digests(folder) if file == "deg.csv"}
    return tables, files


def outputs(trial: Path) -> Iterator[tuple[str, str]]:
    """Digests of what a trial left, but for its log and what ``trial.json`` says of the machine."""
    yield from ((file, digest) for file, digest in digests(trial) if file not in ("trial.json", "log.txt"))
    record = json.loads((trial / "trial.json").read_text())
    yield from ((field, str(record[field])) for field in ("inputs_digest", "problem_notes", "retryable"))


def digests(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(folder)), hashlib.sha256(file.read_bytes()).hexdigest()


def differences(
    before: tuple[dict[str, pd.DataFrame], dict[str, str]], after: tuple[dict[str, pd.DataFrame], dict[str, str]]
) -> Iterator[str]:
    """How much was compared, then a line for everything that differs."""
    yield f"{len(before[0]['results'])} rows, {len(before[0]['curves'])} points of curves, {len(before[1])} outputs"
    if before[0]["results"].empty:
        yield "there is nothing to compare"
    for name, old in before[0].items():
        yield from cells(f"{name}.csv", old, after[0][name])
    for name in sorted(before[1].keys() | after[1].keys()):
        old, new = before[1].get(name, "is not there"), after[1].get(name, "is not there")
        if old != new:
            yield f"{name}: {old[:16]} before, {new[:16]} after"


def cells(name: str, old: pd.DataFrame, new: pd.DataFrame) -> Iterator[str]:
    """A line for every row of a table that differs, with its first differing columns."""
    if list(old.columns) != list(new.columns):
        yield f"{name}: columns {sorted(set(old.columns) ^ set(new.columns)) or 'in another order'}"
    elif len(old) != len(new):
        trials = [set(map(tuple, table[TRIAL].to_numpy())) for table in (old, new)]
        yield f"{name}: {len(old)} rows before, {len(new)} after; trials of one only: {sorted(trials[0] ^ trials[1])}"
    else:
        for row in (old != new).any(axis=1).to_numpy().nonzero()[0]:
            one, other = old.iloc[row], new.iloc[row]
            where = "/".join([*one[TRIAL], *(one[c] for c in ("unit", "metric", "curve") if c in old)])
            columns = "; ".join(f"{c} {one[c]!r} before, {other[c]!r} after" for c in old if one[c] != other[c])
            yield f"{name}: {where}: {columns}"


if __name__ == "__main__":
    sys.exit(main())
