"""Does pre-training help? The same model fine-tuned from a pre-trained backbone and from random weights, several seeds.

On the built-in cohort: pre-training on the training donors' cells (no labels), fine-tuning for doublets and for cell
types on the same donors, scores on the tested donors. Prints every score and the mean difference.

    python benchmarks/pretraining_gain.py --model scmamba --pretrain-epochs 6 --epochs 2
    python benchmarks/pretraining_gain.py --checkpoint FOLDER --labelled 300 --epochs 10

With a checkpoint, its backbone is used for all seeds. ``--labelled`` takes so many labelled cells of each task.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import average_precision_score, f1_score

from bench.methods._shared.sequence_classifier import _TrainingCells
from bench.methods.nn.genes import Genes, match
from bench.methods.nn.models.architectures import architecture
from bench.methods.nn.training.batches import CellBatches
from bench.methods.nn.training.checkpoint import load_pretrained
from bench.methods.nn.training.finetuning import fine_tune_classifier, predict
from bench.methods.nn.training.fitting import make_fabric
from bench.methods.nn.training.pretraining import new_model, pretrain
from bench.methods.nn.training.training_config import TrainingConfig, split_settings
from bench.methods.nn.training.validation import no_validation
from bench.plan.registry import Registry
from bench.task import Seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="scmamba")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", action="append", default=[], help="SETTING=NUMBER of the model")
    parser.add_argument("--pretrain-epochs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--labelled", type=int, default=0, help="labelled cells to fine-tune on; 0 for all")
    parser.add_argument("--checkpoint", type=Path, help="a backbone of `bench pretrain` in place of one trained here")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)

    registry = Registry()
    inputs = (problem := registry.task("doublet").make_problem(registry.load("cohort"), "experimental", Seeds())).inputs
    train, tested = inputs.train, inputs.cells
    types = registry.load("cohort").adata.obs["cell_type"].astype(str)
    singlet = ~problem.solution["is_doublet"].to_numpy(bool)
    given = load_pretrained(args.checkpoint) if args.checkpoint else None
    if given:
        kind, genes, config = given.architecture, given.genes, given.config
    else:
        kind, genes = architecture(args.model), Genes.of(train.var)
        of_model, _ = split_settings(kind, {k: int(v) for k, v in (item.split("=") for item in args.set)})
        config = replace(kind.config_class.from_preset(args.preset, len(genes)), **of_model)
    known = ~train.obs["is_doublet"].to_numpy(bool)
    counts, test_counts = (match(genes, cells.var).select(cells.X) for cells in (train, tested))
    names, cell_type = np.unique(train.obs["cell_type"].to_numpy(str)[known], return_inverse=True)
    tasks = {
        "doublets, AUPRC": (counts, train.obs["is_doublet"].to_numpy(bool).astype(np.int64), 2),
        "cell types, macro F1": (counts[known], cell_type.astype(np.int64), len(names)),
    }
    training = TrainingConfig.of(kind.name, args.preset, "classification", {"epochs": args.epochs})
    before = TrainingConfig.of(kind.name, args.preset, "pretraining", {"epochs": args.pretrain_epochs})
    before = replace(before, max_steps=None)
    gains: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        fabric = make_fabric(training)
        cells = CellBatches([_TrainingCells(train.take(known))], genes, before.batch_size, seed)
        loss: list[float] = []
        if given:
            backbone = given.model
        else:
            backbone = pretrain(
                fabric,
                kind,
                new_model(kind, config, seed),
                cells,
                before,
                seed,
                on_step=lambda _, report, loss=loss: loss.append(report.loss),
            )
            print(f"seed {seed}: pre-trained {len(loss)} steps, loss {np.mean(loss[-20:]):.3f}", flush=True)
        for task, (all_rows, all_labels, n_classes) in tasks.items():
            scores = []
            chosen = np.random.default_rng(seed).permutation(len(all_labels))[: args.labelled or None]
            rows, label = all_rows[chosen], all_labels[chosen]
            for start in (backbone, None):
                tuned = fine_tune_classifier(
                    fabric,
                    kind,
                    config,
                    rows,
                    label,
                    no_validation(len(label)),
                    training,
                    seed,
                    n_classes=n_classes,
                    pretrained=start,
                )
                logits = predict(fabric, tuned.model, test_counts, training.micro_batch)
                if n_classes == 2:
                    scores.append(average_precision_score(~singlet, softmax(logits, axis=1)[:, 1]))
                else:
                    truth = types.loc[tested.obs.index].to_numpy()[singlet]
                    scores.append(f1_score(truth, names[logits.argmax(axis=1)][singlet], average="macro"))
            gains.setdefault(task, []).append(scores[0] - scores[1])
            print(f"  {task}: pre-trained {scores[0]:.3f}, from scratch {scores[1]:.3f}", flush=True)
    for task, gain in gains.items():
        print(f"{task}: mean gain {np.mean(gain):+.3f} over {len(gain)} seeds (each {np.round(gain, 3).tolist()})")


if __name__ == "__main__":
    main()
