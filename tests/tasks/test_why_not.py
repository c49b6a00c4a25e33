"""A task is offered for a dataset only where the card's facts let it be asked."""

import pytest

from bench.dataset import DatasetCard
from bench.tasks.annotation import AnnotationTask
from bench.tasks.deg import DegTask
from bench.tasks.doublet import DoubletTask
from bench.tasks.integration import IntegrationTask


def _card(n_donors=4, **n_values):
    fields = frozenset({"donor", *n_values})
    return DatasetCard("tiny", "", "0" * 64, fields, "experimental", 100, 50, n_donors, n_values=n_values)


@pytest.mark.parametrize(
    ("task", "track", "card", "reason"),
    [
        (DegTask(), "subsample", _card(condition=1, cell_type=3), "1 condition: there are no two arms to compare"),
        (DegTask(), "subsample", _card(condition=0, cell_type=3), "no condition: there are no two arms to compare"),
        (DegTask(), "patients", _card(1, condition=2, cell_type=3), "1 donor: no half of the donors can be drawn"),
        (AnnotationTask(), "celltype", _card(cell_type=1), "1 cell_type: there is nothing to tell apart"),
        (AnnotationTask(), "celltype-lodo", _card(1, cell_type=3), "leaving one donor out takes two donors"),
        (AnnotationTask(), "celltype-cells", _card(1, cell_type=3), "donors are not told apart"),
        (IntegrationTask(), "zero", _card(cell_type=1), "all cells have one label"),
        (DoubletTask(), "experimental", _card(is_doublet=0), "no cell is a doublet by its labels"),
        (DoubletTask(), "experimental", _card(is_doublet=100), "every cell is a doublet by its labels"),
    ],
)
def test_what_cannot_be_asked_is_not_offered(task, track, card, reason):
    assert task.why_not(card, track).startswith(reason)


@pytest.mark.parametrize(
    ("task", "track", "card"),
    [
        (DegTask(), "patients", _card(condition=2, cell_type=1)),
        (AnnotationTask(), "celltype-lodo", _card(cell_type=2)),
        (IntegrationTask(), "zero", _card(cell_type=1, subtype=2)),
        (DoubletTask(), "experimental", _card(is_doublet=3)),
        (DegTask(), "subsample", DatasetCard("t", "", "0", frozenset({"condition", "cell_type"}), "none", 9, 9)),
    ],
)
def test_what_can_be_asked_or_is_not_known_is_offered(task, track, card):
    assert task.why_not(card, track) is None
