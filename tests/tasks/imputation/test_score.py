from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error

from bench.dataset import Dataset
from bench.problem import Problem, Scored
from bench.task import Seeds
from bench.tasks._shared.zeros import correlation_inflation, markers_of_others
from bench.tasks.imputation import ImputationTask
from bench.tasks.imputation.metrics import MIN_ENTRIES

TASK = ImputationTask()


@pytest.fixture(scope="module")
def hidden(deep_dataset: Callable[..., Dataset]) -> Problem:
    return TASK.make_problem(deep_dataset({"a": 60, "b": 70, "c": 65, "d": 50, "e": 60, "f": 30}), "nonzero", Seeds())


@pytest.fixture(scope="module")
def thinned(deep_dataset: Callable[..., Dataset]) -> Problem:
    return TASK.make_problem(deep_dataset({"a": 160, "b": 170, "c": 180}), "dropout", Seeds())


def noisy(matrix: sparse.csr_matrix, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    values = np.maximum(0.7 * matrix.data + rng.normal(0, 0.6, matrix.nnz), 0).astype(np.float32)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def values(scored: Scored, unit: str = "pooled") -> dict[str, float]:
    return {s.metric: s.value for s in scored.scores if s.unit == unit}


def test_every_number_against_scipy_and_scikit_learn(hidden: Problem) -> None:
    truth = hidden.truth["expression"]
    answer = noisy(truth)
    scored = TASK.score(hidden, {"expression": answer})
    t, y = truth.data.astype(float), answer.data.astype(float)
    cell = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    group = np.concatenate([np.arange(n) % 5 for n in np.diff(truth.indptr)])
    found = []
    for unit, chosen in {"pooled": group >= 0, **{f"group:{k + 1}": group == k for k in range(5)}}.items():
        mine = values(scored, unit)
        assert mine["mse"] == pytest.approx(mean_squared_error(t[chosen], y[chosen]))
        assert mine["pearson"] == pytest.approx(stats.pearsonr(t[chosen], y[chosen]).statistic)
        line = LinearRegression().fit(t[chosen, None], y[chosen])
        assert mine["slope"] == pytest.approx(line.coef_[0])
        each = [
            stats.pearsonr(t[here], y[here]).statistic
            for i in range(truth.shape[0])
            if (here := chosen & (cell == i)).sum() > 1 and np.ptp(t[here]) > 0
        ]
        assert mine["pearson_cell"] == pytest.approx(np.mean(each))
        found.append(mine)
    for metric in ("mse", "pearson", "slope"):
        assert values(scored, "group_mean")[metric] == pytest.approx(np.mean([f[metric] for f in found[1:]]))
    by_gene = [
        stats.pearsonr(t[here], y[here]).statistic
        for g in range(truth.shape[1])
        if (here := truth.indices == g).sum() >= MIN_ENTRIES and np.ptp(t[here]) > 0
    ]
    assert values(scored)["pearson_gene"] == pytest.approx(np.mean(by_gene))


def test_tables_against_numpy(hidden: Problem) -> None:
    truth = hidden.truth["expression"]
    answer = noisy(truth)
    tables = TASK.score(hidden, {"expression": answer}).tables
    group = np.concatenate([np.arange(n) % 5 for n in np.diff(truth.indptr)])
    for k, name in enumerate("12345"):
        t, y = truth.data[group == k].astype(float), answer.data[group == k].astype(float)
        joint = tables["joint"][tables["joint"]["group"] == name]
        edges = np.round(np.arange(0, 10.05, 0.1), 1)
        counts, _, _ = np.histogram2d(t, y, bins=[edges, edges])
        x, z = (np.rint(joint[c] * 10).astype(int) for c in ("x_low", "y_low"))
        np.testing.assert_array_equal(counts[x, z], joint["n"])
        assert joint["n"].sum() == len(t)
        np.testing.assert_allclose(joint["x_high"] - joint["x_low"], 0.1)
        levels = tables["expression_bins"][tables["expression_bins"]["group"] == name]
        mean, _, _ = stats.binned_statistic(t, (t - y) ** 2, bins=np.append(levels["low"], levels["high"].iloc[-1]))
        np.testing.assert_allclose(mean, levels["mse"])
        assert levels["n"].sum() == len(t)
        assert levels["mean_true"].between(levels["low"], levels["high"]).all()
    groups = tables["groups"].set_index("group")
    assert groups.loc["3", "mse"] == pytest.approx(mean_squared_error(truth.data[group == 2], answer.data[group == 2]))


def test_intervals_hold_the_value_and_are_the_same_for_all_methods(hidden: Problem) -> None:
    scored = TASK.score(hidden, {"expression": noisy(hidden.truth["expression"])})
    (mse,) = (s for s in scored.scores if (s.metric, s.unit) == ("mse", "pooled"))
    assert mse.ci_low is not None
    assert mse.ci_high is not None
    assert mse.ci_low < mse.value < mse.ci_high
    assert mse.detail == f"interval rests on {hidden.solution['donor'].nunique()} donors"
    assert TASK.score(hidden, {"expression": noisy(hidden.truth["expression"])}).scores == scored.scores


def test_controls_on_hidden_counts(hidden: Problem) -> None:
    """Means recomputed cell by cell from what each round shows."""
    rng = np.random.default_rng(0)
    answer = {c.name: c.predict(hidden, rng)["expression"] for c in TASK.controls}
    assert (answer["truth"] != hidden.truth["expression"]).nnz == 0
    assert answer["identity"].nnz == hidden.truth["expression"].nnz
    assert not answer["identity"].data.any()
    labels = hidden.solution["cell_type"].to_numpy()
    for k in (0, 3):
        masked = hidden.rounds[k]
        assert masked.train is not None
        assert masked.query is not None
        shown, train = (_log(X.toarray()) for X in (masked.cells.X, masked.train.X))
        both = np.concatenate([shown, train])
        row, column = masked.query.nonzero()
        pick = {name: np.asarray(matrix[row, column]).ravel() for name, matrix in answer.items()}
        np.testing.assert_allclose(pick["gene_mean"], both.mean(axis=0)[column], rtol=1e-4)
        detected = np.array([np.mean(v[v > 0]) if (v > 0).any() else 0 for v in both.T])
        np.testing.assert_allclose(pick["gene_mean_detected"], detected[column], rtol=1e-4)
        of_type = {name: shown[labels == name].mean(axis=0) for name in set(labels)}
        expected = [of_type[labels[i]][g] for i, g in zip(row, column, strict=True)]
        np.testing.assert_allclose(pick["cell_type_mean"], expected, rtol=1e-4)
        for i, value in zip(row[::97], pick["random"][::97], strict=True):
            assert np.isclose(shown[i], value, rtol=1e-5).any()
            assert value > 0
    scores = {name: values(TASK.score(hidden, {"expression": a})) for name, a in answer.items()}
    assert scores["truth"]["mse"] == 0
    assert scores["truth"]["pearson"] == pytest.approx(1)
    assert math.isnan(scores["identity"]["pearson"])
    assert scores["identity"]["pearson_cell"] == 0
    # Means may be worse than "random": where cells detect the same genes, a round hides a gene in all of them.
    assert max(scores[name]["mse"] for name in scores) == scores["identity"]["mse"]


def _log(dense: np.ndarray) -> np.ndarray:
    return np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4)


