"""Plans in files: what they mean, that a command line can be written as one, and what is said of a wrong one."""

import json
import shlex

import pytest
from command_line import bench
from conftest_core import PLUGIN, ToySource

TASK = '[[task]]\nname = "guess"\n'


@pytest.fixture
def desk(tmp_path):
    """A folder with data and a plugin."""
    adata = ToySource(n_cells=90).load().adata
    for name in ("one", "two"):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "toys.py").write_text(PLUGIN.read_text())
    return tmp_path


@pytest.fixture
def run(desk):
    """Runs a plan from another folder than its own."""

    def _run(text, *options):
        (desk / "plan.toml").write_text(f'plugins = ["toys.py"]\n{text}')
        (desk / "elsewhere").mkdir(exist_ok=True)
        command = ("run", "--plan", desk / "plan.toml", "--no-report", *options)
        return bench(*command, cwd=desk / "elsewhere", env={"BENCH_HOME": str(desk / "home")})

    return _run


def test_several_tasks_run_each_with_its_own(run, desk):
    text = (
        'out = "results"\ndatasets = ["one.h5ad"]\nseeds = 2\n'
        + TASK
        + 'methods = ["noisy"]\n'
        + TASK
        + 'datasets = ["two.h5ad"]\nseeds = 1\nmethods = [{ name = "toy", params = { mode = "raise" } }]\n'
    )
    done = run(text, "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["plan"] == str(desk / "plan.toml")
    first, second = told["tasks"]
    assert first["run"] == second["run"] == str(desk / "results")
    asked = {(t["dataset"], t["method"], t["seeds"]["method"]) for t in first["trials"] if t["role"] == "method"}
    assert asked == {("one.h5ad", "noisy", 0), ("one.h5ad", "noisy", 1)}
    [toy] = [t for t in second["trials"] if t["role"] == "method"]
    assert (toy["dataset"], toy["method"], toy["status"], toy["params"]["mode"]) == (
        "two.h5ad",
        "toy",
        "crash",
        "raise",
    )
    assert (first["complete"], second["complete"]) == (True, False)
    assert run(text, "--allow-failures").stdout.count("accuracy (pooled") == 2


@pytest.mark.parametrize(
    "options",
    [
        "--methods toy,noisy --datasets one.h5ad,two.h5ad --seeds 2 --split-seeds 2",
        "--methods all --datasets one.h5ad --set toy.mode=constant --threads 2 --timeout 5m --memory 3gb",
        "--methods controls --datasets one.h5ad",
    ],
)
def test_a_command_line_and_the_plan_it_means_are_the_same_trials(desk, options):
    command = ["run", "--task", "guess", "--plugin", "toys.py", *shlex.split(options), "--out", "results"]
    written = bench(*command, "--write-plan", "plan.toml", cwd=desk)
    assert written.stdout == "wrote plan.toml; run it with: bench run --plan plan.toml\n"
    assert not (desk / "results").exists()
    asked = json.loads(bench(*command, "--no-report", "--json", "--allow-failures", cwd=desk).stdout)
    again = bench("run", "--plan", "plan.toml", "--no-report", "--json", "--allow-failures", cwd=desk)
    [planned] = json.loads(again.stdout)["tasks"]
    assert planned["ran"] == 0
    assert [t["trial"] for t in planned["trials"]] == [t["trial"] for t in asked["trials"]]


def test_a_written_plan_names_what_is_meant_and_no_more(desk):
    command = "run --task guess --plugin toys.py --methods toy,noisy --set toy.mode=constant --datasets one.h5ad"
    bench(*shlex.split(command), "--seeds", "3", "--write-plan", "plans/plan.toml", cwd=desk)
    assert (desk / "plans/plan.toml").read_text() == (
        'plugins = ["../toys.py"]\n\n[[task]]\nname = "guess"\ntracks = ["plain"]\ndatasets = ["../one.h5ad"]\n'
        "seeds = 3\n"
        'methods = [\n  { name = "toy", params = { mode = "constant" } },\n  "noisy",\n]\n'
    )


@pytest.mark.parametrize(
    ("text", "what", "line", "fix"),
    [
        ("seed = 3\n" + TASK, "unknown key 'seed'", 2, "did you mean 'seeds'"),
        (TASK + 'metods = ["toy"]', "unknown key 'metods'", 4, "did you mean 'methods'?"),
        (
            TASK + TASK + 'methods = [\n  "toy",\n  { name = "toy", presets = "x" },\n]',
            "unknown key 'presets'",
            8,
            "did you mean 'preset'?",
        ),
        (TASK + 'methods = ["toy",\n"nosy"]', "unknown method 'nosy'", 5, "did you mean 'noisy'?"),
        (TASK + 'tracks = ["plane"]', "unknown track of guess 'plane'", 4, "did you mean 'plain'?"),
        ('[[task]]\nname = "gues"', "unknown task 'gues'", 3, "did you mean 'guess'?"),
        (TASK + 'datasets = ["oen.h5ad"]', "there is no such file or folder", 4, "did you mean"),
        (
            TASK + TASK + 'datasets = ["one.h5ad",\n"oen.h5ad"]',
            "there is no such file or folder",
            7,
            "did you mean",
        ),
        (
            TASK + 'methods = [{ name = "toy", params = { mood = 1 } }]',
            "unknown parameter of toy 'mood'",
            4,
            "did you mean 'mode'?",
        ),
        (TASK + 'methods = [{ name = "toy", preset = "q" }]', "unknown preset of toy 'q'", 4, "known:"),
        (TASK + 'methods = "toy"', "methods: Input should be a valid list, not 'toy'", 4, 'write methods = ["toy"]'),
        ('datasets = "one.h5ad"\n' + TASK, "datasets: Input", 2, 'write datasets = ["one.h5ad"]'),
        (TASK + "seeds = 0", "seeds: Input should be greater than 0, not 0", 4, "see docs/plan.md"),
        (TASK + 'timeout = "soon"', "timeout: 'soon' is not a usable value", 4, "see docs/plan.md"),
        ("[[task]]\nseeds = 1", "'name' of a task is missing", 2, "write name = ..."),
        ("seeds = 1", "a task is missing", 1, "write [[task]]"),
        ('[task]\nname = "guess"', "tasks are a list of tables", 2, "write [[task]], with two brackets"),
        ("[[task]\n", "this is no TOML", None, "see docs/plan.md"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_with_its_line(run, desk, text, what, line, fix):
    done = run(text)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {what}"), done.stderr
    assert f"  where: {desk / 'plan.toml'}" + (f", line {line}" if line else "") in done.stderr
    assert f"  fix:   {fix}" in done.stderr
    assert not (desk / "elsewhere" / "bench-runs").exists()


def test_a_folder_is_no_plan(desk):
    done = bench("run", "--plan", ".", cwd=desk)
    assert (done.returncode, "fix:   name the file in this folder" in done.stderr) == (2, True)


def test_what_a_plan_says_is_refused_beside_it(run):
    done = run(TASK, "--seeds", "2")
    assert (done.returncode, "--seeds is for the plan to say" in done.stderr) == (2, True)
    done = run(TASK, "--force", "noissy")
    assert (done.returncode, "did you mean 'noisy'" in done.stderr) == (2, True)
