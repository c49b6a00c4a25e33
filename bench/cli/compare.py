"""``bench compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUNS, AsJson, Plugins, examples
from bench.errors import BenchError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        rich_help_panel=RUNS,
        epilog=examples(
            "bench compare baseline/ new/", "bench compare baseline/ new/ --fail-if-worse --junit compare.xml"
        ),
    )(compare)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The run folder to compare with.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The run folder that is compared.")],
    fail_if_worse: Annotated[
        bool,
        typer.Option(
            "--fail-if-worse",
            help="Exit with 1 if a headline score is worse (the paired 95 % interval of the difference excludes 0) or "
            "a trial that finished no longer does.",
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here, for GitHub, GitLab or Jenkins.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the scores here: a row per metric, method and dataset.")
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed between two runs: scores with paired intervals, statuses, settings, versions.

    Only what answers the same question on the same data and the same truth is compared; the rest is named.
    """
    from bench.execution.resample import PairedResamples
    from bench.plan.registry import Registry
    from bench.reports.compare import words
    from bench.reports.compare.changes import compare as compare_runs
    from bench.reports.run.load import load
    from bench.results.store import Store
    from bench.system import write_atomic
    from bench.words import csv_text

    if a.resolve() == b.resolve():
        raise BenchError("this is one run folder, named twice", where=str(b), fix="name the run to compare it with")
    resamples = PairedResamples(Registry(plugin or ()), Store.open(a), Store.open(b))
    for folder in (a, b):
        if Store(folder).is_writable:
            Store(folder).write_tables()
    found = compare_runs(load(a), load(b), resamples.intervals)
    for file in filter(None, (csv, junit)):
        file.parent.mkdir(parents=True, exist_ok=True)
    if csv is not None:
        write_atomic(csv, csv_text(found.scores).encode())
    if junit is not None:
        from bench.reports.compare.junit import junit as as_junit

        write_atomic(junit, as_junit(found).encode())
    typer.echo(words.as_json(found) if as_json else "\n".join(words.lines(found)))
    if fail_if_worse and not found.n_trials:
        fix = "run the older one again with today's bench, on the same data"
        raise BenchError("no score could be compared", where=f"{a} and {b}", fix=fix)
    if fail_if_worse and (len(found.worse) or len(found.lost)):
        raise typer.Exit(1)
