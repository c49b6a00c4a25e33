"""``bench deg``: differentially expressed genes of a data set of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bench.cli import complete
from bench.cli.options import DATA, examples, names
from bench.errors import BenchError
from bench.words import csv_text

if TYPE_CHECKING:
    from rich.progress import Progress

    from bench.tasks.deg.by_cell_type import Tested


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    arms = "--group condition --case stim --control ctrl"
    app.command(
        rich_help_panel=DATA,
        epilog=examples(
            f"bench deg pbmc.h5ad {arms} --by cell_type --out deg.csv",
            f"bench deg pbmc.h5ad {arms} --test wilcox --seurat 5",
            f"bench deg pbmc.h5ad {arms} --covariates sex,age,cngeneson --donor-key donor",
            f"bench deg pbmc.h5ad {arms} --by cell_type --test limma-voom --donor-key donor",
        ),
    )(deg)


def deg(
    data: Annotated[
        str,
        typer.Argument(
            help="A .h5ad or .zarr of raw counts, or a registered dataset.",
            metavar="DATA",
            autocompletion=complete.dataset,
        ),
    ],
    group: Annotated[str, typer.Option(help="Column of obs that tells case from control.")],
    case: Annotated[str, typer.Option(help="Its value of the case cells.")],
    control: Annotated[str, typer.Option(help="Its value of the control cells.")],
    by: Annotated[str | None, typer.Option(help="Column of obs: test within each of its values.")] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            help="Columns of obs for the model, a,b,...; cngeneson is computed (z-score of the genes detected)."
        ),
    ] = None,
    test: Annotated[
        str,
        typer.Option(
            help="Of cells: mast, wilcox. Of donors (summed counts): pydeseq2, edgepython, limma-voom, donor-wilcoxon."
        ),
    ] = "mast",
    seurat: Annotated[int, typer.Option(help="Version whose filters and fold changes are used: 4 or 5.")] = 4,
    min_pct: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of cells of either group. Default: the version's.")
    ] = None,
    logfc_threshold: Annotated[
        float | None, typer.Option(min=0, help="Least absolute avg_log2FC. Default: the version's.")
    ] = None,
    engine: Annotated[str, typer.Option(help="native, or r: Seurat itself, where R has it (and MAST).")] = "native",
    donor_key: Annotated[
        str | None, typer.Option(help="Column of obs that names the individual; used to say how many there are.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Layer of the counts, `raw` or `X`. Default: X, or that of the dataset."),
    ] = None,
    normalized: Annotated[bool, typer.Option("--normalized", help="The values are ln(1 + CP10K) already.")] = False,
    out: Annotated[Path, typer.Option(help="Table to write.")] = Path("deg.csv"),
) -> None:
    """Find genes that differ between two groups of cells, within each cell type: exact MAST 1.32 in milliseconds.

    Genes are filtered, tested and ordered as by Seurat's FindMarkers; p_val_adj is Bonferroni over all genes.
    Raw counts are normalised to ln(1 + counts per 10,000) first. Cells marked `exclude` are left out. Cells are not
    replicates: of several donors, a p says how sure a gene differs between these cells, not between people.
    """
    from bench.tasks.deg.donor_tests import DONOR_TESTS

    for option, value, allowed in (
        ("--test", test, ("mast", "wilcox", *DONOR_TESTS)),
        ("--seurat", seurat, (4, 5)),
        ("--engine", engine, ("native", "r")),
    ):
        if value not in allowed:
            these = f"{', '.join(map(str, allowed[:-1]))} or {allowed[-1]}"
            raise BenchError(f"{value!r} is not known", where=option, fix=f"give {these}")
    of_donors = DONOR_TESTS.get(test)
    if of_donors:
        _refuse_for_donors(test, covariates=covariates, engine=engine, normalized=normalized)
    if not out.parent.is_dir():
        raise BenchError("there is no such folder", where=f"--out {out}", fix="name a file in a folder that exists")
    from bench.cli.deg_cells import read_cells
    from bench.tasks.deg.by_cell_type import deg_by_type, joined, log_normalised
    from bench.tasks.deg.cells import DETECTION_RATE, check_covariates, compared
    from bench.tasks.deg.find_markers import find_markers

    find: Callable[..., Any] = find_markers
    if engine == "r":
        from bench.cli.seurat_markers import find_markers_r as find
    beside = names(covariates)
    columns = [group, *([by] if by else []), *beside]
    cells = read_cells(data, columns, donor_key, layer, optional=DETECTION_RATE, counts=not normalized)
    adata = cells.adata
    chosen = compared(adata.obs, group=group, case=case, control=control, by=by)
    model = check_covariates(adata.obs, beside, chosen.cells)
    X = log_normalised(adata.X, normalized=normalized)
    taken = "counts summed by donor" if of_donors else "" if normalized else "counts taken to ln(1 + CP10K)"
    typer.echo(f"{X.shape[0]:,} cells x {X.shape[1]:,} genes" + (f", {taken}" if taken else ""))
    if of_donors:
        from bench.tasks.deg.find_by_donor import find_by_donor

        if cells.donor is None:
            raise BenchError("no donors are known", where=f"--test {test}", fix="name their column: --donor-key COLUMN")
        X, find = adata.X, find_by_donor(of_donors, cells.donor)
    for line in cells.lines_about(chosen, model, of_cells=not of_donors):
        typer.echo(line)
    results = []
    with _bar() as bar:
        task = bar.add_task("", total=1.0)
        for tested in deg_by_type(
            adata,
            X,
            group=group,
            case=case,
            control=control,
            by=by,
            covariates=beside,
            test=cast("Any", test),
            seurat=cast("Any", seurat),
            min_pct=min_pct,
            logfc_threshold=logfc_threshold,
            find=find,
            progress=lambda share, cell_type: bar.update(task, completed=share, description=cell_type),
        ):
            bar.stop()  # takes the bar off the terminal while a line is written
            typer.echo(_line(tested))
            bar.start()
            results.append(tested)
    if all(tested.table is None for tested in results):
        raise BenchError("no cell type can be tested", where=data, fix="see the reasons above; nothing was written")
    table = joined(results)
    out.write_text(csv_text(table), encoding="utf-8", newline="")
    used = next(tested.table.attrs.get("engine") for tested in results if tested.table is not None)
    by_whom = f", by {used} with the filters and fold changes of Seurat {seurat}" if used else ""
    typer.echo(f"wrote {out}: {len(table):,} tests{by_whom}")


def _refuse_for_donors(test: str, *, covariates: str | None, engine: str, normalized: bool) -> None:
    """Refuse what a test of donors does not take."""
    for option, given, why in (
        (
            "--covariates",
            bool(covariates),
            "its model has the donor, where donors have cells in both arms, and no other",
        ),
        ("--engine r", engine == "r", "it is run here"),
        ("--normalized", normalized, "it sums counts"),
    ):
        if given:
            raise BenchError(f"{option} is not for the test {test}: {why}", where=option, fix=f"leave out {option}")


def _bar() -> Progress:
    """A bar on standard error, if that is a terminal, for the share of the cells and the type that is tested."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False)


def _line(tested: Tested) -> str:
    cells = f"{tested.cell_type}: {tested.n_case:,} case and {tested.n_control:,} control cells"
    if tested.table is None:
        return f"{cells}; not tested: {tested.message}"
    significant = int((tested.table["p_val_adj"] < 0.05).sum())
    text = f"{cells}; {len(tested.table):,} genes tested, {significant:,} with p_val_adj < 0.05"
    return text + (f" ({tested.message})" if tested.message else "")
