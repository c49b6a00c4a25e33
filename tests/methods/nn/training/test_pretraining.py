import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import bench
from safetensors import SafetensorError
from safetensors.torch import load_file

from bench.errors import BenchError
from bench.methods.nn.training import resume_state as resume_state_module
from bench.methods.nn.training.batches import CellBatches
from bench.methods.nn.training.fitting import DivergedError, Fitting
from bench.methods.nn.training.pretraining import MaskedExpression, new_model, pretrain, pretrain_to
from bench.methods.nn.training.pretraining_cells import PretrainingCells
from bench.methods.nn.training.resume_state import ResumeStates

SETTINGS = ["--set", "d_model=8", "--set", "n_layers=1", "--set", "d_state=2"]


def losses(folder):
    with (folder / "log.csv").open() as handle:
        return [(row["step"], row["loss"], row["lr"], row["grad_norm"]) for row in csv.DictReader(handle)]


def mean_error(kind, model, cells, training):
    """Squared error of masked genes that were not seen in training's masks."""
    from bench.methods.nn.expression import log1p_cp10k

    expression = torch.from_numpy(log1p_cp10k(cells.X))
    _, scored, hidden = MaskedExpression(kind).batch(expression, training, torch.Generator().manual_seed(99))
    with torch.no_grad():
        return float((model(expression, hidden) - expression)[scored].square().mean()), expression, scored


def test_it_learns_which_genes_go_together(kind, config, fabric, training, batches, two_kinds):
    training = replace(training, epochs=60, lr=1e-2)
    model = pretrain(fabric, kind, new_model(kind, config, 0), batches, training, 0)
    error, expression, scored = mean_error(kind, model, two_kinds, training)
    gene_mean = torch.stack([x[x > 0].mean() for x in expression.T])
    baseline = float((gene_mean.expand_as(expression) - expression)[scored].square().mean())
    assert error < 0.8 * baseline


def test_a_training_stopped_anywhere_goes_on_identically(kind, config, fabric, training, batches, tmp_path):
    undisturbed, seen, stops = [], [], [4, 13]
    whole = pretrain(
        fabric, kind, new_model(kind, config, 0), batches, training, 0, on_step=lambda f, r: undisturbed.append(r)
    )

    def step(fitting, report):
        seen.append(report)
        if stops and report.step == stops[0]:
            del stops[0]
            raise KeyboardInterrupt

    def go(seed_of_weights):
        model = new_model(kind, config, seed_of_weights)
        kept = ResumeStates(tmp_path / "training", {"a": 1})
        return pretrain(fabric, kind, model, batches, training, 0, resume_states=kept, save_every_s=0, on_step=step)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            go(0)
    resumed = go(5)
    assert len(seen) == len(undisturbed) + 2
    assert [{r.step: r for r in seen}[r.step] for r in undisturbed] == undisturbed
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_the_command_killed_twice_ends_as_if_nothing_had_happened(tmp_path, cohort_cache):
    command = ["pretrain", "scmamba", "--preset", "tiny", "--max-steps", "12", "-q"]
    command += ["--batch-size", "8", "--threads", "1", "--save-every", "0.001s", *SETTINGS, "--out"]
    assert bench(*command, tmp_path / "whole").returncode == 0
    killed = tmp_path / "killed"
    for rows in (3, 7):
        process = subprocess.Popen([sys.executable, "-m", "bench.cli", *command, str(killed)])
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            if (killed / "log.csv").exists() and len((killed / "log.csv").read_text().splitlines()) > rows:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
        assert not (killed / "card.json").exists()
    assert bench(*command, killed).returncode == 0
    assert losses(killed) == losses(tmp_path / "whole")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (killed, tmp_path / "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not (killed / "training").exists()
    assert (killed / "loss.png").stat().st_size > 5000


@pytest.fixture
def fitting(kind, config, fabric, training):
    return Fitting(fabric, new_model(kind, config, 0), training, steps_per_epoch=8, seed=0)


def test_damaged_and_half_written_snapshots_are_passed_over(fitting, tmp_path):
    kept = ResumeStates(tmp_path / "training", {"a": 1})
    for fitting.step in (1, 2):
        kept.save(fitting)
    newest = tmp_path / "training" / "step-000000002" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-10])
    half = tmp_path / "training" / ".step-000000003"
    half.mkdir()
    fitting.step = 0
    assert kept.restore(fitting)
    assert fitting.step == 1


def test_the_two_newest_are_kept(fitting, tmp_path):
    kept = ResumeStates(tmp_path / "training", {})
    for fitting.step in range(1, 5):
        kept.save(fitting)
    assert sorted(p.name for p in (tmp_path / "training").iterdir()) == ["step-000000003", "step-000000004"]


def test_another_training_is_not_continued(fitting, tmp_path):
    ResumeStates(tmp_path / "training", {"seed": 1, "lr": 2}).save(fitting)
    with pytest.raises(BenchError, match="differs in: seed"):
        ResumeStates(tmp_path / "training", {"seed": 2, "lr": 2}).restore(fitting)


