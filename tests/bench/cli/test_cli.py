import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command_line import bench
from conftest_core import PLUGIN, ToySource

from bench.cli.options import assignments, names, sbatch_options, settings
from bench.errors import BenchError
from bench.plan.quantities import megabytes, seconds

PACKAGE = Path(__file__).parents[2] / "plugin_package"


def bench_process(*args, env):
    """For variables that an interpreter reads as it starts."""
    command = [sys.executable, "-m", "bench.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})


@pytest.fixture
def counts(tmp_path):
    adata = ToySource(n_cells=90).load().adata
    adata.var["symbol"] = adata.var_names
    adata.write_h5ad(tmp_path / "counts.h5ad")
    return tmp_path / "counts.h5ad"


@pytest.fixture
def run(tmp_path, counts):
    def _run(*args, datasets=counts, **kwargs):
        base = ("run", "--task", "guess", "--plugin", PLUGIN, "--datasets", datasets, "--no-report")
        return bench(*base, "--out", tmp_path / "run", *args, **kwargs)

    return _run


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "list",
        "describe",
        "report",
        "rescore",
        "merge",
        "compare",
        "audit",
        "doctor",
        "data",
        "new",
        "check",
        "embed",
    ]
    + ["data add", "data simulate", "new method", "new task", "env", "env build", "env list", "env clean"],
)
def test_every_command_has_help_and_an_example(command):
    done = bench(*command.split(), "--help", env={"COLUMNS": "200"})
    assert done.returncode == 0
    assert "Example: bench" in done.stdout or command in {"data", "new", "env"}


def test_methods_are_listed_as_json_for_scripts():
    methods = json.loads(bench("list", "methods", "--json").stdout)
    assert {"name", "tasks", "implementation", "available"} <= methods[0].keys()
    assert isinstance(methods[0]["available"], bool)
    assert "doublet" in next(m for m in methods if m["name"] == "cxds")["tasks"]


def test_describe_and_doctor_answer():
    card = json.loads(bench("describe", "cxds", "--json").stdout)
    assert card["implementation"] == "port"
    assert "cxds.py" in card["origin"]
    text, _, bibtex = bench("describe", "solo").stdout.partition("\ncitation: \n")
    assert "parameters: vae_epochs=" in text
    assert "\nlicence: BSD-3-Clause\n" in text
    assert "{" not in text
    assert bibtex.startswith("@article{bernstein2020solo,\n")
    text = bench("describe", "guess", "--plugin", PLUGIN).stdout
    assert "\n  score: Higher is hotter.\n    kind: float; required: yes" in text
    assert "\n  accuracy: Share of right calls.\n    low: 0.0; high: 1.0; higher_is_better: yes; headline: yes" in text
    assert "\ncontrols: \n  truth: The solution.\n    role: perfect control\n" in text
    assert "\n  random: A coin.\n    role: random control" in text
    facts = json.loads(bench("doctor", "--json", "--plugin", PLUGIN).stdout)
    assert facts["missing"]["absent"][0]["install"] == "pip install no-such-distribution-at-all"


