"""Tables, figures and the one HTML file, read from a run folder and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["build_index", "build_report"]


def build_report(run_dir: Path, out: Path | None = None, formats: Sequence[str] = ("png",)) -> Path:
    """Write the report of a run: one HTML file, and a file per figure and format in ``figures`` beside it.

    Parameters
    ----------
    run_dir
        The run folder.
    out
        Where the HTML goes; ``report.html`` in the run folder if None.
    formats
        Among ``png``, ``pdf``, ``svg``; none: only the HTML.

    Returns
    -------
    The path of the HTML file.

    Raises
    ------
    bench.errors.BenchError
        If ``run_dir`` is not a run folder, or a file in it cannot be read.
    """
    from bench.reports.page.html import write

    return write(run_dir, run_dir / "report.html" if out is None else out, formats)


def build_index(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write one page over several runs: a summary of each task, with links to the runs' own reports.

    Parameters
    ----------
    run_dirs
        The run folders; a report that is not there is named as missing.
    out
        Where the HTML goes.

    Raises
    ------
    bench.errors.BenchError
        If one of ``run_dirs`` is not a run folder, or a file in it cannot be read.
    """
    from bench.reports.page.index import write_index

    return write_index(run_dirs, out)
