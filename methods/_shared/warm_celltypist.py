"""CellTypist with the neighbour graph of its clustering compiled: imported by the fork server, once for all trials.

umap-learn keeps no compiled code on disk, so every process would compile it anew, for 13 of its 15 CPU seconds.
"""

import os
import tempfile
import warnings

os.environ.setdefault(  # else importing it makes a folder in $HOME
    "CELLTYPIST_FOLDER", os.path.join(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir(), "celltypist")
)

import celltypist  # noqa: F401
import numba
import numpy as np
import scanpy as sc
from anndata import AnnData

numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]  # the one whose threads a fork may not inherit
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sc.pp.neighbors(AnnData(np.random.default_rng(0).normal(size=(60, 10)).astype(np.float32)), use_rep="X")
