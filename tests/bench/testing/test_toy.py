from dataclasses import replace

import numpy as np
import pytest

from bench.data import checks
from bench.errors import BenchError, UnknownNameError
from bench.normalise import log1p_cp10k
from bench.plan.registry import Registry
from bench.task import Seeds
from bench.testing import toy_dataset, toy_problem


def test_it_is_sound_and_the_same_each_time():
    first, again, other = toy_dataset(), toy_dataset(), toy_dataset(seed=1)
    assert first.card == again.card
    assert (first.adata.X != again.adata.X).nnz == 0
    assert first.adata.obs.equals(again.adata.obs)
    assert first.card.digest != other.card.digest
    assert (first.adata.X != other.adata.X).nnz > 0
    obs = first.adata.obs
    checks.check_counts(first.adata.X, "toy")
    checks.check_no_empty_cells(first.adata.X, obs.index, "toy")
    checks.check_nested(obs[~obs["is_doublet"]], "toy")
    assert obs["is_doublet"].mean() == pytest.approx(first.card.expected_doublet_rate, abs=0.03)


def test_its_card_tells_what_it_holds():
    dataset = toy_dataset(n_donors=2, cells_per_donor=7, n_genes=41)
    assert dataset.adata.shape == (dataset.card.n_cells, dataset.card.n_genes) == (14, 41)
    obs = dataset.adata.obs
    assert dataset.card.fields == set(obs)
    assert dataset.card.n_values["donor"] == dataset.card.n_donors == obs["donor"].nunique() == 2
    assert dataset.card.n_values["is_doublet"] == obs["is_doublet"].sum()
    with pytest.raises(BenchError, match="40 genes at least"):
        toy_dataset(n_genes=39)


def test_the_disease_changes_the_genes_that_it_says_in_the_type_that_it_says():
    adata = toy_dataset(cells_per_donor=200).adata
    log2 = log1p_cp10k(adata.X).toarray() / np.log(2)
    (ill,) = adata.uns["disease_effects"]["cell_type"].unique()
    changed = adata.var_names.isin(adata.uns["disease_effects"]["ensembl"])
    for name in ("neuron", "glia"):
        cells, case = adata.obs["cell_type"] == name, adata.obs["condition"] == "disease"
        change = log2[cells & case].mean(axis=0) - log2[cells & ~case].mean(axis=0)
        assert np.median(change[~changed]) == pytest.approx(0, abs=0.2)
        assert np.median(change[changed]) == pytest.approx(1 if name == ill else 0, abs=0.35)


def test_it_serves_every_track():
    card = toy_dataset().card
    tracks = [(task.value, track) for task in Registry().tasks.values() for track in task.value.tracks]
    assert len(tracks) > 10
    assert [(task.name, track) for task, track in tracks if task.why_not(card, track)] == []


def test_a_problem_is_that_of_the_task():
    problem = toy_problem("annotation")
    assert problem.inputs.info["level"] == "cell_type"
    other = toy_problem("annotation", "subtype", seeds=Seeds(split=1))
    assert other.inputs.info["level"] == "subtype"
    assert not other.solution.index.equals(problem.solution.index)


def test_what_cannot_be_asked_is_said():
    with pytest.raises(UnknownNameError, match="unknown track of annotation 'subtyp'"):
        toy_problem("annotation", "subtyp")
    whole = toy_dataset()
    bare = replace(whole, card=replace(whole.card, fields=frozenset({"donor"})))
    with pytest.raises(BenchError, match="no subtype column"):
        toy_problem("annotation", "subtype", dataset=bare)
    with pytest.raises(BenchError, match="'toy' serves no track of annotation\n  where: celltype: no cell_type"):
        toy_problem("annotation", dataset=bare)
