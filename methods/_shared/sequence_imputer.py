"""The base of scMamba and scHyena as imputers: filling in expression beyond classifying cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench.method import Context
from bench.methods._shared.sequence_classifier import _PREDICTING_FROM, _PRETRAINING_SHARE, SequenceModel, _with_counts

if TYPE_CHECKING:
    import numpy as np
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from bench.methods.nn.genes import Genes
    from bench.problem import Cells, Inputs, Prediction

#: The paper fine-tunes on cells of at least so many counts; where fewer than ``_FEWEST_DEEP`` have them, on all.
_DEEP, _FEWEST_DEEP = 4000, 64
#: Zeros of a cell are predicted in so many interleaved groups, each hidden in turn (scMamba, 3.7 of its protocol).
_ZERO_GROUPS = 10

#: For the cards of these models: what they do when asked for expression.
IMPUTES = (
    "Asked for expression, it is fine-tuned with 40 % of counts and 4 % of zeros masked (once, on the training cells; "
    "on the cells themselves where there are none) and answers for masked entries only: those that are asked for, or "
    "all zeros in ten groups. Other values stay as shown."
)


@dataclass(frozen=True)
class _Tuned:
    """A model fine-tuned to fill in expression, the genes it reads, those of them it has seen, and how to run it."""

    model: Any
    genes: Genes
    taught: NDArray[np.bool_]
    fabric: Fabric
    micro_batch: int


class SequenceImputer(SequenceModel):
    """A model of all genes of a cell that classifies cells and fills in their expression.

    With hidden entries, these are shown as [MASK] and what the model says there is the answer; else every zero is
    replaced by what the model says when it is masked, and counts are kept.
    """

    tasks: ClassVar[tuple[str, ...]] = (*SequenceModel.tasks, "imputation", "integration", "deg")

    def run(self, inputs: Inputs, ctx: Context) -> Prediction:
        """Classes or doublets where training cells are labelled with them, expression otherwise."""
        if inputs.train is not None and {"label", "is_doublet"} & set(inputs.train.obs):
            return super().run(inputs, ctx)
        return self._impute(inputs, ctx)

    def _impute(self, inputs: Inputs, ctx: Context) -> Prediction:
        import numpy as np
        import torch

        from bench.methods.nn.genes import match
        from bench.normalise import log1p_cp10k

        torch.set_num_threads(ctx.threads)
        with ctx.phase("fit"):
            if inputs.train is None or not hasattr(self, "_tuned"):
                self._tuned = self._fine_tuned(inputs.cells if inputs.train is None else inputs.train, ctx)
        tuned, X = self._tuned, inputs.cells.X
        out = ctx.empty(X.shape)
        with ctx.phase("predict"):
            genes = match(tuned.genes, inputs.cells.var, where="cells")
            read = genes.target >= 0
            fillable = np.flatnonzero(read & tuned.taught[genes.target])
            if foreign := int((~read).sum()):
                ctx.note(f"{foreign:,} genes that the model does not read are returned as they were shown")
            if untaught := int(read.sum()) - len(fillable):
                ctx.note(f"{untaught:,} genes without counts in the cells learned from are returned as they were shown")
            total = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
            read_counts = np.asarray(X[:, np.flatnonzero(read)].sum(axis=1, dtype=np.float64)).ravel()
            if empty := int((read_counts == 0).sum()):
                ctx.note(f"{empty:,} cells without counts in the model's genes are returned as they were shown")
            for start in range(0, X.shape[0], tuned.micro_batch):
                rows = np.arange(start, min(start + tuned.micro_batch, X.shape[0]))
                block = log1p_cp10k(X[rows]).toarray()
                able = np.flatnonzero(read_counts[rows] > 0)
                if len(able):
                    cells_in_block = rows[able]
                    query = None if inputs.query is None else genes.select(inputs.query[cells_in_block])
                    hidden, imputed = _filled_in(tuned, genes.select(X[cells_in_block]), query)
                    share = (read_counts[cells_in_block] / total[cells_in_block])[:, None]
                    imputed = np.log1p(np.expm1(imputed) * share)  # the model's genes may be part of the library only
                    at = genes.target[fillable]
                    cells, columns = np.nonzero(hidden[:, at])
                    block[able[cells], fillable[columns]] = imputed[:, at][cells, columns]
                out[rows] = block
                ctx.written(out)
                done = (rows[-1] + 1) / X.shape[0]
                ctx.progress(_PREDICTING_FROM + (1 - _PREDICTING_FROM) * done, "filling in")
        return {"expression": out}

    def _fine_tuned(self, cells: Cells, ctx: Context) -> _Tuned:
        """Load or pre-train, then fine-tune on ``cells``."""
        import numpy as np

        from bench.errors import NotApplicableError
        from bench.methods.nn.genes import match
        from bench.methods.nn.models.architectures import architecture
        from bench.methods.nn.training.finetuning import fine_tune_imputer
        from bench.methods.nn.training.fitting import make_fabric
        from bench.methods.nn.training.pretraining import new_model
        from bench.methods.nn.training.training_config import TrainingConfig, split_settings
        from bench.methods.nn.training.validation import split_by_donor
        from bench.seeds import derive_seed

        filled = np.asarray(cells.X.sum(axis=1)).ravel() > 0
        if filled.sum() < 2:
            raise NotApplicableError(f"{self.name} needs at least 2 cells with counts to learn from")
        kind = architecture(self.model)
        _, of_training = split_settings(kind, self.options)
        settings = {"epochs": self.epochs, "lr": self.lr} | of_training
        training = TrainingConfig.of(self.model, self.size, "imputation", settings)
        fabric = make_fabric(training, ctx.device)
        pretrained = self._pretrained(cells, filled, fabric, ctx)
        genes = match(pretrained.genes, cells.var, where="cells to learn from")
        counts, with_counts = _with_counts(genes.select(cells.X))
        donor = cells.obs["donor"].to_numpy()[with_counts] if "donor" in cells.obs else np.zeros(counts.shape[0])
        taught = np.ones(len(pretrained.genes), dtype=bool)  # a checkpoint has been chosen to know its genes
        if not self.checkpoint:
            taught = np.asarray(counts.sum(axis=0)).ravel() > 0
        deep = np.asarray(cells.X.sum(axis=1)).ravel()[with_counts] >= _DEEP
        if deep.sum() >= _FEWEST_DEEP:
            counts, donor = counts[deep], donor[deep]
            ctx.note(f"fine-tuned on the {counts.shape[0]:,} cells of at least {_DEEP:,} counts")
        else:
            ctx.note(f"fine-tuned on all {counts.shape[0]:,} cells: {int(deep.sum()):,} have {_DEEP:,} counts")
        rng = np.random.default_rng(derive_seed("validation", ctx.seed))
        split = split_by_donor(donor, np.zeros(len(donor), dtype=np.intp), rng)
        ctx.note(split.note)
        tuned = fine_tune_imputer(
            fabric,
            pretrained.architecture,
            pretrained.model,
            new_model(kind, pretrained.config, ctx.seed),
            counts,
            split,
            training,
            ctx.seed,
            report=lambda done, line: ctx.progress(
                _PRETRAINING_SHARE + (_PREDICTING_FROM - _PRETRAINING_SHARE) * done, line
            ),
        )
        ctx.log.info("best epoch %d of %s", tuned.best_epoch, [round(value, 4) for value in tuned.history])
        return _Tuned(tuned.model, pretrained.genes, taught, fabric, training.micro_batch)


def _filled_in(
    tuned: _Tuned, counts: csr_matrix, query: csr_matrix | None
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Mask and predict: the entries (cells, genes) that were masked in some pass, and the predictions (0 elsewhere)."""
    import numpy as np
    import torch

    from bench.methods.nn.expression import log1p_cp10k

    expression = log1p_cp10k(counts)
    groups = _zero_groups(expression == 0) if query is None else iter([query.toarray().astype(bool)])
    masked, imputed = np.zeros(expression.shape, dtype=bool), np.zeros_like(expression)
    visible = torch.from_numpy(expression).to(tuned.fabric.device)
    with torch.no_grad():
        for hidden in groups:
            predicted = tuned.model(visible, torch.from_numpy(hidden).to(tuned.fabric.device)).float().cpu().numpy()
            imputed[hidden] = np.maximum(predicted[hidden], 0)
            masked |= hidden
    return masked, imputed


def _zero_groups(is_zero: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """The zeros of every cell in interleaved groups: the i-th, (i + 10)-th, ... in the order of the genes."""
    import numpy as np

    group = (np.cumsum(is_zero, axis=1) - 1) % _ZERO_GROUPS
    return (is_zero & (group == i) for i in range(_ZERO_GROUPS))
