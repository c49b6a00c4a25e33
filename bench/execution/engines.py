"""Engines: anything that runs planned trials and says when each is done."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError
from bench.plan.grid import Planned
from bench.plan.registry import Registry
from bench.results.records import Limits, TrialRecord
from bench.results.store import Store
from bench.sandbox.progress import Progress, read_progress
from bench.system import replacing

_LOG = logging.getLogger(__name__)


class Watcher(Protocol):
    """Listener to what happens (the live table, or nobody)."""

    def preparing(self, planned: Planned) -> None:
        """A trial is next: its problem is built, or waited for."""

    def started(self, planned: Planned) -> None:
        """A trial begins; not called for one that ends before."""

    def finished(self, planned: Planned, record: TrialRecord | None) -> None:
        """A trial has ended; None when its record never appeared."""

    def tick(self, progress: Callable[[Planned], Progress]) -> None:
        """Called a few times a second; ``progress`` tells how far a running trial is."""


class LocalEngine:
    """Runs trials on this machine, ``jobs`` at a time."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(
        self, registry: Registry, store: Store, trials: Sequence[Planned], limits: Limits, watcher: Watcher
    ) -> None:
        """Run ``trials``; each is saved as it ends, so an interruption loses those in flight only."""
        from bench.execution.trial import TrialRunner  # pandas: not for a run that is finished

        with TrialRunner(registry, store, limits) as runner, ThreadPoolExecutor(self.jobs) as pool:

            def run_one(planned: Planned) -> None:
                watcher.preparing(planned)
                try:
                    record = runner.execute(planned, lambda: watcher.started(planned))
                except BenchError:  # no record can be kept any more
                    raise
                except Exception:  # noqa: BLE001 - a fault of ours, which ends this trial and no other
                    _LOG.exception("trial %s has no record", planned.key)
                    watcher.finished(planned, None)
                    return
                if record is not None:
                    watcher.finished(planned, record)

            futures = {pool.submit(run_one, planned) for planned in trials}
            try:
                while futures:
                    done, futures = wait(futures, timeout=0.25, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    watcher.tick(lambda planned: read_progress(runner.folder(planned.key)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                runner.abort()
                raise


class SlurmEngine:
    """Runs every trial as a SLURM job through submitit: ``bench trial SPEC.json``, on a shared file system.

    Parameters
    ----------
    options
        Options for ``sbatch`` as submitit names them, for example ``{"slurm_partition": "short"}``.
    plugins, datasets
        Files and paths that a job must be told of, since no registry on its side knows them.
    cluster
        ``slurm``, or ``local`` to try the same path on this machine.
    """

    def __init__(
        self,
        options: dict[str, Any],
        plugins: Sequence[Path] = (),
        datasets: Sequence[str] = (),
        cluster: str = "slurm",
    ) -> None:
        self.options, self.plugins, self.datasets, self.cluster = options, plugins, datasets, cluster

    def run(
        self, registry: Registry, store: Store, trials: Sequence[Planned], limits: Limits, watcher: Watcher
    ) -> None:
        """Submit ``trials`` and wait; one job's failure never touches another's."""
        try:
            import submitit
        except ImportError as error:
            raise BenchError("submitit is missing", fix="pip install 'scmamba-bench[slurm]'") from error
        folder = store.root / "slurm"
        executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        minutes = int(limits.timeout_s // 60) + 15  # loading the dataset and scoring come on top
        memory = {"mem_gb": limits.memory_mb / 1024 + 4} if limits.memory_mb else {}
        executor.update_parameters(
            timeout_min=minutes, cpus_per_task=limits.threads, **memory, name="bench", **self.options
        )
        jobs = {}
        for planned in trials:
            spec = write_spec(folder, store, planned, limits, self.plugins, self.datasets)
            command = [sys.executable, "-P", "-m", "bench.cli", "trial", str(spec)]
            jobs[executor.submit(submitit.helpers.CommandFunction(command, verbose=False))] = planned
            watcher.started(planned)
        while jobs:
            for job in [job for job in jobs if job.done()]:
                planned = jobs.pop(job)
                watcher.finished(planned, store.record(planned.key))
            watcher.tick(lambda _: Progress(message="submitted"))
            time.sleep(1.0)


def write_spec(
    folder: Path,
    store: Store,
    planned: Planned,
    limits: Limits,
    plugins: Sequence[Path] = (),
    datasets: Sequence[str] = (),
) -> Path:
    """Write the file that ``bench trial`` runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{planned.key}.json"
    content = {
        "run": str(store.root.resolve()),
        "key": planned.key,
        "spec": planned.spec.model_dump(mode="json"),
        "unavailable": planned.unavailable,
        "limits": limits.model_dump(mode="json"),
        "plugins": [str(Path(p).resolve()) for p in plugins],
        "datasets": [str(Path(d).resolve()) for d in datasets if Path(d).exists()],
    }
    with replacing(file) as aside:
        aside.write_text(json.dumps(content, indent=1))
    return file
