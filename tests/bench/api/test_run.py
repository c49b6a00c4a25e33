"""`bench.run` and `bench.load`: what Python can ask for, and what it gets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import bench as command
from conftest_core import PLUGIN, ToySource

import bench
from bench.api.result import SCORE_COLUMNS
from bench.api.watch import SILENT
from bench.errors import BenchError, DataError, UnknownNameError
from bench.results.tables import ROW_COLUMNS


@pytest.fixture
def cells(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    return ToySource(n_cells=90).load().adata


@pytest.fixture
def run(tmp_path, cells):
    def _run(methods=("toy",), datasets=None, **kwargs):
        known = {"out": tmp_path / "run", "plugins": [PLUGIN], "display": SILENT}
        return bench.run("guess", methods, cells if datasets is None else datasets, **{**known, **kwargs})

    return _run


def test_importing_costs_nothing_and_offers_what_it_says():
    code = "import sys, bench; print(sorted(m for m in sys.modules if m in ('numpy', 'pandas', 'pydantic', 'inspect')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {"run", "load", "as_dataset", "metrics", "Method", "Run"} <= set(dir(bench))
    for name in bench.__all__:
        assert getattr(bench, name).__doc__
        assert name in Path(bench.__file__).with_suffix(".pyi").read_text()
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        bench.runn  # noqa: B018


def test_scores_are_tidy_and_those_of_the_table_on_disk(run, tmp_path):
    done = run(["toy", "noisy"], seeds=2)
    scores = done.scores
    assert list(scores) == SCORE_COLUMNS
    assert set(SCORE_COLUMNS) <= set(ROW_COLUMNS)
    assert set(scores["method"]) == {"toy", "noisy", "truth", "random"}
    assert scores.loc[scores["method"] == "truth", "value"].tolist() == [1.0]
    on_disk = pd.read_parquet(tmp_path / "run" / "results.parquet")[SCORE_COLUMNS]
    order = ["method", "method_seed", "metric"]
    pd.testing.assert_frame_equal(*(t.sort_values(order, ignore_index=True) for t in (scores, on_disk)))
    assert len(done.trials) == len(done.records) == 6
    assert done.failures.empty
    scores["value"] = 0.0  # a copy
    assert done.scores["value"].max() == 1.0


def test_a_folder_that_is_loaded_gives_the_same_and_only_the_newest(run, tmp_path):
    done = run()
    loaded = bench.load(tmp_path / "run")
    for table in ("scores", "trials", "failures"):
        one, other = (getattr(r, table).sort_values("trial", ignore_index=True) for r in (done, loaded))
        pd.testing.assert_frame_equal(one, other)
    assert str(done.headline()) == str(loaded.headline())
    assert loaded.result is None
    with pytest.raises(BenchError, match="not a run folder"):
        bench.load(tmp_path)


def test_predictions_are_by_cell_and_chosen_by_name(run, cells):
    done = run(["toy", "noisy"], seeds=2)
    answers = done.predictions("toy")
    assert {"dataset", "track", "split_seed", "sim_seed", "method_seed", "trial", "cell", "score"} == set(answers)
    tested = cells[answers["cell"].to_list()]
    assert set(tested.obs["donor"]) == {"d0"}
    np.testing.assert_allclose(answers["score"], np.asarray(tested.X.sum(axis=1)).ravel())
    assert set(done.predictions("noisy")["method_seed"]) == {0, 1}
    assert set(done.predictions("noisy", method_seed=1, track="plain")["method_seed"]) == {1}
    with pytest.raises(UnknownNameError, match="did you mean 'noisy'"):
        done.predictions("nosy")
    with pytest.raises(UnknownNameError, match="unknown track of this run 'plane'"):
        done.predictions("toy", track="plane")
    with pytest.raises(UnknownNameError, match="unknown seed 'seed'"):
        done.predictions("toy", seed=1)
    with pytest.raises(BenchError, match=r"no prediction[\s\S]*no such trial"):
        done.predictions("toy", method_seed=7)
    with pytest.raises(BenchError, match="0 matrices of expression"):
        done.expression("toy")


def test_a_failure_raises_nothing_and_is_told(run):
    done = run(["toy", "absent"], params={"toy": {"mode": "raise"}})
    assert list(done.failures["method"]) == ["toy"]
    assert done.failures["status"].tolist() == ["crash"]
    assert "a line" in Path(done.failures["log"][0]).read_text() or done.failures["detail"][0]
    assert done.scores.loc[done.scores["method"] == "toy", "value"].isna().all()
    assert "1 crash" in repr(done)
    with pytest.raises(BenchError, match=r"no prediction[\s\S]*crash"):
        done.predictions("toy")


def test_a_notebook_shows_the_headline_and_the_report(run, tmp_path):
    done = run(["toy"])
    shown = done._repr_html_()
    assert ">accuracy: Share of right calls. (higher is better)" in shown
    assert shown.index("toy") < shown.index("truth (perfect control)")
    assert "3 trials: 3 ok" in shown
    report = done.report()
    assert report.path == tmp_path / "run" / "report.html"
    assert os.fspath(report) == str(report.path)
    frame = report._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!')
    assert frame.count('"') == 6 + frame.count('<p><code>"')
    written = report.path.stat().st_mtime_ns
    assert done.report().path.stat().st_mtime_ns == written
    assert done.report(tmp_path / "other.html").path.exists()
    run(["noisy"])
    assert bench.load(tmp_path / "run").report().path.stat().st_mtime_ns > written


def test_the_same_cells_are_the_same_trials_and_others_are_not(run, cells, tmp_path):
    assert run().result.ran == 3
    again = cells.copy()
    again.X = again.X.toarray()
    again.obs["a column of mine"] = 1
    assert run(datasets=[again]).result.ran == 0
    again.X[0, 0] += 1
    assert run(datasets=[again]).result.ran == 3
    named = bench.as_dataset(cells, "mine")
    assert run(datasets=[named]).result.ran == 3
    with pytest.raises(BenchError, match="this run folder holds results on other data of the name 'mine'"):
        run(datasets=[bench.as_dataset(again, "mine")])
    with pytest.raises(BenchError, match=r"another dataset is called 'mine'[\s\S]*as_dataset"):
        run(datasets=[named, bench.as_dataset(again, "mine")])


def test_cells_that_fail_a_check_are_refused_as_by_the_command_line(run, cells, tmp_path):
    cells.X.data[:] = np.log1p(cells.X.data / 3)
    cells.write_h5ad(tmp_path / "mine.h5ad")
    told = command("run", "--task", "guess", "--plugin", PLUGIN, "--datasets", tmp_path / "mine.h5ad", cwd=tmp_path)
    assert told.returncode == 2
    with pytest.raises(DataError) as error:
        run()
    assert error.value.what in told.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_may_have_columns_of_other_names(run, cells, tmp_path):
    cells.obs = cells.obs.rename(columns={"donor": "patient"})
    cells.write_h5ad(tmp_path / "mine.h5ad")
    done = run(datasets=[bench.as_dataset(tmp_path / "mine.h5ad", "study", donor_key="patient")])
    assert set(done.scores["dataset"]) == {"study"}
    assert set(done.trials["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": []}, "no method is named"),
        ({"datasets": []}, "no dataset is named"),
        ({"tracks": []}, "no track is named"),
        ({"methods": "toi"}, "did you mean 'toy'"),
        ({"methods": [42]}, "42 is no method"),
        ({"methods": [ToySource]}, "is no method"),
        ({"datasets": [42]}, "a int is no dataset"),
        ({"datasets": "cohrt"}, "did you mean 'cohort'"),
        ({"tracks": "plane"}, "did you mean 'plain'"),
        ({"params": {"toy": {"mod": 1}}}, "did you mean 'mode'"),
        ({"params": {"toi": {}}}, "did you mean 'toy'"),
        ({"force": ["toi"]}, "did you mean 'toy'"),
        ({"seeds": 0}, "0 is no number of seeds"),
        ({"seeds": 1.5}, "1.5 is no number of seeds"),
        ({"timeout_s": 0}, "0 is no timeout"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"engine": "cloud"}, "unknown engine 'cloud'"),
        ({"engine": "slurm"}, "SLURM's jobs cannot see cells that are in memory"),
        ({"plugins": ["absent.py"]}, "plugin file not found"),
        ({"out": PLUGIN}, "this is a file, not a folder"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_written(run, tmp_path, arguments, message):
    with pytest.raises(BenchError, match=message):
        run(**arguments)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UnknownNameError, match="did you mean 'guess'"):
        bench.run("gues", plugins=[PLUGIN])


def test_the_folder_keeps_the_call_as_a_command(run, tmp_path):
    run(["toy"], tracks="plain", params={"toy": {"seconds": 1.0}})
    [request] = (tmp_path / "run" / "requests").glob("*.json")
    kept = json.loads(request.read_text())["command"]
    assert kept[:2] == ["python", "-c"]
    assert kept[2].startswith(
        'import bench; bench.run(task="guess", methods=["toy"], datasets=<AnnData>, tracks="plain"'
    )
    assert "seeds" not in kept[2]
    assert "display" not in kept[2]


def test_lines_tell_what_ends(cells, tmp_path, capsys):
    bench.run("guess", ["toy"], cells, params={"toy": {"mode": "nan"}}, plugins=[PLUGIN], out=tmp_path / "run")
    told = capsys.readouterr().err
    assert "ok: truth on adata-" in told
    assert "invalid_output: toy on adata-" in told
    assert "[3/3, " in told
