"""``bench data``: simulate the cohort, calibrate it, register data of your own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import AsJson

if TYPE_CHECKING:
    from bench.dataset import DatasetCard


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    data = typer.Typer(help="Simulate the built-in cohort, or register data of your own.", no_args_is_help=True)
    data.command(
        epilog="Example: bench data add my.h5ad --name mine --donor-key patient --label-key cell_type", name="add"
    )(add)
    data.command(epilog="Example: bench data remove mine")(remove)
    data.command("simulate", epilog="Example: bench data simulate cohort.h5ad --cells 20000 --genes 5000")(simulate)
    data.command("calibrate", epilog="Example: bench data calibrate agarwal.h5ad")(calibrate)
    data.command("pair", epilog="Example: bench data pair study-a study-b a-to-b.h5ad --labels names.csv")(pair)
    app.add_typer(data, name="data")


def add(
    path: Annotated[Path, typer.Argument(help="A .h5ad, a .zarr, a 10x .h5, or a 10x mtx folder.")],
    name: Annotated[str, typer.Option(help="Name on the command line.")],
    donor_key: Annotated[str | None, typer.Option(help="obs column that names the individual.")] = None,
    label_key: Annotated[str | None, typer.Option(help="obs column with the cell type.")] = None,
    subtype_key: Annotated[str | None, typer.Option(help="obs column with the subtype.")] = None,
    subcluster_key: Annotated[str | None, typer.Option(help="obs column with the subcluster.")] = None,
    condition_key: Annotated[str | None, typer.Option(help="obs column with the arm (case, control).")] = None,
    batch_key: Annotated[str | None, typer.Option(help="obs column with the batch.")] = None,
    doublet_key: Annotated[str | None, typer.Option(help="obs column that is true for known doublets.")] = None,
    exclude_key: Annotated[str | None, typer.Option(help="obs column that is true for cells to leave out.")] = None,
    split_key: Annotated[str | None, typer.Option(help="obs column with train, validation or test.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the raw counts, or `raw`. Default: X.")] = None,
    truth: Annotated[
        str | None, typer.Option(help="Where doublet labels come from: experimental (assumed), computational or none.")
    ] = None,
    expected_doublet_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="RATE", help="The rate the protocol promises; told to doublet callers."),
    ] = None,
    case: Annotated[str, typer.Option(help="Value of the condition that is compared with the control.")] = "",
    control: Annotated[str, typer.Option(help="Value of the condition that the case is compared with.")] = "",
) -> None:
    """Check a dataset and register it under a name; the file is neither changed nor copied."""
    from bench.data import commands

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
    card = commands.add(
        path,
        name,
        columns={field: column for field, column in keys.items() if column is not None},
        layer=layer,
        truth=truth,
        expected_doublet_rate=expected_doublet_rate,
        case=case,
        control=control,
    )
    typer.echo(f"registered {card.name}: {card.n_cells} cells x {card.n_genes} genes, fields {sorted(card.fields)}")
    for line in commands.column_lines(card.name):
        typer.echo(line)
    if card.caveat:
        typer.echo(f"mind:     {card.caveat}")
    _tell_uses(card)


def _tell_uses(card: DatasetCard) -> None:
    """The command for each task that the dataset serves, and what it lacks for the others."""
    from bench.plan.registry import Registry

    lacking = []
    for name, entry in sorted(Registry().tasks.items()):
        reasons = [entry.value.why_not(card, track) for track, facts in entry.value.tracks.items() if facts.default]
        if None in reasons:
            typer.echo(f"use it:   bench run --task {name} --methods all --datasets {shlex.quote(card.name)}")
        elif reasons:
            lacking.append(f"not for {name}: {reasons[0]}")
    for line in lacking:
        typer.echo(line)


def remove(name: Annotated[str, typer.Argument(help="Name of a dataset you added.")]) -> None:
    """Forget a dataset that was added; its file stays."""
    from bench.data import commands

    commands.remove(name)


def simulate(
    out: Annotated[Path, typer.Argument(help="The .h5ad to write.")],
    cells: Annotated[int, typer.Option(min=1, help="Number of nuclei, doublets included.")] = 2_800,
    genes: Annotated[int, typer.Option(min=100, help="Number of genes.")] = 2_500,
    donors: Annotated[int, typer.Option(min=1, help="Number of donors.")] = 8,
    doublet_rate: Annotated[float, typer.Option(min=0, max=0.5, help="Share of droplets with two nuclei.")] = 0.08,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads; the cells do not depend on it.")] = 2,
) -> None:
    """Simulate a neurodegenerative snRNA-seq cohort whose every truth is known."""
    from rich.progress import Progress

    from bench.data import commands

    spec = commands.CohortSpec(n_cells=cells, n_genes=genes, n_donors=donors, doublet_rate=doublet_rate, seed=seed)
    with Progress(transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        n_cells, n_genes, n_counts = commands.simulate_to(
            out, spec, lambda done, total: bar.update(task, completed=done, total=total), threads
        )
    typer.echo(f"wrote {out}: {n_cells} nuclei x {n_genes} genes, {n_counts / n_cells / n_genes:.1%} not zero")


def pair(
    train: Annotated[str, typer.Argument(help="Dataset or file to train on.")],
    test: Annotated[str, typer.Argument(help="Dataset or file to test on.")],
    out: Annotated[Path, typer.Argument(help="The .h5ad to write.")],
    labels: Annotated[
        Path | None, typer.Option(help="CSV with columns from,to: common names of cell types; empty: leave out.")
    ] = None,
) -> None:
    """Join two studies over their common genes: methods train on one and are tested on the other."""
    from bench.data import commands
    from bench.plan.registry import Registry

    registry = Registry()
    for note in commands.pair_to(out, registry.load(train), registry.load(test), labels):
        typer.echo(note)
    typer.echo(f"use it:   bench run --task annotation --tracks celltype --datasets {out}")


def calibrate(
    real: Annotated[Path, typer.Argument(help="Real nuclei to compare with (.h5ad of raw counts).")],
    as_json: AsJson = False,
) -> None:
    """Print simulated against real: zeros, UMI and gene quantiles, mean-variance trend, principal components."""
    from bench.data.calibrate import calibrate as compare
    from bench.plan.registry import Registry

    table: Any = compare(Registry().load(str(real)).adata)
    typer.echo(json.dumps(table.to_dict("records"), indent=1) if as_json else table.to_string())
