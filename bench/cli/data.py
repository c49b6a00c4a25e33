"""``bench data``: simulate the cohort, calibrate it, register data of your own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete
from bench.cli.options import DATA, AsJson, examples

#: Panels of the help of ``bench data add``.
_COLUMNS, _COUNTS, _ABOUT = "Columns of obs", "Counts and truth", "About the data, for its card in the report"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    data = typer.Typer(help="Register data of your own, join two studies, simulate.", no_args_is_help=True)
    data.command(
        "add",
        epilog=examples(
            "bench data add my.h5ad",
            "bench data add my.h5ad --name mine --donor-key patient --label-key CellType",
            "bench data add my.h5ad --name mine --embedding X_scgpt=GSE140231,GSE67835",
            "bench data add my.h5ad --name mine --replace --layer counts --doi 10.1038/s41586-019-1195-2",
        ),
    )(add)
    data.command(epilog=examples("bench data remove mine"))(remove)
    data.command(
        epilog=examples(
            "bench data simulate cohort.h5ad --cells 20000 --genes 5000", "bench data simulate paired.h5ad --paired"
        )
    )(simulate)
    data.command(epilog=examples("bench data calibrate agarwal.h5ad"))(calibrate)
    data.command(epilog=examples("bench data pair study-a study-b a-to-b.h5ad --labels names.csv"))(pair)
    app.add_typer(data, name="data", rich_help_panel=DATA)


def _column(what: str) -> Any:
    return typer.Option(help=what, metavar="COLUMN", rich_help_panel=_COLUMNS)


def _fact(what: str) -> Any:
    return typer.Option(help=what, metavar="TEXT", rich_help_panel=_ABOUT)


def add(
    path: Annotated[Path, typer.Argument(help="A .h5ad, a .zarr, a 10x .h5, or a 10x mtx folder.")],
    name: Annotated[str | None, typer.Option(help="Name on the command line. Default: the file's.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Forget what the name stood for.")] = False,
    user: Annotated[
        bool, typer.Option("--user", help="Register it for you, everywhere, and not for this project only.")
    ] = False,
    donor_key: Annotated[str | None, _column("The individual.")] = None,
    label_key: Annotated[str | None, _column("The cell type.")] = None,
    subtype_key: Annotated[str | None, _column("The subtype.")] = None,
    subcluster_key: Annotated[str | None, _column("The subcluster.")] = None,
    condition_key: Annotated[str | None, _column("The arm (case, control).")] = None,
    batch_key: Annotated[str | None, _column("The batch.")] = None,
    doublet_key: Annotated[str | None, _column("True for known doublets.")] = None,
    exclude_key: Annotated[str | None, _column("True for cells to leave out.")] = None,
    split_key: Annotated[str | None, _column("train, validation or test.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Layer with the raw counts, or `raw`. Default: X.", rich_help_panel=_COUNTS, metavar="NAME"),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Where doublet labels come from: experimental (assumed), computational or none.",
            rich_help_panel=_COUNTS,
            metavar="KIND",
        ),
    ] = None,
    expected_doublet_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="RATE",
            help="The rate the protocol promises; told to doublet callers.",
            rich_help_panel=_COUNTS,
        ),
    ] = None,
    case: Annotated[
        str,
        typer.Option(
            help="Value of the condition that is compared with the control.", metavar="VALUE", rich_help_panel=_COUNTS
        ),
    ] = "",
    control: Annotated[
        str,
        typer.Option(
            help="Value of the condition that the case is compared with.", metavar="VALUE", rich_help_panel=_COUNTS
        ),
    ] = "",
    embedding: Annotated[
        list[str] | None,
        typer.Option(
            help="What obsm[KEY] was pre-trained on: names or accessions, with commas. May be repeated.",
            metavar="KEY=NAMES",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    summary: Annotated[str | None, _fact("What they are, in a line.")] = None,
    organism: Annotated[str | None, _fact("Such as human.")] = None,
    tissue: Annotated[str | None, _fact("Such as prefrontal cortex.")] = None,
    licence: Annotated[str | None, _fact("Such as CC-BY-4.0.")] = None,
    doi: Annotated[str | None, _fact("DOI of the paper they are from.")] = None,
) -> None:
    """Check a dataset and register it under a name; the file is neither changed nor copied.

    The name holds in this project: in the folder of the nearest `.bench` from here upwards, or in this one if there is
    none yet. A name of the project hides the same one of `--user`.
    """
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
    about = {"summary": summary, "organism": organism, "tissue": tissue, "licence": licence, "doi": doi}
    card, place, hides = commands.add(
        path,
        path.absolute().stem if name is None else name,
        replace=replace,
        user=user,
        columns={field: column for field, column in keys.items() if column is not None},
        layer=layer,
        truth=truth,
        expected_doublet_rate=expected_doublet_rate,
        case=case,
        control=control,
        embeddings=_told_of_embeddings(embedding or []),
        about={fact: text for fact, text in about.items() if text is not None},
    )
    typer.echo(f"registered {card.name}: {card.n_cells} cells x {card.n_genes} genes, fields {sorted(card.fields)}")
    typer.echo(f"holds:    {place}{hides}")
    for line in commands.column_lines(card.name):
        typer.echo(line)
    if card.caveat:
        typer.echo(f"mind:     {card.caveat}")
    _tell_uses(card.name)


def _told_of_embeddings(options: list[str]) -> dict[str, str]:
    """Key -> names, of ``KEY=NAMES``."""
    from bench.errors import BenchError

    told = {}
    for text in options:
        key, sign, names = text.partition("=")
        if not sign or not key:
            fix = "write KEY=NAMES, such as --embedding X_scgpt=GSE140231,GSE67835; nothing after = if on no data"
            raise BenchError(f"{text!r} does not say what it was pre-trained on", where="--embedding", fix=fix)
        told[key] = names
    return told


def _tell_uses(name: str) -> None:
    """The command for each task that the dataset serves, what it lacks for the others, and how to name that."""
    from bench.dataset import lacking_field
    from bench.plan.registry import Registry

    registry = Registry()
    source = registry.dataset(name)
    lacking: dict[str, str] = {}
    for task, entry in sorted(registry.tasks.items()):
        reasons = [entry.value.why_not(source.card, t) for t, facts in entry.value.tracks.items() if facts.default]
        if None in reasons:
            typer.echo(f"use it:   bench run --task {task} --methods all --datasets {shlex.quote(name)}")
        elif reasons:
            lacking[task] = str(reasons[0])
    for task, reason in lacking.items():
        typer.echo(f"not for {task}: {reason}")
    fields = dict.fromkeys(field for reason in lacking.values() if (field := lacking_field(reason)))
    if fields and (offer := source.offer(fields)):
        typer.echo(f"fix:     {offer}")


def remove(
    name: Annotated[str, typer.Argument(help="Name of a dataset you added.", autocompletion=complete.dataset)],
) -> None:
    """Forget a dataset that was added; its file stays."""
    from bench.data import commands

    typer.echo(commands.remove(name))


def simulate(
    out: Annotated[Path, typer.Argument(help="The .h5ad to write.")],
    cells: Annotated[
        int | None, typer.Option(min=1, help="Number of nuclei, doublets included. Default: 2800; 4800 if paired.")
    ] = None,
    genes: Annotated[int, typer.Option(min=100, help="Number of genes.")] = 2_500,
    donors: Annotated[int | None, typer.Option(min=1, help="Number of donors. Default: 8; 12 if paired.")] = None,
    paired: Annotated[
        bool, typer.Option("--paired", help="Each donor has nuclei in both arms, CN and AD, and not in one of three.")
    ] = False,
    doublet_rate: Annotated[float, typer.Option(min=0, max=0.5, help="Share of droplets with two nuclei.")] = 0.08,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads; the cells do not depend on it.")] = 2,
) -> None:
    """Simulate a neurodegenerative snRNA-seq cohort whose every truth is known."""
    from rich.progress import Progress

    from bench.data import commands

    chosen: dict[str, Any] = {name: n for name, n in (("n_cells", cells), ("n_donors", donors)) if n is not None}
    recipe: type[commands.CohortSpec] = commands.PairedSpec if paired else commands.CohortSpec
    spec = recipe(**chosen, n_genes=genes, doublet_rate=doublet_rate, seed=seed)
    with Progress(transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        n_cells, n_genes, n_counts = commands.simulate_to(
            out, spec, lambda done, total: bar.update(task, completed=done, total=total), threads
        )
    typer.echo(f"wrote {out}: {n_cells} nuclei x {n_genes} genes, {n_counts / n_cells / n_genes:.1%} not zero")


def pair(
    train: Annotated[str, typer.Argument(help="Dataset or file to train on.", autocompletion=complete.dataset)],
    test: Annotated[str, typer.Argument(help="Dataset or file to test on.", autocompletion=complete.dataset)],
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
