"""The bases of scMamba, scHyena and scBERT as methods: fine-tuned, frozen, and from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import NotApplicableError
from bench.method import Context, Method, python_package
from bench.seeds import derive_seed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from bench.methods.nn.training.checkpoint import Pretrained
    from bench.methods.nn.training.training_config import TrainingConfig
    from bench.problem import Cells, Inputs, Prediction

#: Where a trial's progress is shown to stand after pre-training, and after fine-tuning.
_PRETRAINING_SHARE, _PREDICTING_FROM = 0.4, 0.8

#: For the cards: what a row of each kind is.
FINE_TUNED = "Without a checkpoint it is pre-trained on the trial's own training cells, then fine-tuned."
FROZEN = (
    "Without a checkpoint it is pre-trained on the trial's own training cells, as the fine-tuned row is. Then no "
    "weight changes: a logistic regression (scikit-learn, standardised, not tuned) learns from the mean of the last "
    "hidden states over all genes."
)
SCRATCH = "The fine-tuned row's network, first weights, order of cells and number of passes, without pre-training."


class SequenceModel(Method):
    """A pre-trained model of all genes of a cell, fine-tuned on labelled training donors.

    Attributes
    ----------
    model
        Name of the architecture (:mod:`bench.methods.nn.models.architectures`).

    Parameters
    ----------
    size
        Preset of sizes and training configurations: ``paper``, ``small`` or ``tiny``.
    checkpoint
        Folder of ``bench pretrain``; its sizes are used. Without one the model is pre-trained on the training cells
        first, known doublets left out.
    pretrain_epochs
        Passes of that pre-training; 0 fine-tunes a model that starts from random weights.
    epochs, lr
        Of the fine-tuning; None: the preset's.
    options
        Further settings of the model or of the fine-tuning by name, such as ``{"monitor": "accuracy"}``; see
        ``bench.methods.nn.training.training_config.TrainingConfig`` and the model's configuration.
    """

    tasks: ClassVar[tuple[str, ...]] = ("doublet", "annotation")
    model: ClassVar[str]
    kind = "foundation"
    implementation = "port"
    fractional_counts = True
    supervised = True
    trains_long = True
    requires = (
        python_package("torch", extra="models"),
        python_package("lightning", extra="models"),
        python_package("safetensors", extra="models"),
        python_package("scdataset", extra="models"),
    )
    preload = ("torch", "lightning.fabric")
    files: ClassVar[tuple[str, ...]] = ("checkpoint",)
    presets: ClassVar = {name: {"size": name} for name in ("paper", "small", "tiny")}

    def __init__(
        self,
        size: str = "tiny",
        checkpoint: str = "",
        pretrain_epochs: int | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.size = size
        self.checkpoint = checkpoint
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.lr = lr
        self.options = options or {}

    @classmethod
    def seen_before(cls, files: Mapping[str, Path]) -> Mapping[str, frozenset[str] | None]:
        """The data that the checkpoint was trained on."""
        from bench.methods.nn.training.checkpoint import data_seen, read_card

        return data_seen(read_card(files["checkpoint"])) if files else {}

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Probability of being a doublet, called above one half; or of every class of cells."""
        import numpy as np

        from bench.methods._shared.annotation import most_probable, training_set

        if inputs.train is None:
            raise NotApplicableError("there are no labelled cells to learn from")
        if "label" in inputs.train.obs:
            train, code, classes = training_set(inputs)
            everything = np.ones(len(code), dtype=bool)
            level = str(inputs.info.get("level"))
            probabilities, _ = self._classify(level, inputs.cells, train, code, len(classes), everything, ctx)
            return most_probable(probabilities, classes)
        code = inputs.train.obs["is_doublet"].to_numpy(bool).astype(np.int64)
        probabilities, filled = self._classify("doublet", inputs.cells, inputs.train, code, 2, code == 0, ctx)
        score = np.where(filled, probabilities[:, 1], 0.0)
        return {"score": score, "call": score > 0.5}

    def _classify(
        self,
        target: str,
        cells: Cells,
        train: Cells,
        label: NDArray[np.intp],
        n_classes: int,
        typical: NDArray[np.bool_],
        ctx: Context,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probabilities (cells, classes), and which cells have counts in the model's genes; others get the frequencies.

        ``target``: doublets, or which level of labels; training configurations may differ. ``typical`` marks the
        training cells that a pre-training in the trial may use.
        """
        import numpy as np
        from scipy.special import softmax

        from bench.methods.nn.genes import match
        from bench.methods.nn.training.finetuning import fine_tune_classifier, predict
        from bench.methods.nn.training.validation import no_validation, split_by_donor

        training, fabric = self._training(target, ctx)
        with ctx.phase("fit"):
            pretrained = self._pretrained(train, typical, fabric, ctx)
            genes = match(pretrained.genes, train.var, where="training cells")
            ctx.log.info("%d of the model's %d genes are in the data", genes.matched, len(pretrained.genes))
            counts, with_counts = _with_counts(genes.select(train.X))
            donor = train.obs["donor"].to_numpy()[with_counts]
            rng = np.random.default_rng(derive_seed("validation", ctx.seed))
            one_epoch = training.n_epochs(int(with_counts.sum())) == 1
            split = no_validation(len(donor)) if one_epoch else split_by_donor(donor, label[with_counts], rng)
            ctx.note(split.note)
            tuned = fine_tune_classifier(
                fabric,
                pretrained.architecture,
                pretrained.config,
                counts,
                label[with_counts],
                split,
                training,
                ctx.seed,
                n_classes=n_classes,
                pretrained=None if self.pretrain_epochs == 0 and not self.checkpoint else pretrained.model,
                report=lambda done, line: ctx.progress(
                    _PRETRAINING_SHARE + (_PREDICTING_FROM - _PRETRAINING_SHARE) * done, line
                ),
            )
            ctx.log.info("best epoch %d of %s", tuned.best_epoch, [round(value, 4) for value in tuned.history])
        with ctx.phase("predict"):
            tested, filled = _with_counts(genes.select(cells.X))
            probabilities = np.tile(np.bincount(label, minlength=n_classes) / len(label), (len(filled), 1))
            if filled.any():
                logits = predict(
                    fabric,
                    tuned.model,
                    tested,
                    training.micro_batch,
                    lambda done: ctx.progress(_PREDICTING_FROM + (1 - _PREDICTING_FROM) * done, "predicting"),
                )
                probabilities[filled] = softmax(logits.astype(float), axis=1)
        return probabilities, filled

    def _training(self, target: str, ctx: Context) -> tuple[TrainingConfig, Fabric]:
        """Settings of the training of the classifier of ``target``, and what runs it."""
        import torch

        from bench.methods.nn.models.architectures import architecture
        from bench.methods.nn.training.fitting import make_fabric
        from bench.methods.nn.training.training_config import TrainingConfig, split_settings

        torch.set_num_threads(ctx.threads)
        _, of_training = split_settings(architecture(self.model), self.options)
        settings = {"epochs": self.epochs, "lr": self.lr} | of_training
        training = TrainingConfig.of(self.model, self.size, f"classification/{target}", settings)
        return training, make_fabric(training, ctx.device)

    def _pretrained(self, train: Cells, typical: NDArray[np.bool_], fabric: Fabric, ctx: Context) -> Pretrained:
        """The checkpoint, or a model pre-trained here."""
        from bench.methods.nn.genes import Genes
        from bench.methods.nn.models.architectures import architecture
        from bench.methods.nn.training.batches import CellBatches
        from bench.methods.nn.training.checkpoint import Pretrained, load_pretrained
        from bench.methods.nn.training.pretraining import new_model, pretrain
        from bench.methods.nn.training.training_config import TrainingConfig, split_settings

        kind = architecture(self.model)
        settings, _ = split_settings(kind, self.options)
        if self.checkpoint:
            pretrained = load_pretrained(Path(self.checkpoint), self.model)
            ctx.note(f"from checkpoint {Path(self.checkpoint).name}")
            return pretrained
        genes = Genes.of(train.var)
        config = replace(kind.config_class.from_preset(self.size, len(genes)), **settings)
        model = new_model(kind, config, ctx.seed)
        training = TrainingConfig.of(self.model, self.size, "pretraining", {"epochs": self.pretrain_epochs or None})
        if self.pretrain_epochs == 0:
            ctx.note("no checkpoint, no pre-training: random initial weights")
        else:
            cells = CellBatches([_TrainingCells(train.take(typical))], genes, training.batch_size, ctx.seed)
            pretrain(
                fabric,
                kind,
                model,
                cells,
                training,
                ctx.seed,
                on_step=lambda fitting, step: ctx.progress(
                    _PRETRAINING_SHARE * fitting.step / fitting.n_steps, f"pre-training, loss {step.loss:.3g}"
                ),
            )
            ctx.note(
                f"no checkpoint: pre-trained here on {cells.n_cells:,} training cells "
                f"(size {self.size}, epochs {training.epochs})"
            )
        return Pretrained(kind, config, genes, model)


class Frozen(SequenceModel):
    """The same model as it is after pre-training, and a logistic regression on its embedding of the training cells.

    Pre-training in the trial is that of the fine-tuned row, to the last bit: same cells, same seeds.

    Parameters
    ----------
    size, checkpoint, pretrain_epochs, options
        As of :class:`SequenceModel`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("annotation",)

    def __init__(
        self,
        size: str = "tiny",
        checkpoint: str = "",
        pretrain_epochs: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(size, checkpoint, pretrain_epochs, options=options)

    def _classify(
        self,
        target: str,
        cells: Cells,
        train: Cells,
        label: NDArray[np.intp],
        n_classes: int,
        typical: NDArray[np.bool_],
        ctx: Context,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        import numpy as np

        from bench.methods._shared.probe import probe
        from bench.methods.nn.embed.embedding import embed_cells, is_embedded

        training, fabric = self._training(target, ctx)
        with ctx.phase("fit"):
            pretrained = self._pretrained(train, typical, fabric, ctx)

            def embedded(part: Cells, begin: float, end: float) -> NDArray[np.float32]:
                return embed_cells(
                    pretrained,
                    _TrainingCells(part),
                    batch_size=training.micro_batch,
                    device=ctx.device,
                    on_cells=lambda n: ctx.progress(begin + (end - begin) * n / len(part.obs), "embedding cells"),
                )

            learned = embedded(train, _PRETRAINING_SHARE, _PREDICTING_FROM)
        with ctx.phase("predict"):
            tested = embedded(cells, _PREDICTING_FROM, 1.0)
        known, filled = is_embedded(learned), is_embedded(tested)
        probabilities = np.tile(np.bincount(label, minlength=n_classes) / len(label), (len(filled), 1))
        if filled.any():
            probabilities[filled] = probe("logistic", learned[known], label[known], tested[filled], n_classes, ctx)
        return probabilities, filled


class Scratch(SequenceModel):
    """The same network trained on the labelled cells from random weights: no pre-training, all else alike.

    Parameters
    ----------
    size, epochs, lr, options
        As of :class:`SequenceModel`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("annotation",)
    files = ()

    def __init__(
        self,
        size: str = "tiny",
        epochs: int | None = None,
        lr: float | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(size, pretrain_epochs=0, epochs=epochs, lr=lr, options=options)


class _TrainingCells:
    """Cells of a trial as :class:`bench.dataset.CountStore`."""

    name, digest, accession = "cells of the trial", "", ""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    @property
    def var(self) -> pd.DataFrame:
        """Genes."""
        return self._cells.var

    @property
    def obs(self) -> pd.DataFrame:
        """Cells."""
        return self._cells.obs

    @property
    def n_entries(self) -> NDArray[np.int64]:
        """Counts stored of each cell."""
        import numpy as np

        return np.diff(self._cells.X.indptr).astype(np.int64)

    def __len__(self) -> int:
        return self._cells.X.shape[0]

    def rows(self, index: NDArray[np.intp]) -> csr_matrix:
        """Counts of some cells."""
        return self._cells.X[index]


def _with_counts(counts: csr_matrix) -> tuple[csr_matrix, NDArray[np.bool_]]:
    """The cells that have counts, and which they are."""
    import numpy as np

    filled = np.asarray(counts.sum(axis=1)).ravel() > 0
    return (counts if filled.all() else counts[filled]), filled
