"""Predicted expression: hidden in rounds or shown whole, checked where it is made, kept, lent and scored again."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from conftest_core import ToySource
from expression_plugin import N_ROUNDS, hide
from scipy import sparse

from bench.blocks import Rows
from bench.develop.leakage_audit import audit_one
from bench.errors import BenchError, InvalidOutputError
from bench.exchange import gate, matrices
from bench.execution.rescore import rescore
from bench.execution.trial import TrialRunner
from bench.method import Context
from bench.normalise import log1p_cp10k
from bench.plan.grid import RunRequest, make_plan
from bench.plan.registry import Registry
from bench.problem import Cells, Inputs, Note, Rounds
from bench.results.store import Store
from bench.task import Seeds

PLUGIN = Path(__file__).parents[1] / "expression_plugin.py"
TRUTH = log1p_cp10k(ToySource().load().adata.X).toarray()


@pytest.fixture
def registry():
    return Registry([PLUGIN], [ToySource()])


def run(registry, store, limits, tracks, mode="ok"):
    plan = make_plan(registry, RunRequest("fill", tracks, ["filler"], params={"filler": {"mode": mode}}))
    with TrialRunner(registry, store, limits) as runner:
        return {(t.spec.track, t.spec.method): runner.execute(t) for t in plan.trials}


def mse(record):
    assert record.status == "ok", record.detail + record.log_tail
    return record.scores[0].value


def test_rounds_hide_what_they_ask_for_and_one_method_answers_them_all(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    records = run(registry, store, limits, ["masked"])
    filled = records["masked", "filler"]
    X = ToySource().load().adata.X
    expected = []
    for k in range(N_ROUNDS):
        rows, columns = hide(X, k)[1].nonzero()
        expected.append(np.square(k + 1 - TRUTH[rows, columns]))
    assert mse(filled) == pytest.approx(np.mean(np.concatenate(expected)), rel=1e-6)
    assert filled.scores[0].n == X.nnz
    assert filled.notes == [Note("fitted once")]
    assert mse(records["masked", "truth"]) == 0
    kept = matrices.load(store.trial_folder(filled.key) / "expression.npz")
    assert (kept.indptr == X.indptr).all()
    assert (kept.indices == X.indices).all()
    np.testing.assert_array_equal(kept.data[:3], [1, 2, 3])
    with np.load(store.trial_folder(filled.key) / "expression.npz", allow_pickle=False) as stored:
        assert list(stored["cell"]) == [f"c{i}" for i in range(60)]
        assert list(stored["gene"][:2]) == ["g0", "g1"]
    assert len(store.scored_table(filled.key, "errors")) == X.nnz
    assert store.scored_table(filled.key, "nothing") is None
    truth = matrices.load(store.root / "problems" / filled.spec.problem / "truth_expression.npz")
    np.testing.assert_array_equal(truth.toarray(), TRUTH)


def test_a_whole_matrix_returns_in_the_order_of_the_dataset_and_is_read_by_blocks(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    records = run(registry, store, limits, ["whole"])
    assert mse(records["whole", "filler"]) == 0
    assert mse(records["whole", "truth"]) == 0
    assert mse(records["whole", "zero"]) == pytest.approx(np.mean(TRUTH**2))
    kept = matrices.load_dense(store.trial_folder(records["whole", "filler"].key) / "expression.zarr")
    np.testing.assert_array_equal(kept[np.array([5, 3, 5])], TRUTH[[5, 3, 5]].astype(np.float32))


def test_what_one_track_has_made_serves_another_that_shows_the_same(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    first = run(registry, store, limits, ["whole"])["whole", "filler"]
    again = run(registry, store, limits, ["again"])["again", "filler"]
    assert mse(again) == 0
    assert again.resources == first.resources
    assert again.notes[0] == Note("fitted once")
    assert again.notes[1].level == "reused"
    assert f"those of trial {first.key} (fill/whole)" in again.notes[1].text
    chunk = "expression.zarr/X/0.0"
    one, other = (store.trial_folder(r.key) / chunk for r in (first, again))
    assert one.stat().st_ino == other.stat().st_ino
    third = run(registry, store, limits, ["again"], mode="negative")["again", "filler"]
    assert not any(note.level == "reused" for note in third.notes)


def test_a_prediction_that_cannot_be_read_serves_nobody(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    first = run(registry, store, limits, ["whole"])["whole", "filler"]
    (store.trial_folder(first.key) / "prediction.parquet").write_text("damaged")
    again = run(registry, store, limits, ["again"])["again", "filler"]
    assert mse(again) == 0
    assert not any(note.level == "reused" for note in again.notes)


def test_rescoring_needs_no_method(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    records = run(registry, store, limits, ["masked", "whole"])
    for record in records.values():
        (store.trial_folder(record.key) / "scored_errors.parquet").unlink()
    assert rescore(registry, store, lambda record: None) == len(records)
    for record in records.values():
        assert store.record(record.key).scores == record.scores
        assert store.scored_table(record.key, "errors") is not None
    for kept in store.trial_folder(next(iter(records.values())).key).glob("expression.*"):
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    with pytest.raises(BenchError, match="cannot be read: .* no file of output 'expression'"):
        rescore(registry, store, lambda record: None)


@pytest.mark.parametrize("track", ["masked", "whole"])
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("counts", "these are counts"),
        ("unlogged", "not on the scale"),
        ("shuffled", "not in the order of the cells"),
        ("others", "1 of 20 genes are missing, such as 'g19'"),
        ("nan", "1 values of 'expression' are NaN"),
        ("inf", "1 values of 'expression' are NaN or infinite"),
        ("transposed", r"shape (20, 60), expected (60, 20)"),
    ],
)
def test_bad_expression_is_refused_with_the_reason(registry, limits, tmp_path, track, mode, told):
    record = run(registry, Store.create(tmp_path / "run"), limits, [track], mode)[track, "filler"]
    assert record.status == "invalid_output"
    assert told in record.detail


def test_a_data_frame_is_aligned_by_the_names_of_its_cells_and_genes(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    records = run(registry, store, limits, ["masked", "whole"], "frame")
    assert mse(records["whole", "filler"]) == 0
    plain = run(registry, store, limits, ["masked"])["masked", "filler"]
    assert mse(records["masked", "filler"]) == mse(plain)


def test_negative_values_count_as_zero_and_the_row_says_so(registry, limits, tmp_path):
    store = Store.create(tmp_path / "run")
    record = run(registry, store, limits, ["whole"], "negative")["whole", "filler"]
    assert list(map(str, record.notes)) == ["fitted once", "1 of 1,200 values were negative and count as 0"]
    kept = matrices.load_dense(store.trial_folder(record.key) / "expression.zarr")
    assert kept[:].min() == 0


def test_the_audit_compares_each_round_with_its_own_truth_scrambled(registry):
    dataset, task = registry.load("toy-data"), registry.task("fill")
    assert audit_one(task, dataset, "masked", Seeds()).status == "pass"
    leak = audit_one(task, dataset, "leaky", Seeds())
    assert leak.status == "leak"
    assert "info.json" in leak.detail
    assert "(masking round 1)" in leak.detail


def test_rounds_are_built_when_asked_for():
    built = []
    rounds = Rounds(4, lambda k: built.append(k) or k)
    assert built == []
    assert rounds[-1] == 3
    assert rounds[1:3] == [1, 2]
    assert built == [3, 1, 2]
    with pytest.raises(IndexError):
        rounds[4]


def smooth(n=400, genes=60, kinds=4, seed=0):
    """Counts of a few kinds of cells, and each cell's expected counts."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(0.5, 2.0, (kinds, genes))
    kind = rng.integers(kinds, size=n)
    expected = means[kind] * rng.gamma(5, 0.2, (n, 1))
    return sparse.csr_matrix(rng.poisson(expected).astype(np.float32)), expected, kind


