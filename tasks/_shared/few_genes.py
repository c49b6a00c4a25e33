"""The filter of the paper's code: cells with few detected genes leave, whatever the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from bench.problem import Notes

#: Fewest detected genes of a cell in scMamba's code. Its paper speaks of a total expression of 200.
MIN_GENES = 200


def detected_genes(X: sparse.csr_matrix) -> NDArray[np.int64]:
    """Genes with counts in each cell."""
    return np.diff(X.indptr).astype(np.int64)


def enough_genes(detected: NDArray[np.int64], n_genes: int, notes: Notes) -> NDArray[np.bool_]:
    """Find the cells that the paper's code keeps; the notes tell how many it does not.

    Where a dataset has fewer genes than that itself, all are kept, and the notes say so.

    Parameters
    ----------
    detected
        Genes with counts in each cell.
    n_genes
        Genes of the dataset.
    """
    if n_genes < MIN_GENES:
        notes.append(
            f"the paper's code leaves out cells with fewer than {MIN_GENES} detected genes; the dataset has {n_genes} "
            "genes, so all its cells stay"
        )
        return np.ones(len(detected), dtype=bool)
    enough = detected >= MIN_GENES
    if not enough.all():
        notes.append(
            f"{(~enough).sum():,} of {len(enough):,} cells have fewer than {MIN_GENES} detected genes and are left "
            "out, as in the paper's code"
        )
    return enough


def note_few_genes(detected: NDArray[np.int64], n_genes: int, notes: Notes) -> None:
    """Say how many cells the paper's code would leave out where they stay."""
    few = int((detected < MIN_GENES).sum())
    if few and n_genes >= MIN_GENES:
        notes.append(
            f"{few:,} of {len(detected):,} cells have fewer than {MIN_GENES} detected genes: the paper's code leaves "
            "such cells out, here they stay"
        )
