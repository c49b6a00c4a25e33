"""Every split seed tests other donors; there are as many splits as there are sets that the protocol allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset, DatasetCard, LoadedCounts
from bench.errors import NotApplicableError
from bench.task import Seeds, Task
from bench.tasks._shared.donors import donors_to_test, held_out_sets
from bench.tasks.annotation import AnnotationTask
from bench.tasks.deg import DegTask
from bench.tasks.doublet import DoubletTask
from bench.tasks.imputation import ImputationTask
from bench.tasks.integration import IntegrationTask

DIGEST = "0" * 64


def _obs(arms: list[int]) -> pd.DataFrame:
    """One cell a donor; ``arms`` has the number of donors of each."""
    names = [(f"{arm}{i}", f"arm{arm}") for arm, n in enumerate(arms) for i in range(n)]
    return pd.DataFrame(names, columns=["donor", "condition"])


def _allowed(arms: list[int]) -> set[frozenset[str]]:
    """By definition: sets of the right size in which no arm is ahead of another by more than one of its donors."""
    obs = _obs(arms)
    n = len(obs)
    size = min(max(round(0.3 * n), sum(arm > 1 for arm in arms), 1), n - 1)
    found = set()
    for chosen in itertools.combinations(obs["donor"], size):
        taken = [sum(name.startswith(str(arm)) for name in chosen) for arm in range(len(arms))]
        last = max((n - 0.5) / of for n, of in zip(taken, arms, strict=True))
        following = min((n + 0.5) / of for n, of in zip(taken, arms, strict=True))
        if last <= following:
            found.add(frozenset(chosen))
    return found


@pytest.mark.parametrize("arms", [[2], [3], [7], [1, 1], [2, 1], [2, 2], [3, 3], [5, 2], [4, 4, 1], [3, 2, 1], [6, 5]])
def test_the_splits_are_all_sets_that_the_protocol_allows_once_each(arms: list[int]) -> None:
    sets = list(held_out_sets(_obs(arms), DIGEST))
    assert len(sets) == len(set(sets))
    assert set(sets) == _allowed(arms)


def test_with_two_donors_there_are_two_splits_and_a_third_is_refused(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset({"a": 60, "b": 60})
    assert {donors_to_test(dataset, 0), donors_to_test(dataset, 1)} == {frozenset("a"), frozenset("b")}
    with pytest.raises(NotApplicableError, match="are 2 different sets of donors.*split seed 2") as caught:
        DoubletTask().make_problem(dataset, "experimental", Seeds(split=2))
    assert caught.value.fix == "run with --split-seeds 2"


def test_the_order_is_the_datasets_own_and_does_not_change() -> None:
    def first(digest: str) -> list[frozenset[str]]:
        return list(itertools.islice(held_out_sets(_obs([20, 20]), digest), 50))

    assert first(DIGEST) == first(DIGEST) != first("1" * 64)
    assert len(set(first(DIGEST))) == 50


def _study(n_donors: int | None, **columns: object) -> Dataset:
    """Deep cells of two types in two arms; every task can be asked about it."""
    n = 60 * (n_donors or 4)
    rng = np.random.default_rng(0)
    donor = np.arange(n) // 60
    obs = pd.DataFrame(
        {
            "donor": [f"d{i}" for i in donor],
            "condition": np.where(donor % 2, "AD", "control"),
            "cell_type": np.where(np.arange(n) % 2, "neuron", "glia"),
            "is_doublet": np.arange(n) % 10 == 0,
        },
        index=[f"c{i}" for i in range(n)],
    ).assign(**columns)
    if n_donors is None:
        obs = obs.drop(columns="donor")
    X = sparse.csr_matrix(rng.poisson(60.0, (n, 80)).astype(np.int32))
    card = DatasetCard("study", "", DIGEST, frozenset(obs), "experimental", n, 80, n_donors)
    return Dataset(card, AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(80)])))


OWN = np.repeat(["train", "test", "train", "test"], 60)
#: Task, track, dataset, and how many of eight split seeds are different.
CASES = [
    (DoubletTask(), "experimental", _study(2), 2),
    (DoubletTask(), "simulated", _study(4), 4),  # one of two donors of each arm
    (DoubletTask(), "simulated", _study(1), 1),
    (DoubletTask(), "experimental", _study(None), 1),
    (AnnotationTask(), "celltype", _study(2), 2),
    (AnnotationTask(), "celltype", _study(4), 4),
    (AnnotationTask(), "celltype", _study(None), 8),  # cells are split, not donors
    (AnnotationTask(), "celltype", _study(4, split=OWN), 1),
    (AnnotationTask(), "celltype-lodo", _study(3), 3),
    (ImputationTask(), "nonzero", _study(2), 2),
    (ImputationTask(), "dropout", _study(4, split=OWN), 1),
    # nothing is held out
    (IntegrationTask(), "zero", _study(2), 1),
    (DegTask(), "subsample", _study(4), 1),
    (DegTask(), "patients", _study(4), 1),
    (DegTask(), "halves", _study(4), 2),
]


@pytest.mark.parametrize(("task", "track", "dataset", "n"), CASES)
def test_a_task_counts_the_splits_it_has(task: Task, track: str, dataset: Dataset, n: int) -> None:
    assert task.n_splits(LoadedCounts(dataset), track, 8) == n
    assert task.n_splits(LoadedCounts(dataset), track, 1) == 1


@pytest.mark.parametrize(
    ("task", "track", "dataset", "n"), [c for c in CASES if c[0].name not in ("integration", "deg")]
)
def test_every_split_that_is_counted_tests_other_donors_or_cells(
    task: Task, track: str, dataset: Dataset, n: int
) -> None:
    tested = set()
    for split in range(n):
        solution = task.make_problem(dataset, track, Seeds(split=split)).solution
        by_donor = solution["donor"].nunique() > 1 or "donor" in dataset.adata.obs
        tested.add(frozenset(solution["donor"] if by_donor else solution.index))
    assert len(tested) == n
    if n < 8 and "split" not in dataset.adata.obs:
        with pytest.raises(NotApplicableError, match=f"split seed {n}"):
            task.make_problem(dataset, track, Seeds(split=n))


def test_the_papers_donors_are_no_split_twice() -> None:
    names = ["C1", "C4", "PD1", "PD3", "PD5", "C2"]
    dataset = _study(6, donor=np.repeat(names, 60))
    task = AnnotationTask()
    n = task.n_splits(LoadedCounts(dataset), "celltype", 100)
    splits = [
        frozenset(task.make_problem(dataset, "celltype", Seeds(split=split)).solution["donor"]) for split in range(n)
    ]
    assert splits[0] == {"C4", "PD3"}
    assert len(set(splits)) == n
    assert set(splits) == {*held_out_sets(dataset.adata.obs, DIGEST), splits[0]}


def test_the_simulation_seed_counts_where_something_is_simulated() -> None:
    for task in (DoubletTask(), AnnotationTask(), ImputationTask(), IntegrationTask(), DegTask()):
        for name, track in task.tracks.items():
            if not track.seeded and not task.why_not(_study(4).card, name):
                first, second = (task.make_problem(_study(4), name, Seeds(simulation=s)) for s in (0, 1))
                assert first.solution.equals(second.solution), name
                assert (first.inputs.cells.X != second.inputs.cells.X).nnz == 0, name
    assert {name for name, track in DoubletTask().tracks.items() if not track.seeded} == {"experimental"}
    assert {name for name, track in ImputationTask().tracks.items() if track.seeded} == {"dropout"}