def test_an_error_says_what_where_and_what_to_do_without_a_traceback():
    done = bench("run", "--task", "doublett")
    assert done.returncode == 2
    assert "did you mean 'doublet'" in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes_and_json_summary(run):
    done = run("--methods", "toy,absent", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["complete"]
    assert told["counts"] == {"ok": 3, "unavailable": 1}
    toy = next(t for t in told["trials"] if t["method"] == "toy")
    assert (toy["status"], toy["track"], toy["dataset"], toy["seeds"]["split"]) == ("ok", "plain", "counts.h5ad", 0)
    assert {"accuracy"} <= {score["metric"] for score in toy["scores"]}
    assert toy["scores"][0].keys() == {"metric", "value", "ci_low", "ci_high", "n"}
    assert json.loads((Path(toy["folder"]) / "trial.json").read_text())["key"] == toy["trial"]
    table = pd.read_csv(told["tables"]).query("trial == @toy['trial']").set_index("metric")["value"]
    assert {score["metric"]: score["value"] for score in toy["scores"]} == pytest.approx(table.to_dict())
    failing = ("--methods", "toy", "--set", "toy.mode=raise")
    assert run(*failing, "-q").returncode == 1
    assert run(*failing, "--allow-failures").returncode == 0
    told = json.loads(run(*failing, "--json").stdout)
    assert told["ran"] == 0
    assert told["failures"][0]["status"] == "crash"
    assert told["failures"][0]["scores"] == []


def test_scores_are_told_before_the_report_is_rendered(tmp_path, counts, monkeypatch):
    def fail(done):
        raise BenchError("no report today")

    monkeypatch.setattr("bench.cli.run._render", fail)
    request = ("run", "--task", "guess", "--plugin", PLUGIN, "--datasets", counts, "--methods", "toy")
    done = bench(*request, "--out", tmp_path / "run")
    assert (done.returncode, "no report today" in done.stderr) == (2, True)
    assert "truth (perfect control)" in done.stdout
    assert "3 trials: 3 ok (3 run now)" in done.stdout


def test_the_terminal_shows_every_trial_and_a_table(run):
    done = run("--methods", "toy")
    assert "ok             toy counts.h5ad/plain" in done.stderr
    assert "truth (perfect control)" in done.stdout


def second_method_hangs(tmp_path, counts, options):
    """A run whose first method has finished and whose second hangs: its process, its options, its trials' folder."""
    command = ["run", "--task", "guess", "--plugin", str(PLUGIN), "--no-report", "--datasets", str(counts)]
    command += ["--out", str(tmp_path / "run"), "--jobs", "1", "--methods", "noisy,toy", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *command],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background jobs
    )
    trials = tmp_path / "run" / "trials"
    deadline = time.monotonic() + 60
    while len(list(trials.glob("[0-9a-f]*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    return process, command, trials


def test_kill_9_loses_only_what_was_in_flight(tmp_path, counts):
    """The first method finishes, the second hangs; after SIGKILL the same command runs only what is missing."""
    options = ["--set", "toy.mode=sleep", "--set", "toy.seconds=30"]
    process, command, trials = second_method_hangs(tmp_path, counts, options)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p.name for p in trials.glob("[0-9a-f]*")}
    assert len(kept) == 3
    resumed = bench(*command, "--timeout", "1s", "--json")
    told = json.loads(resumed.stdout)
    assert told["ran"] == 1
    assert told["counts"] == {"ok": 3, "timeout": 1}


def test_interrupting_keeps_what_is_done_and_records_nothing_half(tmp_path, counts):
    process, _, trials = second_method_hangs(tmp_path, counts, ["--set", "toy.mode=sleep"])
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on from here" in told
    assert len(list(trials.iterdir())) == 3


def test_rescore_and_merge_from_the_command_line(run, tmp_path):
    assert run("--methods", "toy").returncode == 0
    assert "3 trials rescored" in bench("rescore", tmp_path / "run", "--plugin", PLUGIN).stdout
    done = bench("merge", tmp_path / "run", "--out", tmp_path / "merged")
    assert "3 trials" in done.stdout
    assert len(pd.read_csv(tmp_path / "merged" / "results.csv")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("task", ["doublet", "annotation"])
def test_a_scaffolded_method_checks_and_runs(tmp_path, cohort_cache, task):
    done = bench("new", "method", "my-depth", "--task", task, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "bench-my-depth" / "bench_my_depth.py"
    checked = bench("check", "my-depth", "--plugin", file, "--json")
    assert checked.returncode == 0, checked.stdout
    assert {c["status"] for c in json.loads(checked.stdout)} <= {"pass", "skip"}
    assert bench("new", "method", "my-depth", "--out", tmp_path).returncode == 2


@pytest.mark.parametrize(("kind", "name"), [("method", "scrublet"), ("method", "truth"), ("task", "doublet")])
def test_a_scaffold_of_a_name_that_is_taken_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    done = bench("new", kind, name, "--out", tmp_path)
    assert done.returncode == 2
    assert f"called {name!r} already" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_installed_plugin_package_is_listed_checked_and_run(tmp_path, cohort_cache):
    site = tmp_path / "site"
    copy = tmp_path / "package"
    copy.mkdir()
    for file in PACKAGE.iterdir():
        (copy / file.name).write_text(file.read_text())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(site), str(copy)], check=True)
    env = {"PYTHONPATH": str(site)}
    methods = json.loads(bench_process("list", "methods", "--json", env=env).stdout)
    assert "depth" in {m["name"] for m in methods}
    checked = bench_process("check", "depth", "--task", "doublet", env=env)
    assert (checked.returncode, "depth: 5 pass" in checked.stdout or "depth: 6 pass" in checked.stdout) == (0, True)
    command = ("run", "--task", "doublet", "--tracks", "experimental", "--methods", "depth", "--no-report", "--json")
    done = bench_process(*command, "--out", tmp_path / "run", env=env)
    assert json.loads(done.stdout)["complete"], done.stderr


def test_option_values():
    assert names("a, b,,c") == ["a", "b", "c"]
    assert (seconds("90"), seconds("1.5m"), seconds("2h")) == (90, 90, 7200)
    assert (megabytes("800mb"), megabytes("8gb"), megabytes(None)) == (800, 8192, None)
    assert assignments(["a.k=1", "a.name=x", "b.flag=true"]) == {"a": {"k": 1, "name": "x"}, "b": {"flag": True}}
    for wrong in ("0", "fast", "3d"):
        with pytest.raises(BenchError, match="--timeout"):
            seconds(wrong)
    with pytest.raises(BenchError, match="--save-every"):
        seconds("soon", "--save-every")
    with pytest.raises(BenchError, match="--set"):
        assignments(["solo=3"])
    assert settings(["d_model=8", "vocabulary=tight"]) == {"d_model": 8, "vocabulary": "tight"}
    with pytest.raises(BenchError, match="SETTING=VALUE"):
        settings(["d_model"])


def test_a_request_that_cannot_be_met_stops_before_anything_is_written(run, tmp_path, counts):
    wrong = {
        ("--slurm-option", "partition"): "NAME=VALUE",
        ("--slurm-option", "partition=short"): "give slurm",
        ("--force", "toyy"): "did you mean 'toy'",
        ("--methods", ","): "--methods",
        ("--out", counts): "a file, not a folder",
        ("--out", counts / "sub"): "a file, not a folder",
        ("--out", "/proc/no-such-place"): "where: /proc/no-such-place",
    }
    for options, told in wrong.items():
        done = run(*options)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_commands_on_runs_refuse_nonsense(run, tmp_path):
    assert run("--methods", "toy").returncode == 0
    folder = tmp_path / "run"
    assert "unknown format" in bench("report", folder, "--figures", "bmp").stderr
    assert "into itself" in bench("merge", folder, "--out", folder).stderr
    audited = bench("audit", "--task", "guess", "--plugin", PLUGIN, "--tracks", "plane")
    assert (audited.returncode, "unknown track" in audited.stderr) == (2, True)


def test_a_reason_is_told_once_with_the_log_of_a_crash(run):
    done = run("--methods", "toy,noisy", "--seeds", "2", "--set", "toy.mode=raise")
    assert done.stdout.count("crash: toy on") == 1
    log = Path(done.stdout.split("log:")[1].split("\n")[0].strip())
    assert "Traceback" in log.read_text()


def test_check_of_a_method_for_no_known_task_does_not_pass(tmp_path):
    plugin = tmp_path / "lost.py"
    plugin.write_text(
        "from bench.method import Method\n\n\nclass Lost(Method):\n"
        '    name = "lost"\n    tasks = ("doublets",)\n    summary = "Its task has a typing error."\n\n'
        "    def run(self, inputs, ctx):\n        return {}\n"
    )
    done = bench("check", "cxds", "--task", "annotation")
    assert (done.returncode, "unknown task of cxds 'annotation'" in done.stderr) == (2, True)
    done = bench("check", "lost", "--plugin", plugin)
    assert (done.returncode, "did you mean 'doublet'" in done.stderr) == (2, True)


def test_sbatch_options():
    assert sbatch_options(["partition=short", "mem-per-cpu=2G"]) == {
        "slurm_partition": "short",
        "slurm_mem_per_cpu": "2G",
    }


def test_data_that_cannot_be_scored_stop_the_request_unless_others_can(run, tmp_path, counts):
    logged = ToySource(n_cells=30).load().adata
    logged.X = logged.X.astype(float).log1p()
    logged.write_h5ad(tmp_path / "logged.h5ad")
    alone = run("--methods", "toy", datasets=tmp_path / "logged.h5ad")
    assert (alone.returncode, "log-transformed" in alone.stderr) == (2, True), alone.stderr
    assert not (tmp_path / "run").exists()
    told = json.loads(run("--methods", "toy", "--json", datasets=f"{tmp_path / 'logged.h5ad'},{counts}").stdout)
    assert told["counts"] == {"ok": 3, "crash": 3}


def test_a_file_that_cannot_be_opened_costs_itself_only(run, tmp_path, counts):
    (tmp_path / "half.h5ad").write_bytes(counts.read_bytes()[:3000])
    alone = run("--methods", "toy", datasets=tmp_path / "half.h5ad")
    assert (alone.returncode, "cannot be read" in alone.stderr) == (2, True), alone.stderr
    assert not (tmp_path / "run").exists()
    three = f"{tmp_path / 'half.h5ad'},{counts},{tmp_path / 'none.h5ad'}"
    done = run("--methods", "toy", datasets=three)
    assert done.returncode == 1
    assert "half.h5ad: the file cannot be read" in done.stdout
    assert "none.h5ad: there is no such file" in done.stdout
    told = json.loads(run("--methods", "toy", "--json", datasets=three).stdout)
    assert (told["counts"], told["complete"]) == ({"ok": 3}, False)
    assert [Path(name).name for name in told["unreadable"]] == ["half.h5ad", "none.h5ad"]
    request = json.loads(next((tmp_path / "run" / "requests").glob("*.json")).read_text())
    assert {s["dataset"] for s in request["skipped"]} == {"half.h5ad", "none.h5ad"}
    typo = run("--methods", "toy", datasets=f"{counts},cohrt")
    assert (typo.returncode, "did you mean 'cohort'" in typo.stderr) == (2, True), typo.stderr


def test_two_files_of_one_name_do_not_share_a_run_folder(run, tmp_path):
    assert run("--methods", "toy").returncode == 0
    (tmp_path / "other").mkdir()
    other = ToySource(n_cells=60).load().adata
    other.write_h5ad(tmp_path / "other" / "counts.h5ad")
    done = run("--methods", "toy", datasets=tmp_path / "other" / "counts.h5ad")
    assert (done.returncode, "other data of the name" in done.stderr) == (2, True)


def test_a_registered_dataset_is_told_what_it_can_be_used_for(tmp_path, counts):
    bare, labelled = ToySource(n_cells=90).load().adata, ToySource(n_cells=90).load().adata
    bare.obs = bare.obs[[]]
    labelled.obs["kind"] = ["a", "b", "c"] * 30
    told = {}
    for name, adata, options in (("bare", bare, ()), ("labelled one", labelled, ("--label-key", "kind"))):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        added = ("data", "add", tmp_path / f"{name}.h5ad", "--name", name, *options)
        done = bench(*added, cwd=tmp_path, env={"BENCH_HOME": str(tmp_path / "home")})
        assert done.returncode == 0, done.stderr
        told[name] = done.stdout
    command = "bench run --task {} --methods all --datasets {}"
    assert command.format("annotation", "'labelled one'") in told["labelled one"]
    assert command.format("doublet", "bare") in told["bare"]
    assert "--task annotation" not in told["bare"]
    assert "not for annotation: no cell_type column" in told["bare"]


def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(run, tmp_path):
    """Here it is hidden; a build of PyTorch for CPUs, or a machine without a driver, is told as well."""
    done = run("--device", "cuda", env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 2
    assert "where: --device cuda" in done.stderr
    assert "is a build for CPUs" in done.stderr or "finds no GPU here" in done.stderr
    assert not (tmp_path / "run").exists()
