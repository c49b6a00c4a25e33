import dataclasses
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import bench
from conftest_core import PLUGIN

from bench.api.watch import Silent
from bench.errors import BenchError, InvalidOutputError, UnknownNameError
from bench.execution.engines import LocalEngine, SlurmEngine, write_spec
from bench.execution.problem_cache import BuiltProblem, DamagedInputsError
from bench.execution.rescore import rescore
from bench.execution.run import run
from bench.plan.grid import RunRequest, make_plan
from bench.problem import Note
from bench.results.records import Limits
from bench.results.store import Store
from bench.sandbox import Sandbox


class Watcher(Silent):
    def __init__(self, plan, todo, finished):
        Watcher.todo = [p.spec.method for p in todo]


@pytest.fixture
def go(registry, limits, tmp_path):
    def _go(
        methods=("toy",),
        *,
        limits=limits,
        registry=registry,
        force=(),
        out=tmp_path / "run",
        watch=Watcher,
        engine=LocalEngine(2),
        **ask,
    ):
        request = RunRequest("guess", methods=methods, **ask)
        return run(registry, request, out, engine, limits, watch, command=["bench", "run"], force=force)

    return _go


def statuses(result):
    return {r.spec.method: r.status for r in result.records}


def test_a_run_scores_methods_and_controls(go):
    result = go(["toy", "noisy", "per-donor", "supervised"])
    assert set(statuses(result).values()) == {"ok"}
    assert result.complete
    by_name = {r.spec.method: r for r in result.records}
    assert by_name["truth"].scores[0].value == 1.0
    assert by_name["truth"].spec.role == "perfect"
    assert by_name["noisy"].resources.fit_s >= 0.05
    assert by_name["toy"].resources.fit_s is None
    assert by_name["toy"].problem_notes == [Note("a note")]
    assert by_name["toy"].n_cells == 20
    assert by_name["supervised"].spec.seeds.method == 0


def test_r_in_the_harness_own_process_is_not_asked(go, monkeypatch):
    """It answers the thread that started it only, and controls run in others."""
    monkeypatch.setitem(sys.modules, "rpy2.robjects", object())
    result = go([])
    assert set(statuses(result).values()) == {"ok"}
    assert not [name for record in result.records for name in record.imported if name.startswith("R")]


def test_predictions_are_kept_with_the_datasets_own_names_and_the_truth_beside_them(go):
    result = go()
    record = next(r for r in result.records if r.spec.method == "toy")
    prediction = pd.read_parquet(result.store.trial_folder(record.key) / "prediction.parquet")
    solutions = list((result.store.root / "problems").glob("*/solution.parquet"))
    assert len(solutions) == 1
    truth = pd.read_parquet(solutions[0])
    assert prediction["cell"].tolist() == truth["cell"].tolist()
    recomputed = float(((prediction["score"] > 0.5) == truth["hot"]).mean())
    assert recomputed == pytest.approx(record.scores[0].value)


def test_every_number_can_be_traced_to_versions_machine_device_problem_and_data(go, registry):
    """Asked for a GPU, a method that computes without one has a row that says so."""
    limits = Limits(timeout_s=30, device="cuda")
    result = go(["toy", "absent"], params={"toy": {"mode": "learn"}}, limits=limits)
    by_name = {r.spec.method: r for r in result.records}
    toy, control = by_name["toy"], by_name["truth"]
    for record in (toy, control):
        for name in ("numpy", "scipy", "pandas"):
            assert record.imported[name] == importlib.metadata.version(name)
        assert record.versions["numpy"] == record.scored_with["numpy"] == importlib.metadata.version("numpy")
        assert record.machine.interpreter.startswith(f"CPython {platform.python_version()}")
        assert record.machine.cpu
        assert record.machine.load >= 0
        assert "openblas" in record.machine.blas or "mkl" in record.machine.blas
        assert record.spec.dataset_digest == registry.datasets["toy-data"].card.digest
        assert (result.store.root / record.problem / "solution.parquet").exists()
        assert len(record.inputs_digest) == 64
    assert toy.imported["scikit-learn"] == importlib.metadata.version("scikit-learn")
    assert ", 1 thread" in toy.machine.blas
    assert (toy.limits.device, toy.resources.device, control.resources.device) == ("cuda", "cpu", "cpu")
    assert by_name["absent"].imported == {}
    for end, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        rows = read(result.store.root / f"results.{end}").set_index("method")
        assert rows.loc["toy", "device"] == "cpu"
        assert pd.isna(rows.loc["absent", "device"])
        assert rows.loc["toy", "problem"] == toy.problem
        assert rows.loc["toy", "blas"] == toy.machine.blas
        assert json.loads(rows.loc["toy", "versions"])["scikit-learn"] == importlib.metadata.version("scikit-learn")
        loaded = read(result.store.root / f"versions.{end}")
        assert dict(loaded.loc[loaded["trial"] == toy.key, ["name", "version"]].to_numpy()) == toy.imported


