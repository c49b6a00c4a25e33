"""Names that shells complete, in the shells that are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.complete import datasets, methods, presets_of, tracks

BASH = """
source complete.bash
COMP_WORDS=(bench $1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_bench_completion bench
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "autoload -Uz compinit; compinit -u -D; source ./complete.zsh; echo REA''DY"
zpty -r shell line '*READY*'
zpty -w -n shell "bench $1"$'\\t'
zpty -r shell line "*$2*"
echo "$line"
"""
FISH = 'source complete.fish; complete -C "bench $argv[1]"'


@pytest.fixture
def shell(tmp_path):
    """Asks a shell what it completes."""

    def ask(name, *words):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "BENCH_HOME": str(tmp_path / "home")}
        source = subprocess.run(
            ["bench"], env=env | {"_BENCH_COMPLETE": f"source_{name}"}, capture_output=True, text=True, check=True
        )
        (tmp_path / f"complete.{name}").write_text(source.stdout)
        command = {
            "bash": ["bash", "--norc", "-c", BASH, "bash"],
            "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
            "fish": ["fish", "--no-config", "-c", FISH],
        }[name]
        (tmp_path / "mine.h5ad").touch()
        done = subprocess.run([*command, *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return done.stdout

    return ask


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("run --task doub", "doublet"),
        ("run --task doublet --methods scrublet,cx", "scrublet,cxds"),
        ("run --task doublet --tracks exp", "experimental"),
        ("run --task doublet --datasets cohort,mi", "cohort,mine.h5ad"),
        ("describe doubletd", "doubletdetection"),
        ("check --task doublet doubletd", "doubletdetection"),
    ],
)
@pytest.mark.parametrize("name", ["bash", "fish"])
def test_a_shell_completes_names(shell, name, typed, completed):
    assert shell(name, typed).split() == [completed]


def test_zsh_completes_names(shell):
    assert "scrublet,cxds" in shell("zsh", "run --task doublet --methods scrublet,cx", "cxds")


class Typed:
    """The part of a context that completion reads."""

    def __init__(self, **params):
        self.params = params


def test_what_is_offered_fits_what_was_typed_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.h5ad", "a.csv", "b.zarr"):
        (tmp_path / name).touch()
    assert "celltypist" in methods(Typed(), "")
    assert "celltypist" not in methods(Typed(task="doublet"), "")
    assert methods(Typed(task="doublet"), "cxds,scrub") == ["cxds,scrublet"]
    assert tracks(Typed(), "") == []
    assert "subtype" in tracks(Typed(task="annotation"), "sub")
    assert presets_of(Typed(task="doublet"), "pap") == ["paper"]
    assert datasets(Typed(), f"{tmp_path}/") == [f"{tmp_path}/a.h5ad", f"{tmp_path}/b.zarr"]


def test_a_library_that_cannot_be_read_completes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    (tmp_path / "library.json").write_text("{")
    assert datasets(Typed(), "c") == []


def test_completion_imports_no_scientific_package():
    env = os.environ | {"COMP_WORDS": "bench run --methods s", "COMP_CWORD": "3", "_BENCH_COMPLETE": "complete_bash"}
    code = (
        "import atexit, sys; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr));"
        "import bench.cli; bench.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "scrublet" in done.stdout.split()
    assert not {"numpy", "pandas", "scipy", "anndata", "numba", "torch"} & set(eval(done.stderr))
