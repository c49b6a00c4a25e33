"""What each process of the test of two does; run by torch.distributed.run."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.models.architectures import architecture
from bench.methods.nn.models.scmamba import ScMambaConfig
from bench.methods.nn.training.fitting import Fitting, make_fabric
from bench.methods.nn.training.pretraining import MaskedExpression, new_model
from bench.methods.nn.training.training_config import TrainingConfig

folder = Path(sys.argv[1])
X = csr_matrix(np.load(folder / "cells.npz")["X"])
training = TrainingConfig(epochs=3, batch_size=16, micro_batch=16, lr=3e-3)
fabric = make_fabric(training, "cpu", 2)
fabric.launch()
kind = architecture("scmamba")
model = new_model(kind, ScMambaConfig(X.shape[1], d_model=8, n_layers=1, d_state=2, vocabulary="tight"), 0)
fitting = Fitting(fabric, model, training, steps_per_epoch=5, seed=0)
objective = MaskedExpression(kind)
reports = []
for i, rows in enumerate((slice(0, 30), slice(30, 31))):
    expression = torch.from_numpy(log1p_cp10k(X[rows]))
    report = fitting.take_step(objective.batch(expression, training, fitting.generator()), objective)
    reports.append({**asdict(report), "world_size": fabric.world_size})
    if fabric.is_global_zero:
        np.savez(folder / f"gradients{i}.npz", **{name: p.grad.numpy() for name, p in model.named_parameters()})
if fabric.is_global_zero:
    (folder / "reports.json").write_text(json.dumps(reports))
fabric.barrier()
# Else gloo may abort a process whose partner has gone. Its threads end with the last reference, and DDP holds one: a
# thread that lives on until Python ends can abort the process as well.
del fitting, model
torch.distributed.destroy_process_group()