def inputs_of(X):
    obs = pd.DataFrame(index=[f"c{i}" for i in range(X.shape[0])])
    return Inputs(Cells(X, obs, pd.DataFrame(index=[f"g{i}" for i in range(X.shape[1])])))


@pytest.mark.parametrize("seed", range(5))
def test_means_and_smooth_answers_are_not_taken_for_another_order(seed):
    X, expected, kind = smooth(seed=seed)
    logged = log1p_cp10k(X).toarray()
    by_kind = np.array([logged[kind == k].mean(axis=0) for k in range(kind.max() + 1)])
    depth = expected.sum(axis=1, keepdims=True)
    answers = {
        "mean": np.tile(logged.mean(axis=0), (len(logged), 1)),
        "kind": by_kind[kind],
        "expected": np.log1p(expected / depth * 1e4),
        "zeros": np.zeros_like(logged),
        "noisy": np.maximum(logged + np.random.default_rng(seed).normal(0, 0.5, logged.shape), 0),
    }
    for name, answer in answers.items():
        assert gate.check_expression(answer, inputs_of(X), name) == 0
    shuffled = logged[np.random.default_rng(seed).permutation(len(logged))]
    with pytest.raises(InvalidOutputError, match="order"):
        gate.check_expression(shuffled, inputs_of(X), "shuffled")


def test_what_is_written_to_a_mapped_file_leaves_memory_and_stays(tmp_path):
    ctx = Context(seed=0, scratch=tmp_path)
    out, me = ctx.empty((400, 50_000)), psutil.Process()
    for start in range(0, 400, 100):
        out[start : start + 100] = start
        ctx.written(out)
    before = me.memory_info().rss
    assert out[::100].mean(axis=1).tolist() == [0, 100, 200, 300]
    assert sum(block.shape[0] for _, block in Rows(out).blocks()) == 400
    total = out.sum(dtype=np.float64)  # all 80 MB are read
    assert me.memory_info().rss - before > 60e6
    ctx.written(out)
    assert me.memory_info().rss - before < 20e6
    assert total == 50_000 * 100 * 600


def test_rows_read_any_holder_alike(tmp_path):
    X = np.random.default_rng(0).poisson(1, (30, 7)).astype(np.float32)
    order = np.random.default_rng(1).permutation(30)
    matrices.save_dense(tmp_path / "x.zarr", X, [f"c{i}" for i in range(30)], "abcdefg")
    for source in (X, sparse.csr_matrix(X), matrices.load_dense(tmp_path / "x.zarr")):
        for rows in (slice(3, 9), np.array([4, 2, 2]), slice(0, 30)):
            np.testing.assert_array_equal(Rows(source)[rows], X[rows])
            np.testing.assert_array_equal(Rows(source, order)[rows], X[order][rows])
