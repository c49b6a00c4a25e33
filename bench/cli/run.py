"""``bench run`` and ``bench trial``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import complete
from bench.cli.mistakes import refuse_mistakes
from bench.cli.options import PLUGIN, RUNS, assignments, examples, names, sbatch_options
from bench.cli.signals import interrupt
from bench.plan.quantities import megabytes, seconds

if TYPE_CHECKING:
    from bench.api.result import Run
    from bench.execution.run import Result


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
            "bench run --plan plan.toml",
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
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A file that says all this, of several tasks (docs/plan.md).", metavar="FILE", rich_help_panel=_WHAT
        ),
    ] = None,
    write_plan: Annotated[
        Path | None,
        typer.Option(
            help="Run nothing; write what this command means as such a file.", metavar="FILE", rich_help_panel=_WHAT
        ),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", help=PLUGIN, metavar="FILE", rich_help_panel=_WHAT)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Seeds of stochastic methods. Default: 1; in small data some tasks take more, if a method is quick.",
            metavar="N",
            rich_help_panel=_WHAT,
        ),
    ] = None,
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
    refuse_mistakes(ctx, task, plan, [*names(methods), *names(force)])
    from bench.api.plan import run_plan
    from bench.api.plan import write_plan as write
    from bench.api.run import run as run_task
    from bench.api.watch import SILENT, Display
    from bench.cli import summary
    from bench.cli.live import LiveTable, build_shown

    asked: dict[str, Any] = {
        "methods": names(methods) if methods else "all",
        "datasets": [os.path.expanduser(name) for name in names(datasets)] or None,
        "tracks": names(tracks) or None,
        "seeds": seeds,
        "split_seeds": split_seeds,
        "sim_seeds": sim_seeds,
        "preset": preset,
        "params": assignments(set_),
        "threads": threads,
        "timeout_s": seconds(timeout),
        "memory_mb": megabytes(memory),
        "device": device,
        "plugins": plugin or (),
    }
    how: dict[str, Any] = {
        "out": out,
        "jobs": jobs,
        "engine": engine,
        "slurm_options": sbatch_options(slurm_option),
        "build_env": not no_build_env,
        "force": names(force),
        "display": SILENT if quiet or as_json else Display(LiveTable, build_shown),
        "command": ["bench", *sys.argv[1:]],
    }
    if write_plan is not None:
        write(
            write_plan,
            str(task),
            methods=names(methods) if methods else ["all"],
            datasets=asked["datasets"] or (),
            tracks=names(tracks),
            method_seeds=seeds,
            split_seeds=split_seeds,
            simulation_seeds=sim_seeds,
            preset=preset,
            params=asked["params"],
            plugins=plugin or (),
            out=out,
            threads=threads,
            timeout=timeout,
            memory=memory,
            device=device,
        )
        typer.echo(f"wrote {write_plan}; run it with: bench run --plan {shlex.quote(str(write_plan))}")
        return
    runs, told = [], not (quiet or as_json)
    try:
        for done in run_plan(plan, **how) if plan else [run_task(str(task), **asked, **how)]:
            runs.append(done)
            if told:
                summary.print_scores(_result(done))
    except KeyboardInterrupt:
        typer.echo("interrupted; finished trials are kept, the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if not no_report:
        for done in runs[:-1]:  # the last draws its own
            _result(done).draw()
    html = None if no_report else summary.rendered(partial(_render, runs[-1]), told)
    if as_json:
        each = [summary.as_json(_result(done), html) for done in runs]
        typer.echo(json.dumps({"plan": str(plan), "tasks": each} if plan else each[0], indent=1))
    elif quiet:
        typer.echo(str(html or runs[-1].folder))
    if not (allow_failures or all(_result(done).complete for done in runs)):
        raise typer.Exit(1)


def _result(done: Run) -> Result:
    assert done.result is not None  # of a call
    return done.result


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
