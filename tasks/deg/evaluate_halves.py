"""Agreement of the DEGs of two halves of the donors: as found, under permuted labels, and without each donor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.tasks.deg.compare import rank_correlation, share_of_both
from bench.tasks.deg.design import arm_name, designs
from bench.tasks.deg.find_markers import MIN_CELLS
from bench.tasks.deg.markers import markers
from bench.tasks.deg.sums import add, arm_sums, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.tasks.deg.design import TypeDesign
    from bench.tasks.deg.markers import Markers
    from bench.tasks.deg.mast.sums import GroupSums

#: Permutations of the floor where a donor is left out, which is done for every donor.
_JACKKNIFE_FLOOR = 6


@dataclass(frozen=True)
class HalvesEvaluation:
    """Results of all cell types, tidy.

    Parameters
    ----------
    types
        A row a cell type: ``cell_type, donors_1, donors_2`` (of the halves), ``n_deg_1, n_deg_2, n_common`` (DEGs that
        both have, in the same direction), ``found`` (2 n_common / (n_deg_1 + n_deg_2); 0 without DEGs), ``floor`` (mean
        of the same under permuted labels), ``overlap`` (``found`` less ``floor``), ``jaccard``, ``rank_correlation``,
        ``n_permutations``.
    jackknife
        ``cell_type, donor, arm, overlap``: without a donor of a half and arm; with all where ``donor`` is empty.
    common
        Cell type -> (genes,): 1 and -1 of DEGs that both halves have, else 0.
    left_out
        Cell type -> why it cannot be compared.
    """

    types: pd.DataFrame
    jackknife: pd.DataFrame
    common: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate_halves(expression: Any, solution: pd.DataFrame) -> HalvesEvaluation:
    """Compare the halves within every cell type (parameters as of :func:`bench.tasks.deg.evaluate.evaluate`)."""
    rows, jackknives, common, left_out = [], [], {}, {}
    for design in designs(solution):
        cells = [int(((design.case == arm) & half).sum()) for half in design.draws > 0 for arm in (True, False)]
        if min(cells) < MIN_CELLS:
            left_out[design.name] = (
                f"{cells[0]} case and {cells[1]} control cells in half 1, {cells[2]} and {cells[3]} in half 2, "
                f"{MIN_CELLS} of each are needed"
            )
            continue
        compared = _Halves(expression, design)
        row, common[design.name] = compared.row()
        rows.append({"cell_type": design.name, **row})
        jackknives.append(compared.jackknife(row["overlap"]).assign(cell_type=design.name))
    columns = ["cell_type", "donor", "arm", "overlap"]
    jackknife = pd.concat(jackknives, ignore_index=True) if jackknives else pd.DataFrame(columns=columns)
    return HalvesEvaluation(pd.DataFrame(rows), jackknife[columns], common, left_out)


class _Halves:
    """The samples of one cell type, and every test of its halves."""

    def __init__(self, expression: Any, design: TypeDesign) -> None:
        case, control = (arm_sums(expression, design, arm, 0) for arm in (True, False))
        self._sums: GroupSums = joined(case.samples, control.samples)
        codes = np.concatenate([case.codes, control.codes])
        first = np.unique(design.sample, return_index=True)[1]
        self._member = design.draws[:, first][:, codes] > 0  # (halves, samples)
        self._samples = design.samples.iloc[codes].reset_index(drop=True)
        self._true = self._samples["case"].to_numpy(dtype=np.uint8)[None]
        self._null = design.null_samples[:, codes]

    def row(self) -> tuple[dict[str, float], NDArray[np.int8]]:
        """Numbers of the cell type, and the DEGs that both halves have."""
        everyone = np.ones(len(self._samples), bool)
        found = self._markers(self._true, everyone)
        signs = _signs(found)
        common = np.where(signs[0, 0] == signs[0, 1], signs[0, 0], 0)
        n_deg, n_common = (signs[0] != 0).sum(axis=1), int((common != 0).sum())
        either, tested = int(n_deg.sum()) - n_common, found.tested.any(axis=0)
        share, floor = share_of_both(signs)[0], self._floor(everyone, len(self._null))
        donors = [int(self._samples.loc[half, "donor"].nunique()) for half in self._member]
        correlation = np.nan
        if tested.sum() >= 3:
            correlation = rank_correlation(found.log2fc[:1, tested], found.log2fc[1, tested])[0]
        row = {
            **{f"donors_{k}": n for k, n in enumerate(donors, start=1)},
            **{f"n_deg_{k}": int(n) for k, n in enumerate(n_deg, start=1)},
            "n_common": n_common,
            "found": float(share),
            "floor": floor,
            "overlap": float(share) - floor,
            "jaccard": n_common / either if either else np.nan,
            "rank_correlation": float(correlation),
            "n_permutations": len(self._null),
        }
        return row, common

    def jackknife(self, overlap: float) -> pd.DataFrame:
        """``donor, arm, overlap``: without each donor; the arm is that of a half, so that variances add up.

        What the fewer permutations of this floor shift, with all donors as without one, is taken off.
        """
        arms = self._samples.groupby("donor")["case"].agg(["nunique", "first"])
        rows = []
        for donor in ["", *arms.index]:
            keep = (self._samples["donor"] != donor).to_numpy()
            share = share_of_both(_signs(self._markers(self._true, keep)))[0]
            arm = ""
            if donor:
                of_half = 1 + int(self._member[1][~keep].any())
                arm = "both" if arms.loc[donor, "nunique"] == 2 else arm_name(bool(arms.loc[donor, "first"]))
                arm = f"{arm} of half {of_half}"
            rows.append((donor, arm, share - self._floor(keep, _JACKKNIFE_FLOOR)))
        table = pd.DataFrame(rows, columns=["donor", "arm", "overlap"])
        return table.assign(overlap=table["overlap"] + overlap - table["overlap"].iloc[0])

    def _floor(self, keep: NDArray[np.bool_], n: int) -> float:
        """Mean of the share under the first ``n`` permutations; 0 where none can be tested."""
        shares = share_of_both(_signs(self._markers(self._null[:n], keep)))
        return float(np.nanmean(shares)) if not np.isnan(shares).all() else 0.0

    def _markers(self, labels: NDArray[np.uint8], keep: NDArray[np.bool_]) -> Markers:
        """Tests of both halves under each row of labels, half by half."""
        member = self._member & keep
        arms = [((labels == value)[:, None] & member).reshape(-1, len(keep)) for value in (1, 0)]
        return markers(*(add(self._sums, arm) for arm in arms))


def _signs(tested: Markers) -> NDArray[np.int8]:
    """(labels, halves, genes): 1 and -1 of DEGs, else 0."""
    signs = tested.deg(1).astype(np.int8) - tested.deg(-1).astype(np.int8)
    return signs.reshape(-1, 2, signs.shape[1])
