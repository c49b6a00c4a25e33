"""Wrong commands, each with the answer that leads on."""

import shlex

import pytest
from command_line import bench
from conftest_core import PLUGIN, ToySource


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two files of data, a plugin and a run folder."""
    folder = tmp_path_factory.mktemp("desk")
    adata = ToySource(n_cells=90).load().adata
    adata.obs = adata.obs[[]].assign(annotation=["a", "b", "c"] * 30, participant=["p0", "p1", "p2"] * 30)
    adata.write_h5ad(folder / "my.h5ad")
    adata.write_h5ad(folder / "other.h5ad")
    (folder / "mine.py").write_text(PLUGIN.read_text())
    (folder / "bench-runs" / "doublet").mkdir(parents=True)
    (folder / "bench-runs" / "doublet" / "run.json").write_text("{}")
    return folder


def answer(desk, command):
    """What is said of a wrong command."""
    done = bench(*shlex.split(command), cwd=desk, env={"BENCH_HOME": str(desk / "home")})
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    return done.stderr.partition("  fix:   ")[2].strip()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("run my.h5ad", "bench run --task TASK --datasets my.h5ad"),
        ("run --task doublet my.h5ad other.h5ad", "bench run --task doublet --datasets my.h5ad,other.h5ad"),
        (
            "run --task doublet --datasets my.h5ad other.h5ad",
            "bench run --task doublet --datasets my.h5ad --datasets other.h5ad",
        ),
        ("run doublet --methods cxds", "bench run --methods cxds --task doublet"),
        ("run --task doublet scrublet cxds", "bench run --task doublet --methods scrublet,cxds"),
        ("doublet", "bench run --task doublet, or bench describe doublet"),
        ("scrublet", "bench run --task TASK --methods scrublet, or bench describe scrublet"),
        ("my.h5ad", "bench run --task TASK --datasets my.h5ad, or bench data add my.h5ad"),
        ("add my.h5ad", "bench data add my.h5ad"),
        ("bench-runs/doublet", "bench report bench-runs/doublet"),
        ("rnu", "did you mean 'run'?"),
        ("run --task doublet --methods SOLO", "did you mean 'solo'?"),
        ("run --task doublet --method cxds", "did you mean '--methods' or '--memory' or '--set'?"),
        (
            "run --task annotation --label-key annotation",
            "--label-key is an option of bench data add: see bench data add --help",
        ),
        ("run --task doublet --datasets mi.h5ad", "did you mean '{desk}/my.h5ad'?"),
        ("run --task doublet --datasets my", "did you mean 'my.h5ad'?"),
        (
            "run --task doublet --datasets GSE140231",
            "download its raw counts (.h5ad, or CellRanger's .h5 or folder) and give the path",
        ),
        (
            "run --task doublet --datasets https://example.org/my.h5ad",
            "download its raw counts (.h5ad, or CellRanger's .h5 or folder) and give the path",
        ),
        ("run --task guess --methods mine.py", "bench run --task guess --methods {mine} --plugin mine.py"),
        ("check mine.py", "bench check {mine} --plugin mine.py"),
        ("list doublet", "bench describe doublet"),
        ("report doublet", "did you mean 'bench-runs/doublet'?"),
        ("report bench-runs", "did you mean 'bench-runs/doublet'?"),
        ("report bench-runs/doublet/report.html", "did you mean 'bench-runs/doublet'?"),
        ("deg my.h5ad", "name a column of my.h5ad: annotation, participant"),
        ("run", "name one of annotation, deg, doublet, imputation, integration, such as: bench run --task annotation"),
    ],
)
def test_a_wrong_command_is_answered_by_the_right_next_one(desk, wrong, right):
    told = answer(desk, wrong)
    if "{mine}" in right:
        before, _, after = right.partition("{mine}")
        assert told.startswith(before)
        assert told.endswith(after)
        assert "toy" in told
    else:
        assert told == right.format(desk=desk)


def test_labels_that_a_file_has_under_another_name_are_found_in_two_commands(desk):
    told = answer(desk, "run --task integration --datasets my.h5ad")
    command, _, columns = told.removeprefix("name the column: ").partition("\n")
    assert columns.strip() == "columns: annotation (3 values: a, b, c), participant (3 values: p0, p1, p2)"
    assert command == "bench data add my.h5ad --name my --label-key annotation --donor-key participant"
    added = bench(*shlex.split(command)[1:], cwd=desk, env={"BENCH_HOME": str(desk / "home")})
    assert "bench run --task integration --methods all --datasets my\n" in added.stdout
    again = answer(desk, "data add my.h5ad --name my")
    assert again == "choose another --name, or give --replace to put this file in its place"
    assert "removed my" in bench("data", "remove", "my", cwd=desk, env={"BENCH_HOME": str(desk / "home")}).stdout


def test_an_option_that_is_given_twice_counts_twice(desk):
    request = ["run", "--task", "guess", "--plugin", PLUGIN, "--methods", "toy", "--no-report", "--out", desk / "r"]
    done = bench(*request, "--datasets", "my.h5ad", "--datasets", "other.h5ad", cwd=desk)
    assert "toy my.h5ad/plain" in done.stderr
    assert "toy other.h5ad/plain" in done.stderr