def test_whole_cells_are_scored_by_what_was_shown(thinned: Problem) -> None:
    truth, shown = thinned.truth["expression"].toarray().astype(float), thinned.inputs.cells.X.toarray()
    y = np.maximum(truth + np.random.default_rng(1).normal(0, 0.5, truth.shape), 0).astype(np.float32)
    scored = TASK.score(thinned, {"expression": y})
    parts = {"kept": shown > 0, "dropped": (shown == 0) & (truth > 0), "zero": (shown == 0) & (truth == 0)}
    for name, chosen in {"pooled": shown >= 0, **parts}.items():
        mine = values(scored, name if name == "pooled" else f"group:{name}")
        assert mine["mse"] == pytest.approx(mean_squared_error(truth[chosen], y[chosen]))
        if name != "zero":
            assert mine["pearson"] == pytest.approx(stats.pearsonr(truth[chosen], y[chosen].astype(float)).statistic)
    undefined = next(s for s in scored.scores if (s.metric, s.unit) == ("slope", "group:zero"))
    assert math.isnan(undefined.value)
    assert undefined.detail == "the true values are all the same"


def test_zeros_of_other_types_markers_that_get_expression(thinned: Problem) -> None:
    truth, shown = thinned.truth["expression"].toarray(), thinned.inputs.cells.X.toarray()
    kind = thinned.solution["cell_type"].to_numpy()
    of_others = {"neuron": np.arange(70, 80), "glia": np.arange(80, 90)}
    found = markers_of_others(thinned.truth["expression"], thinned.solution["cell_type"])
    for name, genes in of_others.items():
        assert set(genes) <= set(np.flatnonzero(found[name]))
    y = truth.copy()
    rng = np.random.default_rng(0)
    n = on = 0
    for name, genes in found.items():
        part = np.ix_(kind == name, genes)
        zero = (truth[part] == 0) & (shown[part] == 0)
        lit = zero & (rng.random(zero.shape) < 0.3)
        y[part] = np.where(lit, rng.choice([0.6, 0.7], zero.shape), y[part])  # 0.6 stays below 1 per 10,000
        n, on = n + zero.sum(), on + (lit & (y[part] > np.log(2))).sum()
    scored = TASK.score(thinned, {"expression": y})
    assert values(scored)["zeros_turned_on"] == pytest.approx(on / n)
    table = scored.tables["zeros"].set_index("what")
    assert table.loc["markers of other types", "n"] == n
    assert table["n"].iloc[1:].sum() == n  # the rows by type
    controls = {c.name: c.predict(thinned, rng)["expression"] for c in TASK.controls}
    shares = {name: values(TASK.score(thinned, {"expression": a}))["zeros_turned_on"] for name, a in controls.items()}
    assert shares["identity"] == shares["truth"] == 0
    assert shares["gene_mean_detected"] == 1  # a mean over cells that have the gene, given to all


