"""``bench.as_dataset``: cells in memory or in a file, and what their columns mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.words import python_words
from bench.dataset import DatasetSource
from bench.errors import BenchError

if TYPE_CHECKING:
    from anndata import AnnData


def as_dataset(
    data: AnnData | DatasetSource | str | os.PathLike[str],
    name: str | None = None,
    *,
    donor_key: str | None = None,
    label_key: str | None = None,
    subtype_key: str | None = None,
    subcluster_key: str | None = None,
    condition_key: str | None = None,
    batch_key: str | None = None,
    doublet_key: str | None = None,
    exclude_key: str | None = None,
    split_key: str | None = None,
    layer: str | None = None,
    truth: str | None = None,
    expected_doublet_rate: float | None = None,
    case: str = "",
    control: str = "",
    embeddings: Mapping[str, str | Sequence[str]] | None = None,
) -> DatasetSource:
    """Check cells and say what their columns mean, as ``bench data add`` does for a file.

    An AnnData is checked at once by the rules for files, and what counts of it is copied: nothing in it is modified,
    and what happens to it afterwards changes nothing in the dataset. Its digest is over names, counts and the columns
    with a meaning, so the same cells are the same trials in another session too.

    Parameters
    ----------
    data
        An AnnData in memory, a path, or the name of a registered dataset.
    name
        Name in tables and in the report. Default: of a file its own, of an AnnData ``adata-`` and eight digits of its
        digest.
    donor_key
        Column of ``obs`` that names the individual. Columns that are called ``donor``, ``cell_type``, ``is_doublet``
        and so on need not be named.
    label_key, subtype_key, subcluster_key
        Columns with the cell type, the subtype, the subcluster.
    condition_key
        Column with the arm (case, control).
    batch_key
        Column with the batch.
    doublet_key
        Column that is true for known doublets.
    exclude_key
        Column that is true for cells to leave out.
    split_key
        Column with ``train``, ``validation`` or ``test``.
    layer
        Layer with the raw counts, or ``raw``. Default: ``X``.
    truth
        Where doublet labels come from: ``experimental`` (assumed), ``computational``, ``generative`` or ``none``.
    expected_doublet_rate
        The rate the protocol promises; told to doublet callers.
    case, control
        Values of the condition to compare.
    embeddings
        Key of ``obsm`` -> names or accessions of the data that its model was pre-trained on, so that rows made from it
        are flagged where it has met these cells; empty: on none. Any key of ``obsm`` can be read, told or not.

    Returns
    -------
    What ``datasets=`` of :func:`bench.run` takes: ``card`` tells its facts, ``load().adata`` its checked cells.

    Raises
    ------
    bench.errors.DataError
        If the cells fail a check: it says what is wrong, where, and what to do.

    Examples
    --------
    >>> import bench
    >>> cells = bench.as_dataset("cohort").load().adata
    >>> mine = bench.as_dataset(cells[cells.obs["donor"] == "d01"], "one-donor", label_key="subtype")  # doctest: +SKIP
    """
    keys = {
        "donor": donor_key,
        "cell_type": label_key,
        "subtype": subtype_key,
        "subcluster": subcluster_key,
        "condition": condition_key,
        "batch": batch_key,
        "is_doublet": doublet_key,
        "exclude": exclude_key,
        "split": split_key,
    }
    columns = {field: column for field, column in keys.items() if column is not None}
    facts: dict[str, Any] = {
        "layer": layer,
        "truth": truth,
        "expected_doublet_rate": expected_doublet_rate,
        "case": case,
        "control": control,
        "embeddings": embeddings,
    }
    with python_words(as_dataset):
        if isinstance(data, str | os.PathLike):
            if not (name or columns or any(facts.values())):
                return _registered(os.fspath(data))
            from bench.data.library import from_path

            return from_path(Path(data), name=name, columns=columns, **facts)
        if isinstance(data, DatasetSource):
            raise BenchError(
                "this is a dataset already", where=data.card.name, fix="hand it to bench.run(datasets=[...])"
            )
        from anndata import AnnData

        if not isinstance(data, AnnData):
            raise BenchError(
                f"a {type(data).__name__} is no dataset",
                where="as_dataset",
                fix="hand over an AnnData, a path or a name",
            )
        from bench.data.memory import from_anndata

        return from_anndata(data, name=name, columns=columns, **facts)


def _registered(name: str) -> DatasetSource:
    from bench.plan.registry import Registry

    return Registry().dataset(name)
