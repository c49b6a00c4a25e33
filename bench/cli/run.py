"""``bench run`` and ``bench trial``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import AsJson, Plugins, assignments, megabytes, names, sbatch_options, seconds
from bench.cli.signals import interrupt

if TYPE_CHECKING:
    from bench.api.result import Run
    from bench.execution.run import Result


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        epilog="Example: bench run --task doublet --methods scrublet,cxds --datasets my.h5ad --seeds 5 --out results"
    )(run)
    app.command(hidden=True)(trial)


def run(
    task: Annotated[str, typer.Option(help="Task to run; see `bench list tasks`.")],
    tracks: Annotated[str | None, typer.Option(help="Tracks, comma-separated. Default: the task's usual ones.")] = None,
    methods: Annotated[str, typer.Option(help="Methods, comma-separated, or `all`. Controls always run.")] = "all",
    datasets: Annotated[
        str | None, typer.Option(help="Datasets or paths, comma-separated. Default: the built-in cohort.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Method seeds; deterministic methods run once.")] = 1,
    split_seeds: Annotated[int, typer.Option(min=1, help="Replicates of the donor split.")] = 1,
    sim_seeds: Annotated[int, typer.Option(min=1, help="Replicates of the simulation.")] = 1,
    preset: Annotated[str | None, typer.Option(help="Named parameter set of the methods that have it.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="METHOD.PARAMETER=VALUE; may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: bench-runs/TASK.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at once. Default: cores / threads.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Thread budget of every trial.")] = 1,
    timeout: Annotated[str, typer.Option(help="Wall-clock limit of a trial, such as 90s, 15m, 2h.")] = "1h",
    memory: Annotated[
        str | None, typer.Option(help="Memory limit of a trial, such as 8gb. Default: its share of this machine.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    engine: Annotated[str, typer.Option(help="local or slurm.")] = "local",
    slurm_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for sbatch, such as partition=short.")
    ] = None,
    build_env: Annotated[
        bool, typer.Option(help="Build the environment of a method that brings its own, where it is not built yet.")
    ] = True,
    force: Annotated[str | None, typer.Option(help="Run these methods (or `all`) again even if finished.")] = None,
    allow_failures: Annotated[bool, typer.Option(help="Exit with 0 even if trials failed.")] = False,
    report: Annotated[bool, typer.Option(help="Render the report at the end.")] = True,
    plugin: Plugins = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the report's path only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run methods on a task and render one report.

    Finished trials are never run again: the same command goes on where it stopped. The exit code is 1 if a planned
    trial failed or a dataset could not be read, 2 if the request itself cannot be run.
    """
    signal.signal(signal.SIGTERM, interrupt)
    from bench.api.run import run as run_methods
    from bench.api.watch import SILENT, Display
    from bench.cli.live import LiveTable, build_shown

    try:
        done = run_methods(
            task,
            names(methods),
            names(datasets) or None,
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
            build_env=build_env,
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
    _summary(result, _render(done) if report else None, quiet=quiet, as_json=as_json)
    if not (result.complete or allow_failures):
        raise typer.Exit(1)


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


def _summary(result: Result, html: Path | None, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "run": str(result.store.root),
                    "report": str(html) if html else None,
                    "complete": result.complete,
                    "ran": result.ran,
                    "counts": dict(result.counts),
                    "unreadable": {name: str(error) for name, error in result.plan.unreadable.items()},
                    "failures": [
                        {"trial": r.key, "method": r.spec.method, "track": r.spec.track, "dataset": r.spec.dataset}
                        | {"status": r.status, "detail": r.detail}
                        for r in result.failures
                    ],
                },
                indent=1,
            )
        )
        return
    if quiet:
        typer.echo(str(html or result.store.root))
        return
    from bench.cli.live import print_summary

    print_summary(result, html)
