"""What a run gives back."""

from __future__ import annotations

from pathlib import Path

from bench.execution.run import Result
from bench.results.store import Store


class Run:
    """A run folder and what is in it.

    Parameters
    ----------
    store
        The run folder.
    result
        What a call of :func:`bench.run` did; None of a folder that was loaded.
    """

    def __init__(self, store: Store, result: Result | None = None) -> None:
        self.store, self.result = store, result

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.store.root

    def render(self) -> Path | None:
        """Write the report if it is not there or older than the results; None if it cannot be written."""
        html = self.folder / "report.html"
        if not self.store.is_writable:
            return html if html.exists() else None
        if self._is_older(html):
            from bench.reports import build_report

            html = build_report(self.folder)
        return html

    def _is_older(self, html: Path) -> bool:
        tables = self.folder / "results.parquet"
        return not html.exists() or (tables.exists() and html.stat().st_mtime_ns < tables.stat().st_mtime_ns)
