"""The commands and the Python of README and docs, as a reader would run them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from command_line import bench
from scipy import sparse

from bench.cli import with_commands
from bench.develop.scaffold import new_task

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        name, _, anchor = target.partition("#")
        if name.startswith(("http:", "https:")):
            continue
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, target


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def commands(page):
    """Command lines of ``bench`` in a page, without comments."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "bench":
                yield words[1:]


def options(command):
    """Names of the options of a command."""
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
#: What takes minutes, trains a model, or needs what no reader has yet.
NOT_RUN = {"all", "pretrain", "embed", "env", "audit", "RUN", "old-tool", "import-checkpoint"}
NOT_RUN |= {"scmamba.checkpoint=scmamba-official"}
RUN = [
    words
    for _, words in COMMANDS
    if not NOT_RUN & {*words} and (words[0] != "run" or {"--methods", "--plan"} & {*words})
]


def test_the_pages_have_commands():
    assert {page.name for page, _ in COMMANDS} >= {"README.md", "add-a-method.md", "annotation.md", "models.md"}
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=" ".join)
def test_a_documented_command_has_its_options(words):
    command = typer.main.get_command(with_commands())
    words = list(words)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options(command)


def at(folder, *words):
    return bench(*words, cwd=folder, env={"BENCH_HOME": str(folder / "home")})


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder as a reader has it: a study of two conditions, another one, and the code of the pages as files."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for name, n in (("my", 160), ("study-a", 100), ("study-b", 100)):
        kind = rng.integers(0, 2, n)
        rate = np.where((np.arange(120) < 60)[None] == kind[:, None].astype(bool), 2.0, 0.4)
        obs = pd.DataFrame(
            {
                "patient_id": [f"p{i % 4}" for i in range(n)],
                "condition": ["stim" if i % 4 < 2 else "ctrl" for i in range(n)],
                "cell_type": np.where(kind == 1, "Astro", "Micro"),
            },
            index=[f"{name}{i}" for i in range(n)],
        )
        obs["donor"] = obs["patient_id"]
        X = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
        var, obsm = pd.DataFrame(index=[f"G{i}" for i in range(120)]), {"X_scgpt": rng.normal(size=(n, 8))}
        ad.AnnData(X, obs, var, obsm=obsm).write_h5ad(folder / f"{name}.h5ad")
    (folder / "names.csv").write_text("from,to\nAstro,Astro\nMicro,Micro\n")
    (folder / "depth.py").write_text(blocks(ROOT / "README.md", "python")[0])
    (folder / "my_method.py").write_text(blocks(ROOT / "docs" / "add-a-method.md", "python")[0])
    (folder / "centred.py").write_text(blocks(ROOT / "docs" / "integration.md", "python")[0])
    (folder / "plan.toml").write_text(blocks(ROOT / "docs" / "plan.md", "toml")[0])
    package = new_task("hidden-genes", folder)[0]
    package.write_text(package.read_text() + blocks(ROOT / "docs" / "add-a-task.md", "python")[2])
    (folder / "tiny.py").write_text(blocks(ROOT / "docs" / "add-a-dataset.md", "python")[0])
    subprocess.run([sys.executable, "tiny.py"], cwd=folder, check=True)
    for name in ("study-a", "study-b"):
        assert at(folder, "data", "add", f"{name}.h5ad", "--name", name).returncode == 0
    return folder


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_a_documented_command_runs(words, desk):
    if "--plan" in words:
        words = [*words, "--no-report"]
    elif words[0] == "run":  # the built-in cohort, five seeds and a report a run take minutes
        words = [*words, "--seeds", "1", "--no-report", *([] if "--datasets" in words else ["--datasets", "my.h5ad"])]
        words += ["--jobs", "1"]  # two would each compile the same kernels
    if words[0] == "new":  # what the other commands need is in the folder already
        words = [*words, "--out", "new"]
    done = at(desk, *words)
    assert done.returncode == 0 or words[0] == "doctor", done.stdout + done.stderr  # it tells what is missing here


def test_the_task_of_the_pages_is_the_one_that_bench_new_writes(tmp_path):
    task, test, method = blocks(ROOT / "docs" / "add-a-task.md", "python")
    files = new_task("hidden-genes", tmp_path)
    assert files[0].read_text() == task
    page = blocks(ROOT / "docs" / "add-a-metric.md", "python")
    (tmp_path / "bench-hidden-genes" / "tests" / "test_pages.py").write_text("\n".join([test, *page[1:]]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "bench-hidden-genes"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


PYTHON = {
    "index.md": "assert run.failures.empty and len(run.headline())",
    "add-a-dataset.md": blocks(ROOT / "docs" / "add-a-metric.md", "python")[0]
    + "error = brier(run, 'truth')\nassert len(error) == 1 and (error == 0).all()\n"
    + "assert (brier(run, 'scrublet') > 0).all()",
}


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs(page, desk):
    script = "\n".join([*blocks(ROOT / "docs" / page, "python"), PYTHON[page]])
    env = {**os.environ, "BENCH_HOME": str(desk / "home")}
    done = subprocess.run([sys.executable, "-c", script], cwd=desk, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_has_its_place_on_the_site():
    toc = yaml.safe_load((ROOT / "docs" / "_toc.yml").read_text())
    placed = [entry["file"] for tree in toc["subtrees"] for entry in tree["entries"]] + [toc["root"]]
    pages = [p for p in (ROOT / "docs").rglob("*") if p.suffix in (".md", ".rst", ".ipynb")]
    assert sorted(placed) == sorted(str(p.relative_to(ROOT / "docs").with_suffix("")) for p in pages)
