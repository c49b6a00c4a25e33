"""The features of a matrix that are genes: CellRanger counts antibodies, peaks, guides and hashtags beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from bench.errors import DataError

#: What CellRanger, its readers and public multiome data call the features that are genes, in lower case.
_GENES = frozenset({"gene expression", "gex"})
#: What they call the others. A column of other words (gene, protein_coding) is about something else.
_OTHERS = frozenset(
    {
        "adt",
        "antibody capture",
        "antigen capture",
        "atac",
        "crispr guide capture",
        "custom",
        "multiplexing capture",
        "peaks",
        "vdj-b",
        "vdj-t",
        "vdj-t-gd",
    }
)
#: Columns of ``var`` that tell the kind of a feature: scanpy's name of it, and others'.
KINDS = ("feature_types", "feature_type")
#: The name of a genome before an Ensembl ID, as CellRanger writes it where there are several.
_GENOME = re.compile(r"(.+?)_+ENS[A-Z]*G\d")


def which_genes(kinds: Sequence[object] | None, where: str) -> tuple[list[bool] | None, str]:
    """Tell genes from other features, with a line about those that are none; None and no line if all are.

    Parameters
    ----------
    kinds
        Of every feature, as text; others than text are gaps, and stay. None: nobody says.

    Raises
    ------
    bench.errors.DataError
        If no feature is a gene.
    """
    if kinds is None:
        return None, ""
    low = [kind.strip().lower() if isinstance(kind, str) else "" for kind in kinds]
    others = Counter(str(kind).strip() for kind, lower in zip(kinds, low, strict=True) if lower and lower not in _GENES)
    if not others or not ((_GENES | _OTHERS) & set(low)):
        return None, ""
    n = sum(others.values())
    if n == len(low):
        raise DataError(
            f"no gene expression here: {' and '.join(sorted(others))} only ({n:,} features)",
            where=where,
            fix="hand over the gene expression of these cells: CellRanger's filtered_feature_bc_matrix",
        )
    names = ", ".join(f"{kind}: {k:,}" for kind, k in sorted(others.items())) if len(others) > 1 else next(iter(others))
    verb = "feature that is no gene expression is" if n == 1 else "features that are no gene expression are"
    return [not lower or lower in _GENES for lower in low], f"{n:,} {verb} left out ({names})"


def check_ids(ids: Sequence[str], genomes: Iterable[str], where: str) -> None:
    """Refuse genes of several genomes, and IDs that occur more than once.

    Parameters
    ----------
    genomes
        Of each gene, where the file says; else they are told by what stands before the IDs.
    """
    check_one_genome({name for name in genomes if name} or {m[1] for i in ids if (m := _GENOME.match(i))}, where)
    repeated = {name: n for name, n in Counter(ids).items() if n > 1}
    if repeated:
        name, n = next(iter(repeated.items()))
        message = f"{len(repeated):,} gene IDs occur more than once (e.g. {name}, {n} times)"
        raise DataError(
            message if len(repeated) > 1 else f"the gene ID {name} occurs {n} times",
            where=where,
            fix="CellRanger writes each ID once (symbols may repeat): take its own output, or sum the rows of an ID",
        )


def check_one_genome(genomes: Collection[str], where: str) -> None:
    """Refuse genes of several genomes: they come from cells of several species."""
    if len(genomes) > 1:
        raise DataError(
            f"the genes are of {len(genomes)} genomes ({', '.join(sorted(genomes))}), a dataset is of one species",
            where=where,
            fix="write the cells and genes of one genome as .h5ad: scanpy.read_10x_h5(FILE, genome=...), of a folder "
            "read_10x_mtx(FOLDER), then adata[cells, genes].write_h5ad(...)",
        )
