"""The cells of ``bench deg``: read through the door of :mod:`bench.data`, with the columns that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.words import count

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from bench.tasks.deg.cells import Compared


@dataclass(frozen=True)
class Cells:
    """Cells that may be used, with their columns, and what there is to say of them.

    Parameters
    ----------
    notes
        Lines about features and cells that are not among them, and about cells that may be none.
    donor
        The individual of every cell; None: not known.
    donor_hint
        How to name the column with the individuals.
    doublet
        (cells,): whether a cell is marked as a doublet; None: nobody says.
    """

    adata: AnnData
    notes: tuple[str, ...]
    donor: pd.Series | None
    donor_hint: str
    doublet: NDArray[np.bool_] | None

    def lines_about(self, chosen: Compared, covariates: str, *, of_cells: bool = True) -> list[str]:
        """Lines for the terminal; ``of_cells`` says that cells are tested, and not donors."""
        from bench.tasks.deg.cells import about_donors

        lines = [*self.notes, *chosen.notes]
        if self.doublet is not None and (n := int((self.doublet & chosen.cells).sum())):
            lines.append(
                f"{count(n, 'cell')} marked as {'doublets are' if n > 1 else 'a doublet is'} tested like others"
            )
        if covariates:
            lines.append(f"covariates: {covariates}")
        if self.donor is not None:
            return [*lines, about_donors(self.donor, chosen.arms, of_cells=of_cells)]
        return [
            *lines,
            f"no donors are known ({self.donor_hint}). Cells are not replicates: p says nothing of other people",
        ]


def read_cells(
    data: str, wanted_columns: Sequence[str], donor_key: str | None, layer: str | None, *, optional: str, counts: bool
) -> Cells:
    """Read the counts of a file or registered dataset, or other values, and columns by name.

    Cells that the data mark as to be left out are left out. ``optional`` is a name that need not be a column.

    Raises
    ------
    BenchError
        If the file is not what it should be, or a column is missing.
    """
    from bench.data.commands import like_donors, marked
    from bench.dataset import few_counts
    from bench.normalise import totals
    from bench.plan.registry import Registry

    source = Registry().dataset(data)
    columns, mapping = source.obs_columns(), source.mapping
    if not columns:
        source.columns([], layer=layer, counts=counts)  # what is wrong with the counts would be wrong with columns, too
        raise BenchError(
            "these cells have counts but no columns: there is nothing to compare them by",
            where=data,
            fix="join your table of cells first: adata = scanpy.read_10x_h5(FILE) or read_10x_mtx(FOLDER); "
            "adata.obs = adata.obs.join(table); adata.write_h5ad('cells.h5ad')",
        )
    donor = donor_key or mapping.get("donor")
    flags = {field: mapping[field] for field in ("exclude", "is_doublet") if field in mapping}
    names = [name for name in wanted_columns if name != optional or name in columns]
    names += [*([donor] if donor else []), *flags.values()]
    adata = source.columns(list(dict.fromkeys(names)), layer=layer, counts=counts)
    notes = [source.card.left_out] if source.card.left_out else []
    if "exclude" in flags and (out := marked(adata.obs[flags["exclude"]], data)).any():
        adata = adata[~out].copy()
        n = int(out.sum())
        notes.append(f"{count(n, 'cell')} marked in {flags['exclude']!r} {'is' if n == 1 else 'are'} left out")
    if counts and (shallow := few_counts(totals(adata.X), adata.n_vars)):
        notes.append(str(shallow))
    return Cells(
        adata,
        tuple(notes),
        None if donor is None else adata.obs[donor],
        f"--donor-key {others[0]}?" if (others := like_donors(source)) else "--donor-key names their column",
        marked(adata.obs[flags["is_doublet"]], data, gaps=True) if "is_doublet" in flags else None,
    )
