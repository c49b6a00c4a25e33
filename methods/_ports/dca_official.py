"""Calls dca 0.3.4 in its own environment: unmodified with TensorFlow 2.4, adapted to TensorFlow 2.15 where it must be.

Runs on Python 3.8.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix


def denoise(
    X: csr_matrix, *, random_state: int, threads: int, report: Callable[[float, str], None], **options: Any
) -> np.ndarray:
    """Denoised mean counts (cells, genes), float32, of cells and genes all of which have counts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np
    import tensorflow as tf
    from anndata import AnnData

    # dca() does this after seeding, and TensorFlow forgets the seed when the mode changes.
    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.keras.backend.clear_session()  # the model of an earlier round
    if tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 5):
        _adapt(tf, threads)
    from dca.api import dca

    _tell_epochs(report)
    adata = AnnData(X.astype(np.float32))
    dca(adata, random_state=random_state, threads=threads, **options)
    return np.asarray(adata.X, dtype=np.float32)


def _tell_epochs(report: Callable[[float, str], None]) -> None:
    """Progress by the callback that ends training early: dca makes its callbacks itself and takes none of ours."""
    import dca.train
    from keras.callbacks import EarlyStopping

    class Telling(EarlyStopping):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            report((epoch + 1) / self.params["epochs"], f"epoch {epoch + 1}, validation loss {logs['val_loss']:.4g}")
            super().on_epoch_end(epoch, logs)

    dca.train.EarlyStopping = Telling


def _adapt(tf: Any, threads: int) -> None:
    """Make what dca imports from Keras 2.4 and around it importable with Keras 2.15; its own code stays as it is."""
    import keras

    def stub(name: str, **content: Any) -> None:
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module

    sys.modules["keras.objectives"] = keras.losses
    stub("keras.engine")
    stub("keras.engine.topology", Layer=keras.layers.Layer)
    stub("keras.engine.base_layer", InputSpec=keras.layers.InputSpec)
    # Search of hyperparameters, which is imported and never called.
    stub("kopt", CompileFN=None, test_fn=None)
    stub("hyperopt", fmin=None, tpe=None, hp=None, Trials=None)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    # dca.train makes a session of its own only to set the threads; variables of the model live in another.
    tf.compat.v1.keras.backend.set_session = lambda session: None
    import dca.train

    dca.train.opt = keras.optimizers.legacy