def test_a_full_disk_is_told_and_earlier_snapshots_stay(fitting, tmp_path, monkeypatch):
    kept = ResumeStates(tmp_path / "training", {})
    fitting.step = 1
    kept.save(fitting)

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(resume_state_module, "save_file", full)
    fitting.step = 2
    with pytest.raises(BenchError, match=r"(?s)No space left.*free some space"):
        kept.save(fitting)
    assert [p.name for p in (tmp_path / "training").iterdir()] == ["step-000000001"]
    fitting.step = 0
    assert kept.restore(fitting)
    assert fitting.step == 1


def test_a_model_that_is_no_number_is_not_kept(fitting, tmp_path):
    with torch.no_grad():
        fitting.bare.regressor.bias.fill_(float("inf"))
    with pytest.raises(DivergedError):
        ResumeStates(tmp_path / "training", {}).save(fitting)
    assert not (tmp_path / "training").exists()


@pytest.fixture
def to(kind, config, fabric, genes, store, training, tmp_path):
    def _to(folder="ckpt", *, training=training, seed=0, **more):
        return pretrain_to(
            tmp_path / folder, fabric, kind, config, genes, [store], training, seed, facts={"preset": "none"}, **more
        )

    return _to


def test_a_checkpoint_says_what_it_is(to, tmp_path):
    pretrained = to()
    card = json.loads((tmp_path / "ckpt" / "card.json").read_text())
    assert card["trained_on"] == [
        {
            "name": "toy",
            "accession": "GSE0",
            "digest": "0" * 64,
            "cells": 120,
            "genes": 40,
            "donors": ["d0", "d1", "d2", "d3"],
        }
    ]
    assert card["preset"] == "none"
    assert card["genes"]["ids"] == list(pretrained.genes.ids)
    log = losses(tmp_path / "ckpt")
    assert len(log) == 24
    assert card["final_loss"] == pytest.approx(np.mean([float(row[1]) for row in log]))
    assert card["cells_per_s"] > 0


def test_a_finished_training_is_neither_repeated_nor_overwritten(to, tmp_path, training):
    to()
    before = os.stat(tmp_path / "ckpt" / "model.safetensors").st_mtime_ns
    assert to().genes.ids
    with pytest.raises(BenchError, match="differs in: seed"):
        to(seed=1)
    with pytest.raises(BenchError, match="differs in: recipe"):
        to(training=replace(training, lr=1e-5))
    assert os.stat(tmp_path / "ckpt" / "model.safetensors").st_mtime_ns == before


@pytest.mark.parametrize("name", ["model.safetensors", "log.csv", "loss.png"])
def test_files_of_something_else_are_not_overwritten(name, to, tmp_path):
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / name).write_text("step,mine\n")
    with pytest.raises(BenchError, match=f"holds {name} of something else"):
        to()
    assert (tmp_path / "ckpt" / name).read_text() == "step,mine\n"


def test_what_else_lies_in_the_folder_stays(to, tmp_path):
    (tmp_path / "ckpt" / "training").mkdir(parents=True)
    (tmp_path / "ckpt" / "training" / "notes.txt").write_text("mine")
    to(save_every_s=0)
    assert [p.name for p in (tmp_path / "ckpt" / "training").iterdir()] == ["notes.txt"]


def test_of_two_trainings_in_one_folder_the_second_is_refused(to, tmp_path):
    def again(fitting, report):
        with pytest.raises(BenchError, match="another training is writing"):
            to()

    to(on_step=again)
    assert len(losses(tmp_path / "ckpt")) == 24
    assert {p.name for p in (tmp_path / "ckpt").iterdir()} == {"model.safetensors", "card.json", "log.csv", "loss.png"}


def test_a_loss_that_explodes_keeps_the_last_good_snapshot(to, tmp_path):
    def poison(fitting, report):
        if report.step == 5:
            with torch.no_grad():
                fitting.bare.regressor.bias.fill_(float("nan"))

    with pytest.raises(DivergedError, match="step 7"):
        to(on_step=poison, save_every_s=1e9)
    assert len(losses(tmp_path / "ckpt")) == 6
    assert not (tmp_path / "ckpt" / "card.json").exists()
    with pytest.raises(DivergedError, match="no longer a number"):
        to(on_step=poison, save_every_s=0)
    kept = sorted(p.name for p in (tmp_path / "ckpt" / "training").iterdir())
    assert kept == ["step-000000004", "step-000000005"]


def test_known_doublets_unidentified_cells_and_unwanted_donors_are_left_out(store, genes):
    truth = store.obs["is_doublet"].to_numpy()
    store.obs = store.obs.assign(cell_type=np.where(np.arange(120) % 10 == 0, "Unidentified", "Neuron"))
    cells = PretrainingCells(store, ["d1"])
    expected = truth | (np.arange(120) % 10 == 0) | (store.obs["donor"] == "d1").to_numpy()
    np.testing.assert_array_equal(cells.obs["exclude"], expected)
    assert CellBatches([cells], genes, 16, 0).n_cells == (~expected).sum()
    with pytest.raises(BenchError, match="did you mean"):
        PretrainingCells(store, ["d11"])
