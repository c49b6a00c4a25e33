"""All tests on one expression matrix: the full data, the draws, leaving donors out, and the null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.tasks.deg.compare import compare
from bench.tasks.deg.design import DRAWS, N_JACKKNIFE, RATIOS, arm_name, designs
from bench.tasks.deg.find_markers import COLUMNS, MIN_CELLS
from bench.tasks.deg.markers import markers
from bench.tasks.deg.null import null_tests
from bench.tasks.deg.sums import ArmSums, add, arm_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tasks.deg.design import TypeDesign
    from bench.tasks.deg.markers import Markers
    from bench.tasks.deg.mast.sums import GroupSums


@dataclass(frozen=True)
class Evaluation:
    """Results of all cell types that can be tested, tidy.

    Parameters
    ----------
    deg
        ``cell_type`` and the columns of ``FindMarkers``: the genes tested in the full data.
    draws
        ``cell_type, ratio, draw, direction`` and what :func:`bench.tasks.deg.compare.compare` says.
    jackknife
        ``cell_type, direction, donor, arm, overlap``: the mean overlap without a donor; with all of them where
        ``donor`` is empty.
    null, qq
        What :func:`bench.tasks.deg.null.null_tests` says.
    sizes
        ``cell_type, n_case, n_control, n_up, n_down`` (DEGs of the full data).
    """

    deg: pd.DataFrame
    draws: pd.DataFrame
    jackknife: pd.DataFrame
    null: pd.DataFrame
    qq: pd.DataFrame
    sizes: pd.DataFrame


def evaluate(expression: Any, solution: pd.DataFrame, genes: pd.Index) -> Evaluation:
    """Test every cell type of a study.

    Parameters
    ----------
    expression
        ln(1 + CP10K), cells x genes in the order of ``solution``: scipy sparse, or anything with ``shape`` that gives
        rows by index.
    """
    parts: list[Evaluation] = []
    for design in designs(solution):
        if min(int(design.case.sum()), int((~design.case).sum())) >= MIN_CELLS:
            parts.append(_evaluate_type(expression, design, genes))
    tables = ([getattr(part, name) for part in parts] for name in Evaluation.__dataclass_fields__)
    evaluation = Evaluation(*(pd.concat(table, ignore_index=True) for table in tables))
    if "ratio" not in evaluation.draws:
        evaluation.draws["ratio"] = _share_of_samples(solution)
    return evaluation


def _share_of_samples(solution: pd.DataFrame) -> float:
    """Share of the study's donors that a subset has: one number for all types, also for those that a donor lacks."""
    tested = solution[solution["cell_type"] != ""].drop_duplicates(["arm", "donor"])
    return float(np.mean([[level > 0 for level in draws] for draws in tested[DRAWS]]))


def _evaluate_type(expression: Any, design: TypeDesign, genes: pd.Index) -> Evaluation:
    whole_samples = _drawn_whole(design)
    n_ratios = 0 if whole_samples else len(RATIOS)
    case, control = (arm_sums(expression, design, arm, n_ratios) for arm in (True, False))
    full = markers(*(add(arm.samples, np.ones((1, len(arm.codes)))) for arm in (case, control)))
    if whole_samples:
        draws, jackknife = _subsets(design, case, control, full)
    else:
        draws, jackknife = _subsamples(design, case, control, full)
    null, qq = null_tests(design, case, control)
    up, down = (int(full.deg(sign).sum()) for sign in (1, -1))
    size = {"n_case": int(design.case.sum()), "n_control": int((~design.case).sum()), "n_up": up, "n_down": down}
    tables = (_deg_table(full, genes), draws, jackknife, null, qq, pd.DataFrame([size]))
    for table in tables:
        table.insert(0, "cell_type", design.name)
    return Evaluation(*tables)


def _drawn_whole(design: TypeDesign) -> bool:
    """Return whether the draws are of whole samples (a problem has one kind of draws: levels above 1 are ratios)."""
    return bool(design.draws.max(initial=0) <= 1)


