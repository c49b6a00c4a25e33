"""``bench report``, ``bench rescore`` and ``bench merge``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUNS, Plugins, examples, names
from bench.errors import BenchError, UnknownNameError

FIGURES = ("png", "pdf", "svg")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        rich_help_panel=RUNS,
        epilog=examples(
            "bench report bench-runs/doublet", "bench report bench-runs/doublet --figures pdf --out paper.html"
        ),
    )(report)
    app.command(rich_help_panel=RUNS, epilog=examples("bench rescore bench-runs/doublet"))(rescore)
    app.command(rich_help_panel=RUNS, epilog=examples("bench merge node1/run node2/run --out merged"))(merge)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run folder; several give one page over all.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the HTML. Default: RUN/report.html; of several runs index.html in the folder that "
            "holds them all."
        ),
    ] = None,
    figures: Annotated[str, typer.Option(help="Formats of the figure files: png, pdf, svg.")] = "png,pdf,svg",
) -> None:
    """Render the report of a run: one HTML file that needs no network, and every figure as files.

    Of several runs each has its report, and one page has a summary of every task with links to them.
    """
    from bench.reports import build_index
    from bench.results.store import Store

    for kind in names(figures):
        if kind not in FIGURES:
            raise UnknownNameError("format in --figures", kind, FIGURES)
    folders = list({run.resolve(): run for run in runs}.values())
    for run in folders:
        Store.open(run)
    if len(folders) == 1:
        typer.echo(_report(folders[0], out, names(figures)))
        return
    for run in folders:
        if Store(run).is_writable:
            typer.echo(_report(run, None, names(figures)))
    target = out or Path(os.path.commonpath([run.resolve().parent for run in folders])) / "index.html"
    typer.echo(build_index(folders, target))


def _report(run: Path, out: Path | None, formats: list[str]) -> Path:
    from bench.reports import build_report
    from bench.results.store import Store

    store = Store.open(run)
    if out is None and not store.is_writable:
        fix = f"write the report to another place: bench report {run} --out report.html"
        raise BenchError("the run folder is read-only", where=str(run), fix=fix)
    store.write_tables()
    return build_report(run, out, formats=formats)


def rescore(run: Annotated[Path, typer.Argument(help="A run folder.")], plugin: Plugins = None) -> None:
    """Score the kept predictions again with today's metrics; no method is run."""
    from bench.execution.rescore import rescore as rescore_run
    from bench.plan.registry import Registry
    from bench.results.store import Store

    store = Store.open(run)

    def done(record: object) -> None:
        typer.echo(".", nl=False, err=True)

    n = rescore_run(Registry(plugin or ()), store, done)
    typer.echo("", err=True)
    store.write_tables()
    typer.echo(f"{n} trials rescored; render the report again with: bench report {run}")


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Run folders to put together.")],
    out: Annotated[Path, typer.Option(help="The merged run folder.")],
) -> None:
    """Put the trials of several run folders into one; refuses mixed task versions."""
    from bench.results.merge import merge as merge_runs

    if out.resolve() in {run.resolve() for run in runs}:
        raise BenchError("a run cannot be merged into itself", where=f"--out {out}", fix="name a new folder")
    store = merge_runs(runs, out)
    typer.echo(f"{sum(1 for _ in store.records())} trials in {out}; render with: bench report {out}")
