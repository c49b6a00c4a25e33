"""Nearest centroid down the tree of labels, by correlation on random parts of marker genes: the idea of MapMyCells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.method import Context, Method

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from bench.problem import Inputs, Json, Prediction


class HierarchicalCorrelation(Method):
    """From the coarsest level down: of the classes below the one chosen, that whose mean correlates best with the cell.

    At every node the choice is made ``n_votes`` times, each time on a random part of the node's marker genes; the class
    with most votes is taken, and its share of them is the confidence of that level. What is drawn depends on the name
    of the node only, and a class is judged by the mean of all its cells, so an answer's coarser classes are the answers
    that the same training cells give at the coarser levels.

    Parameters
    ----------
    n_votes
        Random parts of the markers.
    share
        Of the markers in each part.
    n_markers
        Genes of a class at its node: those highest in it against the other classes there, in standard deviations.
    """

    name = "hierarchical_correlation"
    tasks = ("annotation",)
    summary = "Nearest class mean by correlation, level by level, by votes of bootstrapped marker genes."
    reference = "10.1038/s41586-023-06812-z"
    citation = """@article{yao2023highresolution,
    author = {Yao, Zizhen and van Velthoven, Cindy T. J. and Kunst, Michael and Zhang, Meng and McMillen, Delissa and
        others},
    title = {A high-resolution transcriptomic and spatial atlas of cell types in the whole mouse brain},
    journal = {Nature},
    volume = {624},
    pages = {317--332},
    year = {2023},
    doi = {10.1038/s41586-023-06812-z},
}"""
    licence = "BSD-3-Clause"
    implementation = "reimplementation"
    supervised = True
    stochastic = False
    input_layer = "log1p_cp10k"
    caveat = (
        "The idea of the Allen Institute's MapMyCells (cell_type_mapper), not its code. Differences: each child of a "
        "node has one mean, where the tool compares with all leaves below it; markers are those of a class against its "
        "siblings, where the tool tests pairs of leaves; ln(1 + CP10K) for log2(1 + CPM). The probability is the "
        "product of the shares of votes of the levels."
    )

    def __init__(self, n_votes: int = 100, share: float = 0.9, n_markers: int = 50) -> None:
        self.n_votes = n_votes
        self.share = share
        self.n_markers = n_markers

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Label each cell."""
        import numpy as np

        from bench.methods._shared.annotation import training_set

        train, codes, classes = training_set(inputs)
        paths = _paths(classes, inputs.info.get("parents"))
        of_train = np.array([paths[name] for name in classes], dtype=object).reshape(len(classes), -1)[codes]
        n, depth = len(inputs.cells.obs), of_train.shape[1]
        found, confidence = np.empty((n, depth), dtype=object), np.ones(n)
        at: dict[tuple[str, ...], np.ndarray] = {(): np.arange(n)}
        for level in range(depth):
            below: dict[tuple[str, ...], np.ndarray] = {}
            for node, cells in at.items():
                known = np.flatnonzero((of_train[:, :level] == np.array(node, dtype=object)).all(axis=1))
                children, which = np.unique(of_train[known, level].astype(str), return_inverse=True)
                winner, share = self._vote(node, train.X[known], which, len(children), inputs.cells.X[cells])
                found[cells, level], confidence[cells] = children[winner], confidence[cells] * share
                for k in np.unique(winner):
                    below[(*node, str(children[k]))] = cells[winner == k]
            at = below
        return {"label": found[:, -1].astype(str), "probability": confidence}

    def _vote(
        self, node: tuple[str, ...], X: csr_matrix, which: np.ndarray, n_children: int, cells: csr_matrix
    ) -> tuple[np.ndarray, np.ndarray]:
        """Child of each cell (position), and its share of the votes."""
        import numpy as np

        from bench.blocks import row_blocks
        from bench.methods._shared.annotation import ROWS
        from bench.seeds import derive_seed

        n = cells.shape[0]
        if n_children == 1:
            return np.zeros(n, dtype=int), np.ones(n)
        means, genes = _markers(X, which, n_children, self.n_markers)
        rng = np.random.default_rng(derive_seed("hierarchical_correlation", *node))
        size = max(1, round(self.share * len(genes)))
        parts = [rng.choice(len(genes), size, replace=False) for _ in range(self.n_votes)]
        votes = np.zeros((n, n_children))
        for rows in row_blocks(cells.shape, ROWS):
            expression, these = cells[rows][:, genes].toarray().astype(np.float64), np.arange(rows.start, rows.stop)
            for part in parts:
                correlation = _standard(expression[:, part]) @ _standard(means[:, part]).T
                votes[these, correlation.argmax(axis=1)] += 1
        winner = votes.argmax(axis=1)
        return winner, votes[np.arange(n), winner] / self.n_votes


def _paths(classes: list[str], parents: Json) -> dict[str, list[str]]:
    """Class -> the classes that it belongs to, coarsest first, and itself."""
    of = [level for level in parents.values() if isinstance(level, dict)] if isinstance(parents, dict) else []
    return {name: [*(str(level[name]) for level in of), name] for name in classes}


def _markers(X: csr_matrix, which: np.ndarray, n_children: int, n_markers: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of the children on the node's marker genes (children, genes), and the columns of those genes."""
    import numpy as np
    from scipy.sparse import csr_matrix

    member = csr_matrix((np.ones(len(which)), (which, np.arange(len(which)))), shape=(n_children, len(which)))
    size = np.bincount(which, minlength=n_children)[:, None]
    total, square = (member @ X).toarray(), (member @ X.multiply(X)).toarray()
    rest, n_rest = total.sum(axis=0) - total, len(which) - size
    variance = square.sum(axis=0) / len(which) - (total.sum(axis=0) / len(which)) ** 2
    contrast = (total / size - rest / n_rest) / np.sqrt(np.maximum(variance, 1e-12))
    best = np.argsort(-contrast, axis=1, kind="stable")[:, :n_markers]
    genes = np.unique(best)
    return (total / size)[:, genes], genes


def _standard(values: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and length 1; zeros where a row does not vary."""
    import numpy as np

    centred = values - values.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.sqrt((centred**2).sum(axis=1, keepdims=True)), 1e-12)