def _deg_table(full: Markers, genes: pd.Index) -> pd.DataFrame:
    p, tested = full.p[0], full.tested[0]
    columns = (genes, p, full.log2fc[0], full.pct_1[0], full.pct_2[0], np.minimum(1, p * len(genes)))
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))[tested]
    return table.sort_values("p_val", kind="stable").reset_index(drop=True)


def _subsamples(
    design: TypeDesign, case: ArmSums, control: ArmSums, full: Markers
) -> tuple[pd.DataFrame, pd.DataFrame]:
    n, tables = len(design.draws), []
    for r, ratio in enumerate(RATIOS):
        drawn = [_of(arm.draws, slice(r * n, (r + 1) * n)) for arm in (case, control)]
        compared = compare(markers(*drawn), full).assign(ratio=ratio)
        tables.append(compared.assign(n_cells=(drawn[0].n + drawn[1].n).astype(int)[compared["draw"]]))

    def without(donors: list[str]) -> tuple[Markers, Markers]:
        remaining = [_of_other_donors(design, arm, donors) for arm in (case, control)]
        everything = [add(arm.samples, k[None]) for arm, k in zip((case, control), remaining, strict=True)]
        # Groups of the jackknife are sample by sample: the permutation is the inner index.
        half = [
            add(_of(arm.jackknife, slice(None)), np.kron(k, np.eye(N_JACKKNIFE)))
            for arm, k in zip((case, control), remaining, strict=True)
        ]
        return markers(*half), markers(*everything)

    return pd.concat(tables, ignore_index=True), _jackknife(design, without)


def _subsets(design: TypeDesign, case: ArmSums, control: ArmSums, full: Markers) -> tuple[pd.DataFrame, pd.DataFrame]:
    first = np.unique(design.sample, return_index=True)[1]
    member = design.draws[:, first] > 0  # (subsets, samples)
    drawn = [add(arm.samples, member[:, arm.codes]) for arm in (case, control)]
    subset_markers = markers(*drawn)
    compared = compare(subset_markers, full)
    compared = compared.assign(n_cells=(drawn[0].n + drawn[1].n).astype(int)[compared["draw"]])

    def without(donors: list[str]) -> tuple[Markers, Markers]:
        everything = [add(arm.samples, _of_other_donors(design, arm, donors)[None]) for arm in (case, control)]
        free = ~member[:, design.samples["donor"].isin(donors).to_numpy()].any(axis=1)
        some = type(subset_markers)(
            *(getattr(subset_markers, name)[free] for name in type(subset_markers).__dataclass_fields__)
        )
        return some, markers(*everything)

    return compared, _jackknife(design, without)


def _of(sums: GroupSums | None, groups: slice) -> GroupSums:
    assert sums is not None
    return sums.take(groups)


def _of_other_donors(design: TypeDesign, arm: ArmSums, donors: list[str]) -> NDArray[np.bool_]:
    """(samples of the arm,): those of other donors."""
    return ~design.samples["donor"].isin(donors).to_numpy()[arm.codes]


def _jackknife(design: TypeDesign, without: Any) -> pd.DataFrame:
    """Mean overlap with all donors and without each of them."""
    rows = []
    arms = design.samples.groupby("donor")["case"].agg(["nunique", "first"])
    few = design.samples.groupby("case").size()
    for donor in ["", *arms.index] if few.min() > 1 else []:
        half, everything = without([donor] if donor else [])
        both_arms = donor and arms.loc[donor, "nunique"] == 2
        arm = "" if not donor else "both" if both_arms else arm_name(bool(arms.loc[donor, "first"]))
        overlap = compare(half, everything).groupby("direction")["overlap"].mean()
        rows += [{"direction": d, "donor": donor, "arm": arm, "overlap": value} for d, value in overlap.items()]
    return pd.DataFrame(rows, columns=["direction", "donor", "arm", "overlap"])
