"""``bench run`` and ``bench trial``."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.options import PLUGIN, RUNS, assignments, examples, megabytes, names, sbatch_options, seconds
from bench.cli.signals import interrupt

if TYPE_CHECKING:
    from bench.api.result import Run


#: Panels of the help.
_WHAT, _HOW, _AFTER = "What to compare", "How it runs", "What comes out"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        context_settings={"allow_extra_args": True},
        rich_help_panel=RUNS,
        epilog=examples(
            "bench run --task doublet",
            "bench run --task doublet --methods scrublet,cxds --datasets my.h5ad --seeds 5",
            "bench run --task doublet --methods solo --set solo.vae_epochs=20 --out results",
        ),
    )(run)
    app.command(hidden=True)(trial)


def run(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task; see `bench list tasks`.",
            metavar="NAME",
            rich_help_panel=_WHAT,
            autocompletion=complete.task,
        ),
    ] = None,
    tracks: Annotated[
        list[str] | None,
        typer.Option(
            help="Tracks, comma-separated. Default: the task's usual ones.",
            metavar="NAMES",
            rich_help_panel=_WHAT,
            autocompletion=complete.tracks,
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Methods, comma-separated; `all` (default), or `controls`, which always run.",
            metavar="NAMES",
            rich_help_panel=_WHAT,
            autocompletion=complete.methods,
        ),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            help="Datasets or files, comma-separated. Default: the built-in cohort.",
            metavar="NAMES",
            rich_help_panel=_WHAT,
            autocompletion=complete.datasets,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Named parameter set of the methods that have it.",
            metavar="NAME",
            rich_help_panel=_WHAT,
            autocompletion=complete.presets_of,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="METHOD.PARAMETER=VALUE, as often as you like.", metavar="TEXT", rich_help_panel=_WHAT
        ),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", help=PLUGIN, metavar="FILE", rich_help_panel=_WHAT)
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Method seeds; deterministic methods run once.", metavar="N", rich_help_panel=_WHAT),
    ] = 1,
    split_seeds: Annotated[
        int, typer.Option(min=1, help="Replicates of the donor split.", metavar="N", rich_help_panel=_WHAT)
    ] = 1,
    sim_seeds: Annotated[
        int, typer.Option(min=1, help="Replicates of the simulation.", metavar="N", rich_help_panel=_WHAT)
    ] = 1,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at once. Default: cores / threads.", metavar="N", rich_help_panel=_HOW),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Thread budget of every trial.", metavar="N", rich_help_panel=_HOW)
    ] = 1,
    timeout: Annotated[
        str,
        typer.Option(help="Wall-clock limit of a trial, such as 90s, 15m, 2h.", metavar="TIME", rich_help_panel=_HOW),
    ] = "1h",
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit of a trial, such as 8gb. Default: its share of this machine.",
            metavar="SIZE",
            rich_help_panel=_HOW,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.", metavar="NAME", rich_help_panel=_HOW)] = "cpu",
    engine: Annotated[str, typer.Option(help="local or slurm.", metavar="NAME", rich_help_panel=_HOW)] = "local",
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for sbatch, such as partition=short.", metavar="TEXT", rich_help_panel=_HOW),
    ] = None,
    no_build_env: Annotated[
        bool,
        typer.Option(
            "--no-build-env",
            help="Do not build the environment of a method that brings its own.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    force: Annotated[
        list[str] | None,
        typer.Option(
            help="Run these methods (or `all`) again even if finished.",
            metavar="NAMES",
            rich_help_panel=_HOW,
            autocompletion=complete.methods,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder. Default: bench-runs/TASK.", metavar="FOLDER", rich_help_panel=_AFTER),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Render no report at the end.", rich_help_panel=_AFTER)
    ] = False,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Exit with 0 even if trials failed.", rich_help_panel=_AFTER)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the report's path only.", rich_help_panel=_AFTER)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print scores, statuses and paths as JSON, for scripts.", rich_help_panel=_AFTER),
    ] = False,
) -> None:
    """Run methods on a task and render one report.

    Finished trials are never run again: the same command goes on where it stopped. The exit code is 1 if a planned
    trial failed or a dataset could not be read, 2 if the request itself cannot be run.
    """
    signal.signal(signal.SIGTERM, interrupt)
    task = _checked(ctx, task, [*names(methods), *names(force)])
    from bench.api.run import run as run_methods
    from bench.api.watch import SILENT, Display
    from bench.cli import summary
    from bench.cli.live import LiveTable, build_shown

    try:
        done = run_methods(
            task,
            names(methods) if methods else "all",
            [os.path.expanduser(name) for name in names(datasets)] or None,
            tracks=names(tracks) or None,
            seeds=seeds,
            split_seeds=split_seeds,
            sim_seeds=sim_seeds,
            preset=preset,
            params=assignments(set_),
            out=out,
            jobs=jobs,
            threads=threads,
            timeout_s=seconds(timeout),
            memory_mb=megabytes(memory),
            device=device,
            engine=engine,
            slurm_options=sbatch_options(slurm_option),
            build_env=not no_build_env,
            force=names(force),
            plugins=plugin or (),
            display=SILENT if quiet or as_json else Display(LiveTable, build_shown),
            command=["bench", *sys.argv[1:]],
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; finished trials are kept, the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    result = done.result
    assert result is not None  # of a call
    render = None if no_report else partial(_render, done)
    if quiet or as_json:
        html = render() if render else None
        typer.echo(json.dumps(summary.as_json(result, html), indent=1) if as_json else str(html or done.folder))
    else:
        summary.print_summary(result, render)
    if not (result.complete or allow_failures):
        raise typer.Exit(1)


def _checked(ctx: typer.Context, task: str | None, methods: list[str]) -> str:
    """The task, if nothing was given that belongs elsewhere."""
    from bench.cli import mistakes

    if ctx.args:
        raise mistakes.stray(ctx.args, sys.argv[2:])
    if task is None:
        raise mistakes.no_task()
    for name in methods:
        if name.endswith(".py"):
            raise mistakes.file_as_method(name, f"bench run --task {task} --methods")
    return task


def trial(spec: Path) -> None:
    """Run one trial from its specification file (what an engine starts)."""
    signal.signal(signal.SIGTERM, interrupt)
    from bench.environments.builder import in_use
    from bench.environments.doctor import why_no_gpu
    from bench.execution.trial import TrialRunner
    from bench.plan.grid import Planned
    from bench.plan.registry import Registry
    from bench.results.records import Limits, TrialSpec
    from bench.results.store import Store

    job = json.loads(spec.read_text())
    limits = Limits.model_validate(job["limits"])
    unavailable = job["unavailable"] or (limits.device == "cuda" and why_no_gpu()) or ""
    planned = Planned(job["key"], TrialSpec.model_validate(job["spec"]), unavailable)
    registry = Registry([Path(p) for p in job["plugins"]])
    for path in job["datasets"]:
        registry.dataset(path)
    store = Store.open(Path(job["run"]))
    with in_use([planned.spec.environment]), TrialRunner(registry, store, limits) as runner:
        record = runner.execute(planned)
    typer.echo(f"{planned.key} {record.status if record else 'aborted'}")


def _render(done: Run) -> Path | None:
    if not done.store.is_writable and not (done.folder / "report.html").exists():
        return None
    return done.report().path
