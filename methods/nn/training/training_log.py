"""The log of a training: a CSV with one row per optimiser step, and its picture."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import IO, Self

from bench.methods.nn.training.fitting import StepReport
from bench.system import replacing

LOG, PICTURE = "log.csv", "loss.png"

_COLUMNS = ("step", "epoch", "cells", "loss", "lr", "grad_norm", "seconds")
_RECENT = 50


def is_log(file: Path) -> bool:
    """Return whether a file, if there is one, is a log of a training."""
    return file.is_file() and file.read_bytes().splitlines()[:1] == [",".join(_COLUMNS).encode()]


class TrainingLog:
    """Rows of ``log.csv`` in ``folder``, in step with the training even if it is killed and resumed.

    Parameters
    ----------
    folder
        None on processes that do not write.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._handle: IO[str] | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()

    def start(self, step: int) -> None:
        """Drop the rows of steps that will be taken again, and open the file."""
        if self._folder is None:
            return
        rows = [row for row in self._rows() if int(row["step"]) < step]
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / LOG) as aside, aside.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, _COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        self._handle = (self._folder / LOG).open("a", newline="", buffering=1)
        self._last = time.monotonic()

    def write(self, report: StepReport, steps_per_epoch: int) -> None:
        """Add a row."""
        if self._handle is None:
            return
        now = time.monotonic()
        epoch = report.step // steps_per_epoch
        numbers = (f"{report.loss!r}", f"{report.lr:.6g}", f"{report.grad_norm:.6g}", f"{now - self._last:.4f}")
        csv.writer(self._handle).writerow([report.step, epoch, report.cells, *numbers])
        self._last = now

    def summary(self) -> dict[str, float]:
        """Mean loss of the last steps, cells per second over the whole training, seconds."""
        rows = self._rows()
        if not rows:
            return {}
        seconds = sum(float(row["seconds"]) for row in rows)
        recent = [float(row["loss"]) for row in rows[-_RECENT:]]
        cells = sum(int(row["cells"]) for row in rows)
        return {
            "final_loss": sum(recent) / len(recent),
            "cells_per_s": round(cells / max(seconds, 1e-9), 3),
            "seconds": round(seconds, 1),
        }

    def draw(self) -> None:
        """Draw the loss over the cells seen to ``loss.png``."""
        if self._folder is None:
            return
        import numpy as np
        from matplotlib.figure import Figure

        rows = self._rows()
        loss = np.array([float(row["loss"]) for row in rows])
        cells = np.cumsum([int(row["cells"]) for row in rows])
        width = max(1, len(loss) // 50)
        smooth = np.convolve(loss, np.full(width, 1 / width), mode="valid")
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.plot(cells, loss, color="0.8", linewidth=0.8, label="each step")
        axes.plot(cells[width - 1 :], smooth, color="#0072B2", label=f"mean of {width} steps")
        axes.set_xlabel("cells seen")
        axes.set_ylabel("loss of masked genes")
        axes.set_ylim(0, np.quantile(loss, 0.99) * 1.05)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        with replacing(self._folder / PICTURE) as aside:
            figure.savefig(aside, dpi=150)

    def _rows(self) -> list[dict[str, str]]:
        """Whole rows on disk; the last may be half-written."""
        if self._folder is None or not (self._folder / LOG).exists():
            return []
        with (self._folder / LOG).open(newline="") as handle:
            return [row for row in csv.DictReader(handle) if row["seconds"] not in (None, "")]
