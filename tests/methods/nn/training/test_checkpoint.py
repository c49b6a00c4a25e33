import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.errors import BenchError
from bench.methods.nn.genes import Genes
from bench.methods.nn.models.architectures import ARCHITECTURES
from bench.methods.nn.models.weights import load_pretrained_weights
from bench.methods.nn.training.checkpoint import Pretrained, _digest, data_seen, load_pretrained, save_pretrained
from bench.methods.nn.training.pretraining import new_model
from bench.methods.nn.training.training_config import split_settings

TRAINED_ON = {"trained_on": [{"name": "a", "accession": "GSE1", "digest": "ff", "donors": ["x"]}]}


def tiny(name):
    kind = ARCHITECTURES[name]
    config = kind.config_class.from_preset("tiny", 12)
    genes = Genes(tuple(f"ENSG{i:011d}" for i in range(12)), ("",) * 12)
    return Pretrained(kind, config, genes, new_model(kind, config, 3), dict(TRAINED_ON))


@pytest.fixture
def saved(tmp_path):
    save_pretrained(tmp_path / "ckpt", tiny("scmamba"))
    return tmp_path / "ckpt"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_saved_comes_back(name, tmp_path):
    ours = tiny(name)
    save_pretrained(tmp_path / "c", ours)
    theirs = load_pretrained(tmp_path / "c", name)
    assert (theirs.config, theirs.genes, theirs.facts) == (ours.config, ours.genes, ours.facts)
    assert all(torch.equal(t, theirs.model.state_dict()[n]) for n, t in ours.model.state_dict().items())
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"model.safetensors", "card.json"}


def rewrite(folder, **changes):
    """A card that was written by somebody who knows how."""
    card = {**json.loads((folder / "card.json").read_text()), **changes}
    (folder / "card.json").write_text(json.dumps(card | {"digest": _digest(card)}))


@pytest.mark.parametrize("change", ["genes", "config", "trained_on", "versions"])
def test_a_card_that_was_edited_is_refused(saved, change):
    """Genes in another order gave other vectors, without a word."""
    card = json.loads((saved / "card.json").read_text())
    if change == "genes":
        card["genes"]["ids"].reverse()
    else:
        card[change] = type(card[change])()
    (saved / "card.json").write_text(json.dumps(card))
    with pytest.raises(BenchError, match="changed after it had been written"):
        load_pretrained(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"genes": {"ids": ["a"], "symbols": [""]}},
        {"genes": {"ids": ["a"] * 12, "symbols": [""] * 12}},
        {"genes": ["a"]},
        {"config": {}},
        {"config": {"n_genes": "12"}},
        {"config": {"n_genes": -1}},
        {"model": 3},
        {"model": "nothing"},
        {"trained_on": "everything"},
        {"trained_on": [{"name": "a"}]},
        {"seed": float("nan")},
    ],
)
def test_a_card_that_says_something_odd_is_refused_in_words(saved, changes):
    rewrite(saved, **changes)
    with pytest.raises(BenchError):
        load_pretrained(saved)


def test_weights_that_are_no_numbers_are_refused(saved):
    from bench.methods.nn.training.resume_state import file_digest

    tensors = load_file(saved / "model.safetensors")
    tensors["mask_token"][:] = float("nan")
    save_file(tensors, saved / "model.safetensors")
    rewrite(saved, sha256=file_digest(saved / "model.safetensors"))
    with pytest.raises(BenchError, match="not finite"):
        load_pretrained(saved)


def test_a_truncated_file_is_refused(saved):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BenchError, match="damaged or truncated"):
        load_pretrained(saved)


def test_tensors_that_do_not_fit_the_card_are_refused(saved):
    tensors = load_file(saved / "model.safetensors")
    tensors.pop("mask_token")
    save_file(tensors, saved / "model.safetensors")
    from bench.methods.nn.training.resume_state import file_digest

    rewrite(saved, sha256=file_digest(saved / "model.safetensors"))
    with pytest.raises(BenchError, match="cannot be read"):
        load_pretrained(saved)


def test_a_checkpoint_of_another_model_is_refused(saved):
    with pytest.raises(BenchError, match="checkpoint of scmamba, not of schyena"):
        load_pretrained(saved, "schyena")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1', '{"format": 99, "normalisation": "log2"}'])
def test_a_card_that_cannot_be_understood_is_refused(saved, text):
    (saved / "card.json").write_text(text)
    with pytest.raises(BenchError):
        load_pretrained(saved)


def test_a_folder_without_a_checkpoint_says_whether_one_is_being_made(tmp_path):
    with pytest.raises(BenchError, match="no checkpoint here"):
        load_pretrained(tmp_path)
    (tmp_path / "training").mkdir()
    with pytest.raises(BenchError, match="not finished"):
        load_pretrained(tmp_path)


def test_the_data_it_has_seen_are_known_by_every_name():
    assert data_seen(TRAINED_ON) == dict.fromkeys(("a", "GSE1", "ff"), frozenset("x"))
    assert data_seen({}) == {}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_classifier_takes_over_all_but_what_is_fresh(name):
    source = tiny(name)
    model = source.architecture.classifier(source.config, 2)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    pretrained = source.model.state_dict()
    kept = load_pretrained_weights(model, pretrained, source.architecture.fresh)
    assert {n.split(".")[0] for n in kept} <= {"head", "cls_token"}
    for n, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[n] if n in kept else pretrained[n]), n


def test_a_missing_or_misshapen_tensor_is_an_error_not_a_silent_gap():
    source, other = tiny("scmamba"), tiny("scmamba")
    model = source.architecture.classifier(source.config, 2)
    state = dict(source.model.state_dict())
    state.pop("embedding.adapter.weight")
    with pytest.raises(BenchError, match=r"embedding\.adapter\.weight"):
        load_pretrained_weights(model, state, source.architecture.fresh)
    wide = new_model(other.architecture, replace(other.config, d_model=2 * other.config.d_model), 0)
    with pytest.raises(BenchError, match="no fitting tensor"):
        load_pretrained_weights(model, wide.state_dict(), source.architecture.fresh)


def test_settings_go_to_the_model_or_to_the_recipe():
    of_model, of_training = split_settings(ARCHITECTURES["scmamba"], {"d_state": 4, "monitor": "loss"})
    assert (of_model, of_training) == ({"d_state": 4}, {"monitor": "loss"})
    with pytest.raises(BenchError, match="n_genes"):
        split_settings(ARCHITECTURES["scmamba"], {"n_genes": 4})
