import dataclasses

import pytest
from conftest_core import SPEC

from bench.dataset import DatasetCard
from bench.method import Method, python_package
from bench.plan.keys import data_key, environment_digest, prediction_key, trial_key
from bench.results.records import EmbeddingSpec, TrialSpec
from bench.system import path_digest
from bench.task import Seeds


@pytest.mark.parametrize(
    "field", [f for f in TrialSpec.model_fields if f not in {"role", "params", "seeds", "files", "embeddings"}]
)
def test_changing_any_name_or_digest_changes_the_key(field):
    assert trial_key(SPEC.model_copy(update={field: "other"})) != trial_key(SPEC)


@pytest.mark.parametrize(
    "update",
    [{"params": {"k": 2}}, {"params": {}}, {"role": "trap"}]
    + [{"seeds": Seeds(**{axis: 1})} for axis in ("split", "simulation", "method")],
)
def test_changing_parameters_or_any_seed_axis_changes_the_key(update):
    assert trial_key(SPEC.model_copy(update=update)) != trial_key(SPEC)


def test_a_method_that_reads_no_embedding_keeps_its_key_and_others_have_what_is_read_in_theirs():
    read = EmbeddingSpec(key="X_a", sha256="1", pretrained_on=["b"])
    without = trial_key(SPEC.model_copy(update={"embeddings": {}}))
    assert without == trial_key(SPEC)
    others = [{}, {"key": "X_b"}, {"sha256": "2"}, {"pretrained_on": None}]
    specs = [SPEC.model_copy(update={"embeddings": {"key": read.model_copy(update=other)}}) for other in others]
    assert len({without, *map(trial_key, specs)}) == 5
    assert len({prediction_key(SPEC), *map(prediction_key, specs)}) == 5


def test_where_a_file_lies_is_not_part_of_the_key():
    assert trial_key(SPEC.model_copy(update={"files": {"checkpoint": "/elsewhere"}})) == trial_key(SPEC)


def test_the_digest_of_a_folder_follows_names_and_bytes(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "one").write_text("1")
    before = path_digest(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one").write_text("1")
    assert path_digest(tmp_path / "b") == before
    (folder / "one").write_text("2")
    changed = path_digest(folder)
    (folder / "one").rename(folder / "two")
    assert len({before, changed, path_digest(folder)}) == 3


def test_the_order_of_parameters_does_not_matter():
    a = SPEC.model_copy(update={"params": {"a": 1, "b": 2}})
    b = SPEC.model_copy(update={"params": {"b": 2, "a": 1}})
    assert trial_key(a) == trial_key(b)


def test_the_facts_of_a_dataset_that_reach_problems_count():
    card = DatasetCard("d", "s", "00", frozenset({"donor"}), "none", 10, 10)
    for change in ({"digest": "01"}, {"fields": frozenset()}, {"expected_doublet_rate": 0.1}):
        assert data_key(dataclasses.replace(card, **change)) != data_key(card)
    assert data_key(dataclasses.replace(card, summary="other words", name="e")) == data_key(card)


def test_the_environment_digest_follows_the_requirements():
    class Plain(Method):
        name, tasks, summary = "plain", ("t",), "s"

        def run(self, inputs, ctx):
            return {}

    class WithPytest(Plain):
        requires = (python_package("pytest"),)

    assert environment_digest(Plain) == environment_digest(Plain)
    assert environment_digest(Plain) != environment_digest(WithPytest)
