"""scvi-tools in a trial: seeded, quiet, on the trial's threads and device, its epochs told as progress."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from bench.method import Context


@contextmanager
def scvi_tools(ctx: Context) -> Iterator[None]:
    """Seed scvi-tools, and keep its warnings and those of Lightning out of the log."""
    import scvi
    import torch

    torch.set_num_threads(ctx.threads)  # with more, torch's threads spin and the result differs
    scvi.settings.seed = ctx.seed
    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def training(ctx: Context, epochs: int, start: float = 0.0, share: float = 0.9) -> dict[str, Any]:
    """Arguments of a model's ``train``: nothing written, and each of ``epochs`` told as a part of ``share``."""
    from lightning.pytorch.callbacks import LambdaCallback

    def tell(trainer: Any, _: Any) -> None:
        done = trainer.current_epoch + 1
        ctx.progress(start + share * done / epochs, f"epoch {done}")

    return {
        "max_epochs": epochs,
        "accelerator": "gpu" if ctx.device == "cuda" else "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": str(ctx.scratch),
        "callbacks": [LambdaCallback(on_train_epoch_end=tell)],
    }


def default_epochs(n_cells: int) -> int:
    """Epochs that scvi-tools trains by default."""
    from scvi.model._utils import get_max_epochs_heuristic

    return int(get_max_epochs_heuristic(n_cells))


def anndata_of(X: csr_matrix, **obs: Any) -> Any:
    """Counts as float32 under numbered names, with columns of ``obs``."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    rows, genes = (pd.RangeIndex(n).astype(str) for n in X.shape)
    return ad.AnnData(X.astype(np.float32), pd.DataFrame(obs, index=rows), pd.DataFrame(index=genes))
