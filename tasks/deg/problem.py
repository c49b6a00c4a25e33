"""The problem of the DEG task: a whole study for the method; arms, types, draws and truth for the scorer."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from bench.dataset import Dataset
from bench.errors import NotApplicableError
from bench.normalise import log1p_cp10k
from bench.problem import Inputs, Note, Notes, Problem
from bench.tasks._shared.donors import LIBRARY, donors_of
from bench.tasks._shared.labels import resolve
from bench.tasks._shared.study import batch_tells_condition, study_inputs
from bench.tasks.deg import halves
from bench.tasks.deg.arms import arms_of
from bench.tasks.deg.design import (
    DRAWS,
    NULL_CELLS,
    NULL_DONORS,
    arm_name,
    by_arms,
    donor_subsets,
    few_pairs,
    no_permutation,
    packed,
    permuted_cells,
    permuted_samples,
    subsamples,
)
from bench.tasks.deg.find_markers import MIN_CELLS
from bench.words import few

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.task import Seeds
    from bench.tasks.deg.evaluate import Evaluation
    from bench.tasks.deg.evaluate_halves import HalvesEvaluation
    from bench.tasks.deg.pseudobulk import Pseudobulk

#: Name of the hidden matrix: the log2 fold change that the disease gives a gene in a cell of the case arm.
EFFECT = "log2fc"


class DegProblem(Problem):
    """A problem that keeps what is the same for all methods: the results of the counts as they are."""

    @cached_property
    def raw(self) -> Evaluation:
        """Every test on the expression that was measured."""
        from bench.tasks.deg.evaluate import evaluate

        return evaluate(log1p_cp10k(self.inputs.cells.X), self.solution, self.inputs.cells.var.index)

    @cached_property
    def raw_halves(self) -> HalvesEvaluation:
        """The halves of the donors compared, on the expression that was measured."""
        from bench.tasks.deg.evaluate_halves import evaluate_halves

        return evaluate_halves(log1p_cp10k(self.inputs.cells.X), self.solution)

    @cached_property
    def pseudobulk(self) -> Pseudobulk:
        """Tests of donors on the counts."""
        from bench.tasks.deg.pseudobulk import pseudobulk

        return pseudobulk(self.inputs.cells.X, self.solution, self.inputs.cells.var.index)


def make_problem(dataset: Dataset, track: str, seeds: Seeds) -> DegProblem:
    """The problem of one track (see :class:`bench.tasks.deg.DegTask`)."""
    weak = dataset.card.weak_labels
    notes: Notes = [Note(weak, "warning")] if weak else []
    inputs, keep = study_inputs(dataset, notes)
    solution = _solution(dataset, keep, notes)
    seed = (dataset.card.digest, seeds.split)
    if track == "halves":
        half = halves.half_of(dataset, seeds.split)[keep]
        inputs, solution = _shown_apart(inputs, half), solution.assign(**{halves.HALF: half})
        halves.refuse(solution)
        notes += _notes_on_donors(solution, {})
        notes.append(_sizes_of_halves(solution))
        solution = solution.assign(**halves.drawn(solution, seed))
    else:
        solution = solution.assign(**_draws(solution, track, seed, notes))
    truth = _truth(dataset, solution)
    notes += _warnings(dataset, solution)
    return DegProblem(inputs, solution, tuple(notes), truth=truth)


def _shown_apart(inputs: Inputs, half: pd.Series) -> Inputs:
    """Each half by itself: what a method learns from one it cannot carry to the other."""
    cells = replace(inputs.cells, obs=inputs.cells.obs.assign(**{halves.HALF: half.to_numpy()}))
    return replace(inputs, cells=cells, apart=halves.HALF)


def _sizes_of_halves(solution: pd.DataFrame) -> str:
    tested = solution[solution["cell_type"] != ""]
    n = tested.groupby([halves.HALF, "arm"])["donor"].nunique()
    sizes = [f"{n[half, 'case']} case and {n[half, 'control']} control donors" for half in halves.HALVES]
    return f"halves that share no donor: {sizes[0]}, {sizes[1]}; a method sees one at a time"


def scramble(dataset: Dataset, track: str, rng: np.random.Generator) -> Dataset:
    """The dataset with conditions and cell types dealt anew among the cells.

    Where every batch is of one condition, that stays so (methods see no batches then): conditions are dealt among
    batches. In ``halves`` the arms are exchanged: each half has its share of both, whichever is the case, and that is
    all that the halves hang on.
    """
    obs = dataset.adata.obs.copy()
    for column in ("condition", "cell_type"):
        values = obs[column].astype(object)
        if column == "condition" and track == "halves":
            obs[column] = halves.exchanged(dataset, [])
        elif column == "condition" and batch_tells_condition(obs):
            obs[column] = _dealt_among_batches(values, obs["batch"].astype(str), donors_of(dataset), rng)
        else:
            obs[column] = values.to_numpy()[rng.permutation(len(obs))]
    adata = dataset.adata
    return Dataset(dataset.card, AnnData(X=adata.X, obs=obs, var=adata.var, uns=dict(adata.uns)))


def _dealt_among_batches(
    condition: pd.Series, batch: pd.Series, donor: pd.Series, rng: np.random.Generator
) -> pd.Series:
    """Conditions exchanged among batches; among those of a donor where it has several, so that it keeps both arms."""
    table = pd.DataFrame({"condition": condition, "donor": donor}).groupby(batch).first()
    several = table.groupby("donor")["condition"].transform("nunique") > 1
    for rows in table.groupby(table["donor"].where(several, "")).indices.values():
        table.iloc[rows, 0] = table["condition"].to_numpy()[rng.permutation(rows)]
    return batch.map(table["condition"])


def _solution(dataset: Dataset, keep: NDArray[np.bool_], notes: Notes) -> pd.DataFrame:
    """Donor, condition, arm and cell type (empty where a cell is not tested) of the cells shown."""
    arms = arms_of(dataset, notes)
    labels = resolve(dataset, "cell_type", np.zeros(len(keep), dtype=bool))
    notes += [f"not tested, though shown to methods: {note}" for note in labels.notes if "`exclude`" not in str(note)]
    condition = dataset.adata.obs["condition"].astype(object).astype(str)
    arm = condition.map({arms.case: arm_name(True), arms.control: arm_name(False)}).fillna("")
    cell_type = labels.table["cell_type"].where(labels.keep & (arm != "").to_numpy(), "")
    table = {"donor": donors_of(dataset), "condition": condition, "arm": arm, "cell_type": cell_type}
    return pd.DataFrame(table, dtype=object)[keep]


def _draws(solution: pd.DataFrame, track: str, seed: tuple[str | int, ...], notes: Notes) -> dict[str, list[bytes]]:
    cell_type, case = solution["cell_type"].to_numpy(), (solution["arm"] == "case").to_numpy()
    tested = cell_type != ""
    if track == "subsample":
        draws = subsamples(cell_type, seed)
    else:
        subsets = _subsets(solution[tested], seed, notes)
        sample = solution["arm"].str.cat(solution["donor"], sep="/")
        draws = np.array([sample.isin(subset) for subset in subsets]).astype(np.uint8) * tested
    return {
        DRAWS: packed(draws),
        NULL_CELLS: packed(permuted_cells(cell_type, case, seed)),
        NULL_DONORS: _permuted_donors(solution, seed, notes),
    }


def _permuted_donors(solution: pd.DataFrame, seed: tuple[str | int, ...], notes: Notes) -> list[bytes]:
    """Of each cell, whether it counts as case where the condition is permuted among the donors who have its type."""
    permuted = pd.Series([b""] * len(solution), dtype=object)
    withheld = {}
    for name, rows in sorted(solution.groupby("cell_type").indices.items()):
        if not name:
            continue
        donor, case = solution["donor"].to_numpy()[rows], (solution["arm"] == "case").to_numpy()[rows]
        sample, keys = pd.factorize(pd.MultiIndex.from_arrays([donor, case]), sort=True)
        donors, arms = keys.get_level_values(0).to_numpy(object), keys.get_level_values(1).to_numpy(bool)
        if reason := no_permutation(donors, arms):
            withheld[name] = reason
            continue
        permuted.iloc[rows] = packed(permuted_samples(arms, (*seed, name), donors)[:, sample])
    notes += _notes_on_donors(solution, withheld)
    return permuted.tolist()


def _notes_on_donors(solution: pd.DataFrame, withheld: dict[str, str]) -> list[str]:
    tested = solution[solution["cell_type"] != ""]
    arms = tested.groupby("donor")["arm"].nunique()
    notes = []
    if (arms > 1).any() and set(arms.index) != {LIBRARY}:
        notes.append(f"paired design: {(arms > 1).sum()} of {len(arms)} donors have cells in both arms")
    for reason in dict.fromkeys(withheld.values()):
        of = few([name for name, other in withheld.items() if other == reason])
        notes.append(f"no false-positive rate among donors for {of}: {reason}")
    return notes


def _subsets(solution: pd.DataFrame, seed: tuple[str | int, ...], notes: Notes) -> list[frozenset[str]]:
    donors = by_arms(solution["donor"].to_numpy(), (solution["arm"] == "case").to_numpy())
    if reason := few_pairs(donors):
        raise NotApplicableError(f"{reason}: halves of the donors keep pairs whole, and of fewer there is no spread")
    n = {kind: len(names) for kind, names in donors.items()}
    if max(n.values()) < 2:
        raise NotApplicableError(f"{n['case']} case and {n['control']} control donors: no half of them can be drawn")
    subsets, total = donor_subsets(donors, seed)
    half = {kind: -(-k // 2) for kind, k in n.items()}
    how = "all of them" if total == len(subsets) else f"{len(subsets)} of them, drawn at random"
    of = f"{half['case']} of {n['case']} case and {half['control']} of {n['control']} control donors"
    if n["both"]:
        alone = f" and {of} with cells in one arm" if n["case"] + n["control"] else ""
        of = f"{half['both']} of {n['both']} donors with both arms, pairs kept whole{alone},"
    notes.append(f"{of} at a time: {total:,} subsets, {how}")
    single = [arm for arm in ("case", "control") if n[arm] + n["both"] == 1]
    if single:
        notes.append(Note(f"the {single[0]} arm has one donor, who is in every subset", "warning"))
    return subsets


def _truth(dataset: Dataset, solution: pd.DataFrame) -> dict[str, sparse.csr_matrix]:
    """Effects of the disease on each cell of the case arm, against the control arm, where they are known."""
    if "disease_effects" not in dataset.adata.uns:
        return {}
    genes = dataset.adata.var_names
    effects = dataset.adata.uns["disease_effects"]
    case = (solution["arm"] == "case").to_numpy() & (solution["cell_type"] != "").to_numpy()
    arms = [solution.loc[solution["arm"] == arm, "condition"].iloc[0] for arm in ("case", "control")]
    types = sorted(solution.loc[case, "cell_type"].unique())
    profile = np.zeros((len(types), len(genes)), np.float32)
    for sign, arm in zip((1, -1), arms, strict=True):
        rows = effects[(effects["arm"].astype(str) == arm) & effects["ensembl"].isin(genes).to_numpy()]
        rows = rows[rows["cell_type"].astype(str).isin(types)]
        place = pd.Index(types).get_indexer(rows["cell_type"].astype(str)), genes.get_indexer(rows["ensembl"])
        np.add.at(profile, place, sign * rows["log2fc"].to_numpy(np.float32))
    member = pd.Index(types).get_indexer(solution["cell_type"])
    cells = np.flatnonzero(case)
    membership = sparse.csr_matrix(
        (np.ones(len(cells), np.float32), (cells, member[cells])), (len(solution), len(types))
    )
    return {EFFECT: sparse.csr_matrix(membership @ sparse.csr_matrix(profile))}


def too_few(solution: pd.DataFrame) -> dict[str, str]:
    """Cell type -> why it cannot be tested."""
    tested = solution[solution["cell_type"] != ""]
    size = tested.groupby(["cell_type", "arm"]).size().unstack(fill_value=0).reindex(columns=["case", "control"])
    short = size.fillna(0).astype(int)
    short = short[(short < MIN_CELLS).any(axis=1)]
    return {
        str(name): f"{row['case']} case and {row['control']} control cells, {MIN_CELLS} of each are needed"
        for name, row in short.iterrows()
    }


def _warnings(dataset: Dataset, solution: pd.DataFrame) -> list[Note]:
    """List what cannot be tested, and what the tests cannot tell.

    Raises
    ------
    bench.errors.NotApplicableError
        If no cell type can be tested.
    """
    short = too_few(solution)
    types = set(solution["cell_type"]) - {""}
    untestable = few([f"{name} ({why})" for name, why in short.items()])
    if not types - set(short):
        raise NotApplicableError(
            f"no cell type has enough cells in both arms: {untestable or 'no cell of these arms has a cell type'}",
            where=f"dataset {dataset.card.name}",
        )
    notes = [Note(f"cell types that cannot be tested: {untestable}", "warning")] if short else []
    if "batch" in dataset.adata.obs:
        batch = dataset.adata.obs.loc[solution.index, "batch"].astype(str)[solution["arm"] != ""]
        arms = solution.loc[batch.index, "arm"].groupby(batch).nunique()
        if (arms == 1).all():
            notes.append(Note("every batch is of one arm: no test can tell the condition from the batch", "warning"))
    donors = solution[solution["arm"] != ""].groupby("arm")["donor"].nunique()
    if (donors < 2).any():
        notes.append(Note("an arm with one donor (or donors not told apart): no interval over donors", "warning"))
    return notes