def test_a_finished_run_is_not_run_again(go, registry):
    go(["toy", "noisy", "absent"])
    loads = registry.datasets["toy-data"].loads
    again = go(["toy", "noisy", "absent"])
    assert again.ran == 0
    assert not again.changed
    assert registry.datasets["toy-data"].loads == loads
    assert len(again.store.requests()) == 1


def test_a_finished_run_that_is_read_only_can_be_shown(go, small_disk, tmp_path):
    first = go(["toy"], out=small_disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    again = go(["toy"], out=small_disk / "run")
    assert (again.ran, again.changed) == (0, False)
    assert again.records == first.records
    assert go(["controls"], out=small_disk / "run").ran == 0  # another request, of which nothing is left to do
    with pytest.raises(BenchError, match="Read-only file system"):
        go(["noisy"], out=small_disk / "run")
    done = bench("report", small_disk / "run")
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert bench("report", small_disk / "run", "--out", tmp_path / "r.html", "--figures", "").returncode == 0
    assert (tmp_path / "r.html").exists()


def test_only_what_is_new_or_forced_runs(go):
    go(["toy"])
    assert go(["toy", "noisy"]).ran == 1
    assert go(["toy", "noisy"], force=["toy"]).ran == 1
    assert Watcher.todo == ["toy"]
    assert go(["toy"], params={"toy": {"mode": "ok", "seconds": 1.0}}).ran == 1


def test_every_failure_is_a_row_and_stops_nothing(go):
    modes = ["exit", "segfault", "nan", "short", "unknown", "raise", "vanish", "negative"]
    seen = {}
    for mode in modes:
        result = go(["toy", "absent"], params={"toy": {"mode": mode}})
        assert not result.complete
        seen[mode] = statuses(result)["toy"]
        assert statuses(result)["absent"] == "unavailable"
        assert statuses(result)["truth"] == "ok"
    assert seen == {
        "exit": "crash",
        "segfault": "crash",
        "nan": "invalid_output",
        "short": "invalid_output",
        "unknown": "invalid_output",
        "raise": "crash",
        "vanish": "invalid_output",
        "negative": "crash",
    }
    table = pd.read_parquet(result.store.root / "results.parquet")
    assert (table["status"] == "crash").sum() == 4
    assert table["detail"].str.contains("could not be scored: ZeroDivisionError").any()
    assert table.loc[table["status"] == "unavailable", "detail"].str.contains("pip install").all()


def test_a_method_that_reports_nonsense_as_progress_stops_nothing(go):
    seen = []

    class Looking(Watcher):
        def tick(self, progress):
            seen.extend(progress(planned)[0] for planned in self.planned)

        def __init__(self, plan, todo, finished):
            self.planned = todo

    assert statuses(go(params={"toy": {"mode": "progress"}}, watch=Looking))["toy"] == "ok"
    assert seen
    assert all(0 <= fraction <= 1 for fraction in seen)


def test_a_method_that_changes_its_input_files_is_told_and_the_others_see_what_they_would_have_seen(go, monkeypatch):
    """Done from outside here: where the system can guard files, and for all users but its root, it is impossible."""
    honest, meddled = Sandbox.run, []

    def meddling(self, job):
        outcome = honest(self, job)
        if job.params.get("mode") == "ok" and not meddled:
            file = Path(job.inputs) / "cells.npz"
            assert file.stat().st_mode & 0o777 == 0o400
            assert file.parent.stat().st_mode & 0o777 == 0o500
            file.chmod(0o600)
            meddled.append(file.write_bytes(b"nothing"))
        return outcome

    monkeypatch.setattr(Sandbox, "run", meddling)
    result = go(["toy", "per-donor", "supervised"], engine=LocalEngine(1))
    assert statuses(result) == {
        **{"toy": "invalid_output", "per-donor": "ok", "supervised": "ok"},
        **{"truth": "ok", "random": "ok"},
    }
    [toy] = [r for r in result.records if r.spec.method == "toy"]
    assert "the method changed its input files" in toy.detail
    assert len({r.inputs_digest for r in result.records}) == 1


def test_where_two_were_at_work_on_changed_inputs_neither_is_blamed(tmp_path):
    (tmp_path / "info.json").write_text("{}")
    built = BuiltProblem(None, tmp_path)
    with built.shown_to("alone"):
        (tmp_path / "info.json").touch()  # another time, the same bytes
    with pytest.raises(DamagedInputsError), built.shown_to("a"), pytest.raises(DamagedInputsError):
        with built.shown_to("b"):
            (tmp_path / "info.json").write_text("[]")
    with pytest.raises(InvalidOutputError, match="changed its input files"), built.shown_to("c"):
        pass


def test_undefined_points_of_a_curve_do_not_make_the_record_unreadable(go):
    result = go()
    assert [len(record.curves[0].x) for record in result.store.records()] == [2] * len(result.records)


def test_a_crash_that_is_not_the_methods_is_tried_again_on_resume(go):
    assert statuses(go(params={"toy": {"mode": "regicide", "seconds": 0.1}}))["toy"] == "crash"
    assert go(params={"toy": {"mode": "regicide", "seconds": 0.1}}).ran == 1
    go(params={"toy": {"mode": "raise"}})
    assert go(params={"toy": {"mode": "raise"}}).ran == 0


def test_an_overlong_log_keeps_its_two_ends(go, monkeypatch):
    monkeypatch.setattr("bench.execution.logs.KEPT_BYTES", 300)
    result = go(params={"toy": {"mode": "environment"}})
    key = next(r.key for r in result.records if r.spec.method == "toy")
    log = (result.store.trial_folder(key) / "log.txt").read_text()
    assert len(log) < 500
    assert "left out by bench" in log
    assert log.endswith("a line for the log\n")


def test_a_dataset_is_loaded_once_however_many_problems_it_serves(go):
    from conftest_core import ToySource, make_registry

    sources = [ToySource("one", 30), ToySource("two", 33), ToySource("three", 36)]
    result = go(["toy"], registry=make_registry(*sources), split_seeds=4)
    assert result.complete
    # once more for the plan, which counts the splits: these sources have no tables apart from their counts
    assert [source.loads for source in sources] == [2, 2, 2]


def test_a_method_may_not_be_called_like_a_control(go, registry, tmp_path):
    from bench.plan.registry import Registry

    file = tmp_path / "clash.py"
    file.write_text(
        "from bench.method import Method\n\n\nclass Clash(Method):\n"
        "    name, tasks, summary = 'random', ('guess',), 's'\n\n    def run(self, inputs, ctx):\n        return {}\n"
    )
    with pytest.raises(BenchError, match="cannot be the name of a method"):
        make_plan(Registry([PLUGIN, file]), RunRequest("guess"))


def test_a_higher_limit_runs_a_timeout_again(go):
    slow = {"toy": {"mode": "sleep", "seconds": 1.5}}
    assert statuses(go(params=slow, limits=Limits(timeout_s=0.3)))["toy"] == "timeout"
    assert go(params=slow, limits=Limits(timeout_s=0.3)).ran == 0
    assert statuses(go(params=slow, limits=Limits(timeout_s=30)))["toy"] == "ok"


@pytest.mark.parametrize(("track", "status"), [("refused", "not_applicable"), ("broken", "crash")])
def test_a_task_that_cannot_build_its_problem_gives_rows_too(go, track, status):
    result = go(tracks=[track])
    assert set(statuses(result).values()) == {status}
    assert result.complete is (status == "not_applicable")


def test_a_supervised_method_without_training_donors_is_not_applicable(go):
    from conftest_core import ToySource, make_registry

    result = go(["supervised", "toy"], registry=make_registry(ToySource(n_donors=1)))
    assert statuses(result)["supervised"] == "not_applicable"
    assert statuses(result)["toy"] == "ok"


def test_pairs_that_cannot_be_are_skipped_with_the_reason_or_refused_if_nothing_is_left(go):
    result = go(tracks=["plain", "never"])
    assert [(s.track, s.reason) for s in result.plan.skipped] == [("never", "this track is for nobody")]
    with pytest.raises(BenchError, match="none of the datasets"):
        go(tracks=["never"])


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ({"task": "gues"}, "did you mean 'guess'"),
        ({"task": "guess", "tracks": ["plane"]}, "did you mean 'plain'"),
        ({"task": "guess", "methods": ["toi"]}, "did you mean 'toy'"),
        ({"task": "guess", "methods": ["cxds"]}, "does not answer task"),
        ({"task": "guess", "datasets": ["toy-dat"]}, "did you mean 'toy-data'"),
        ({"task": "guess", "preset": "fast"}, "unknown preset"),
        ({"task": "guess", "params": {"toy": {"mod": 1}}}, "did you mean 'mode'"),
        ({"task": "guess", "methods": ["toy"], "params": {"noisy": {}}}, "unknown method"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_runs(registry, ask, told):
    with pytest.raises((UnknownNameError, BenchError), match=told):
        make_plan(registry, RunRequest(**ask))


def test_a_file_parameter_enters_the_key_by_its_bytes_and_is_named_without_its_place(go, tmp_path):
    weights = tmp_path / "weights.txt"
    params = {"loaded": {"weights": str(weights)}}
    weights.write_text("1")
    [first] = [r for r in go(["loaded"], params=params).records if r.spec.method == "loaded"]
    weights.write_text("2 toy-data")
    [second] = [r for r in go(["loaded"], params=params).records if r.spec.method == "loaded"]
    assert first.status == second.status == "ok"
    assert first.key != second.key
    assert str(tmp_path) not in str(second.spec.params)
    assert "weights.txt" in second.spec.params["weights"]
    assert first.notes == [Note("weights of 1")]
    assert second.notes[1:] == [Note("weights of 2")]
    assert "trained on this dataset" in second.notes[0].text
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    assert set(table.loc[table["trial"] == second.key, "notes"]) == {"; ".join(map(str, second.notes))}
    weights.write_text("3 toy-data:none,of,these")
    [third] = [r for r in go(["loaded"], params=params).records if r.spec.method == "loaded"]
    assert "other donors" in third.notes[0].text
    weights.unlink()
    with pytest.raises(BenchError, match="no such file"):
        go(["loaded"], params=params)


def test_seed_axes_multiply_and_deterministic_methods_run_once(registry):
    plan = make_plan(
        registry, RunRequest("guess", methods=["toy", "noisy"], split_seeds=2, simulation_seeds=3, method_seeds=5)
    )
    count = {m: sum(p.spec.method == m for p in plan.trials) for m in ("toy", "noisy", "truth", "random")}
    assert count == {"toy": 6, "noisy": 30, "truth": 6, "random": 30}
    assert len({p.key for p in plan.trials}) == len(plan.trials)


def test_split_seeds_that_would_repeat_a_split_are_not_run_and_that_is_said(registry, monkeypatch):
    task = registry.task("guess")
    monkeypatch.setattr(type(task), "n_splits", lambda self, cells, track, at_most: min(2, at_most))
    plan = make_plan(registry, RunRequest("guess", methods=["toy"], split_seeds=5))
    assert {p.spec.seeds.split for p in plan.trials} == {0, 1}
    [said] = plan.skipped
    assert said.reason == "it has 2 different splits: split seeds 2 to 4 would repeat one"
    assert not make_plan(registry, RunRequest("guess", methods=["toy"], split_seeds=2)).skipped


def test_only_several_split_seeds_make_a_plan_read_the_data(registry):
    [source] = registry.datasets.values()
    make_plan(registry, RunRequest("guess", methods=["toy"], method_seeds=3))
    assert source.loads == 0


def test_a_track_without_simulation_runs_one_simulation_seed(registry, monkeypatch):
    task = registry.task("guess")
    tracks = {name: dataclasses.replace(track, seeded=False) for name, track in task.tracks.items()}
    monkeypatch.setattr(type(task), "tracks", tracks)
    plan = make_plan(registry, RunRequest("guess", methods=["toy"], simulation_seeds=3))
    assert [p.spec.seeds.simulation for p in plan.trials if p.spec.method == "toy"] == [0]


def test_seeds_differ_and_repeat(go, tmp_path):
    a = go(["noisy"], method_seeds=2)
    b = go(["noisy"], method_seeds=2, out=tmp_path / "again")

    def scores(result):
        found = {}
        for r in result.records:
            if r.spec.method == "noisy":
                file = result.store.trial_folder(r.key) / "prediction.parquet"
                found[r.spec.seeds.method] = pd.read_parquet(file)["score"].to_numpy()
        return found

    first, second = scores(a), scores(b)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def test_rescore_uses_the_kept_predictions(go, registry, monkeypatch):
    from bench.problem import Score, Scored

    result = go(["toy"])
    cls = type(registry.task("guess"))
    monkeypatch.setattr(cls, "score", lambda self, problem, prediction: Scored([Score("accuracy", 0.123)]))
    assert rescore(registry, result.store, lambda record: None) == len(result.records)
    assert {r.scores[0].value for r in result.store.records()} == {0.123}
    other = dataclasses.replace(registry.datasets["toy-data"].card, digest="another")
    with monkeypatch.context() as patch:
        patch.setattr(type(registry.datasets["toy-data"]), "card", other)
        with pytest.raises(BenchError, match="is not the one"):
            rescore(registry, result.store, lambda record: None)
    monkeypatch.setattr(cls, "version", "2")
    with pytest.raises(BenchError, match="run again"):
        rescore(registry, result.store, lambda record: None)


def test_the_slurm_engine_runs_trials_as_commands(tmp_path, monkeypatch, limits):
    """Through submitit's local executor: the same specification file and command, without a cluster."""
    from bench.plan.registry import Registry

    pytest.importorskip("submitit")
    file = tmp_path / "counts.h5ad"
    _write_h5ad(file)
    registry = Registry([PLUGIN])
    ask = RunRequest("guess", methods=["toy", "noisy"], datasets=[str(file)], params={"toy": {"mode": "raise"}})
    engine = SlurmEngine({}, [PLUGIN], [str(file)], cluster="local")
    result = run(registry, ask, tmp_path / "run", engine, limits, Watcher, command=["bench"])
    assert statuses(result) == {"toy": "crash", "noisy": "ok", "truth": "ok", "random": "ok"}


def test_a_specification_file_is_all_an_engine_needs(registry, limits, tmp_path):
    plan = make_plan(registry, RunRequest("guess", methods=["toy"]))
    store = Store.create(tmp_path / "run")
    file = write_spec(tmp_path, store, plan.trials[0], limits, [PLUGIN])
    assert file.name == f"{plan.trials[0].key}.json"


def _write_h5ad(file):
    from conftest_core import ToySource

    adata = ToySource().load().adata
    adata.var["symbol"] = adata.var_names
    adata.write_h5ad(file)