def test_without_types_zeros_cannot_be_judged(deep_dataset: Callable[..., Dataset]) -> None:
    problem = TASK.make_problem(deep_dataset({"a": 60, "b": 70}, drop=("cell_type",)), "dropout", Seeds())
    scored = TASK.score(problem, {"expression": problem.truth["expression"].toarray()})
    score = next(s for s in scored.scores if s.metric == "zeros_turned_on")
    assert math.isnan(score.value)
    assert "cell types" in score.detail


def test_correlation_inflation_against_numpy() -> None:
    rng = np.random.default_rng(0)
    true, smooth = rng.normal(size=(300, 12)), rng.normal(size=(300, 1)) + 0.3 * rng.normal(size=(300, 12))
    smooth[:, 3] = 1.0
    above = np.triu_indices(12, 1)
    r = np.nan_to_num(pd.DataFrame(smooth).corr().to_numpy())
    expected = np.abs(r[above]).mean() - np.abs(np.corrcoef(true.T)[above]).mean()
    assert correlation_inflation(smooth, true) == pytest.approx(expected)
    assert correlation_inflation(true, true) == 0


def test_all_controls_return_what_was_shown_or_means_of_whole_cells(thinned: Problem) -> None:
    rng = np.random.default_rng(0)
    answer = {c.name: c.predict(thinned, rng)["expression"][:] for c in TASK.controls}  # type: ignore[index]
    shown = _log(thinned.inputs.cells.X.toarray())
    np.testing.assert_allclose(answer["identity"], shown, rtol=1e-5)
    np.testing.assert_allclose(np.sort(answer["random"], axis=1), np.sort(shown, axis=1), rtol=1e-5)
    assert (answer["random"] != answer["identity"]).any()
    assert len(np.unique(answer["cell_type_mean"], axis=0)) == thinned.solution["cell_type"].nunique()
    assert len(np.unique(answer["gene_mean"], axis=0)) == 1
