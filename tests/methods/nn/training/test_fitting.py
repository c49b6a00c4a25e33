import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.methods.nn.expression import log1p_cp10k
from bench.methods.nn.training.fitting import DivergedError, Fitting
from bench.methods.nn.training.pretraining import MaskedExpression, new_model
from bench.methods.nn.training.training_config import TrainingConfig

TWO_PROCESSES = Path(__file__).with_name("two_processes.py")


def fitting_of(kind, config, fabric, training, seed=0):
    return Fitting(fabric, new_model(kind, config, seed), training, steps_per_epoch=5, seed=seed)


def one_step(fitting, kind, cells, rows=slice(0, 30)):
    objective = MaskedExpression(kind)
    expression = torch.from_numpy(log1p_cp10k(cells.X[rows]))
    return fitting.take_step(objective.batch(expression, fitting.training, fitting.generator()), objective)


def gradients(fitting):
    return {name: p.grad.clone() for name, p in fitting.bare.named_parameters()}


def test_the_loss_is_the_mean_over_the_masked_entries_of_the_whole_batch(kind, config, fabric, training, two_kinds):
    fitting = fitting_of(kind, config, fabric, training)
    objective = MaskedExpression(kind)
    x = torch.from_numpy(log1p_cp10k(two_kinds.X[:30]))
    x, scored, hidden = objective.batch(x, training, fitting.generator())
    with torch.no_grad():
        expected = ((fitting.bare(x, hidden) - x)[scored] ** 2).mean()
    assert one_step(fitting, kind, two_kinds).loss == pytest.approx(float(expected), rel=1e-5)


def test_the_gradient_does_not_depend_on_the_cells_of_a_forward_pass(kind, config, fabric, training, two_kinds):
    whole, parts = (fitting_of(kind, config, fabric, replace(training, micro_batch=n)) for n in (30, 7))
    a, b = one_step(whole, kind, two_kinds), one_step(parts, kind, two_kinds)
    assert a.loss == pytest.approx(b.loss, rel=1e-5)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradient, gradients(parts)[name], rtol=1e-4, atol=1e-6)


def test_a_training_is_that_of_a_plain_loop(kind, config, fabric, two_kinds):
    """AdamW with decay of everything, clipped gradients and the cosine, as the official configuration has them."""
    training = TrainingConfig(epochs=2, batch_size=16, micro_batch=5, lr=1e-3, clip=0.3)
    fitting = Fitting(fabric, new_model(kind, config, 0).double(), training, steps_per_epoch=5, seed=0)
    plain, objective = new_model(kind, config, 0).double(), MaskedExpression(kind)
    parameters = list(plain.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for t in range(10):
        x = torch.from_numpy(log1p_cp10k(two_kinds.X[12 * t : 12 * t + 12])).double()
        x, scored, hidden = objective.batch(x, training, fitting.generator())
        report = fitting.take_step((x, scored, hidden), objective)
        loss = ((plain(x, hidden) - x)[scored] ** 2).mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        lr = 1e-6 + (1e-3 - 1e-6) * t / 0.1 if t < 0.1 else 1e-4 + 9e-4 * (1 + math.cos(math.pi * t / 10)) / 2
        assert report.grad_norm == pytest.approx(float(norm), rel=1e-6)
        assert norm > 0.3
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                g = g * 0.3 / (norm + 1e-6)
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.95).add_(0.05 * g**2)
                p.mul_(1 - 0.1 * lr)
                p.sub_(lr * (m / (1 - 0.9 ** (t + 1))) / (torch.sqrt(v / (1 - 0.95 ** (t + 1))) + 1e-8))
    for (name, found), expected in zip(fitting.bare.named_parameters(), parameters, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, msg=name)


def test_two_processes_give_the_gradients_of_one(kind, config, fabric, training, two_kinds, tmp_path):
    np.savez(tmp_path / "cells.npz", X=two_kinds.X.toarray())
    # 30 cells on 2 processes, then 1 cell: the second process has none of it and must take part all the same.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [*command, str(TWO_PROCESSES), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reports = json.loads((tmp_path / "reports.json").read_text())
    fitting = fitting_of(kind, config, fabric, training)
    for i, rows in enumerate((slice(0, 30), slice(30, 31))):
        alone = one_step(fitting, kind, two_kinds, rows)
        assert reports[i]["world_size"] == 2
        assert reports[i]["loss"] == pytest.approx(alone.loss, rel=1e-5)
        assert reports[i]["grad_norm"] == pytest.approx(alone.grad_norm, rel=1e-4)
        theirs = np.load(tmp_path / f"gradients{i}.npz")
        assert set(theirs) == set(gradients(fitting))
        for name, gradient in gradients(fitting).items():
            np.testing.assert_allclose(theirs[name], gradient.numpy(), rtol=1e-3, atol=1e-6)


def test_a_loss_that_is_no_number_stops_before_the_parameters_change(kind, config, fabric, training, two_kinds):
    fitting = fitting_of(kind, config, fabric, training)
    with torch.no_grad():
        fitting.bare.regressor.bias.fill_(float("nan"))
    before = {name: p.clone() for name, p in fitting.bare.named_parameters()}
    with pytest.raises(DivergedError, match="lower learning rate"):
        one_step(fitting, kind, two_kinds)
    for name, p in fitting.bare.named_parameters():
        torch.testing.assert_close(p, before[name], equal_nan=True)


def test_only_the_chosen_parameters_are_trained(kind, config, fabric, training, two_kinds):
    model = new_model(kind, config, 0)
    fitting = Fitting(fabric, model, training, steps_per_epoch=5, seed=0, trained=[model.regressor.weight])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    one_step(fitting, kind, two_kinds)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"regressor.weight"}
