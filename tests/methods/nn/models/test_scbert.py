import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from bench.errors import BenchError
from bench.methods.nn.models.architecture import MaskRates
from bench.methods.nn.models.favor import orthogonal_features
from bench.methods.nn.models.gene2vec import Gene2Vec, read_gene2vec
from bench.methods.nn.models.scbert import MASK, ScBertArchitecture, ScBertConfig, tokens_of
from bench.methods.nn.models.weights import load_pretrained_weights

ARCHITECTURE = ScBertArchitecture()
OFFICIAL_GENES, PAPER_GENES = 16_906, 19_306


def count_of(parameters):
    return sum(p.numel() for p in parameters)


def toy(n_genes=9, **options):
    sizes = {"dim": 12, "depth": 3, "heads": 2, "dim_head": 8, "head_hidden": (7, 5)}
    return ScBertConfig(n_genes, **{**sizes, **options})


def some_cells(n=2, n_genes=9, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.log1p(torch.poisson(torch.rand(n, n_genes, generator=g) * 6, generator=g))


# ---- tokens ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_start_where_they_should(dtype):
    cp10k = [0, 0.9999, 1, 2.9999, 3, 6.9999, 7, 14.9999, 15, 30.9999, 31, 63, 1e4]
    expression = torch.tensor(np.log1p(np.array(cp10k)), dtype=dtype)
    assert tokens_of(expression).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert tokens_of(torch.log1p(torch.tensor(cp10k, dtype=dtype))).tolist() == tokens_of(expression).tolist()


def test_tokens_of_whole_counts_are_exact():
    """Against integers: level t is reached when (1 + counts x 10,000 / total) >= 2^t."""
    rng = np.random.default_rng(0)
    total = np.concatenate([rng.integers(200, 100_000, 500_000), np.arange(1, 11).repeat(20) * 10_000])
    start = rng.integers(1, 6, len(total))
    counts = ((2**start - 1) * total + 9_999) // 10_000 + rng.integers(-1, 1, len(total))  # at and just below the start
    exact = sum((total + counts * 10_000 >= 2**t * total).astype(int) for t in range(1, 6))
    expression = np.log1p(counts * (1e4 / total)).astype(np.float32)  # as log1p_cp10k
    assert np.array_equal(tokens_of(torch.from_numpy(expression)).numpy(), exact)


# ---- the network, written a second time ----


def literal_norm(x, w, name):
    x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def literal_attention(x, w, name, heads, key_maximum):
    q, k, v = (
        torch.einsum("bld,hed->bhle", x, w[f"{name}.to_{part}.weight"].unflatten(0, (heads, -1))) for part in "qkv"
    )
    projection = w[f"{name}.projection"]
    scale = q.shape[-1] ** -0.25

    def features(x, over):
        dots = torch.einsum("bhld,md->bhlm", x * scale, projection)
        return torch.exp(dots - ((x * scale) ** 2).sum(-1, keepdim=True) / 2 - dots.amax(over, keepdim=True)) + 1e-4

    over = (-2, -1) if key_maximum == "cell" else (0, 1, 2, 3)
    weights = torch.einsum("bhlm,bhsm->bhls", features(q, -1), features(k, over))
    out = torch.einsum("bhls,bhse->blhe", weights / weights.sum(-1, keepdim=True), v).flatten(2)
    return out @ w[f"{name}.to_out.weight"].T + w[f"{name}.to_out.bias"]


def literal_hidden(tokens, w, depth, heads, key_maximum="cell"):
    tokens = torch.cat([tokens, torch.zeros(len(tokens), 1, dtype=torch.long)], dim=1)
    h = w["embedding.tokens.weight"][tokens] + w["embedding.positions.weight"]
    for i in range(depth):
        layer = f"encoder.layers.{i}"
        normed = literal_norm(h, w, f"{layer}.attention_norm")
        h = h + literal_attention(normed, w, f"{layer}.attention", heads, key_maximum)
        inner = literal_norm(h, w, f"{layer}.feed_forward_norm")
        inner = inner @ w[f"{layer}.feed_forward.0.weight"].T + w[f"{layer}.feed_forward.0.bias"]
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        h = h + inner @ w[f"{layer}.feed_forward.2.weight"].T + w[f"{layer}.feed_forward.2.bias"]
    return literal_norm(h, w, "encoder.norm")


def randomised(model):
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.2)
    return model.double().eval()


def test_masked_model_is_the_network_described():
    torch.manual_seed(0)
    model = randomised(ARCHITECTURE.masked_model(toy()))
    w, cells, hidden = model.state_dict(), some_cells().double(), torch.rand(2, 9) < 0.3
    tokens = torch.where(hidden, MASK, torch.log2(cells.exp()).clamp(max=5).add(1e-9).floor().long())
    states = literal_hidden(tokens, w, depth=3, heads=2)[:, :9]
    torch.testing.assert_close(model.encode(cells, hidden), states)
    torch.testing.assert_close(model(cells, hidden), states @ w["to_logits.weight"].T + w["to_logits.bias"])


@pytest.mark.parametrize("key_maximum", ["cell", "batch"])
def test_gradients_are_those_of_the_network_described(key_maximum):
    torch.manual_seed(0)
    model = randomised(ARCHITECTURE.masked_model(toy(key_maximum=key_maximum)))
    cells, hidden = some_cells().double(), torch.rand(2, 9) < 0.3
    direction = torch.randn(2, 9, 7, dtype=torch.float64)
    (model(cells, hidden) * direction).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    w = {name: t.clone().requires_grad_(name in found) for name, t in model.state_dict().items()}
    states = literal_hidden(tokens_of(cells).masked_fill(hidden, MASK), w, 3, 2, key_maximum)[:, :9]
    ((states @ w["to_logits.weight"].T + w["to_logits.bias"]) * direction).sum().backward()
    for name, gradient in found.items():
        scale = float(w[name].grad.abs().max())
        torch.testing.assert_close(gradient, w[name].grad, rtol=1e-9, atol=1e-11 * scale, msg=name)


def test_classifier_is_the_network_described():
    torch.manual_seed(0)
    model = randomised(ARCHITECTURE.classifier(toy(), 4))
    w, cells = model.state_dict(), some_cells(3).double()
    states = literal_hidden(tokens_of(cells), w, depth=3, heads=2)
    kernel = w["head.collapse.weight"][None, None]  # the convolution that it is officially
    x = F.conv2d(states[:, None], kernel, w["head.collapse.bias"]).flatten(1).relu()
    for i in (0, 2, 4):
        x = x @ w[f"head.network.{i}.weight"].T + w[f"head.network.{i}.bias"]
        x = x.relu() if i < 4 else x
    torch.testing.assert_close(model(cells), x)


def test_paper_sizes_have_the_known_numbers_of_parameters():
    with torch.device("meta"):
        model = ARCHITECTURE.masked_model(ScBertConfig.from_preset("paper", OFFICIAL_GENES))
        for layer in model.encoder.layers:
            assert count_of(layer.parameters()) == 834_000
            assert layer.attention.projection.shape == (266, 64)
        positions = (OFFICIAL_GENES + 1) * 200
        assert count_of(model.parameters()) - positions == 6 * 834_000 + 7 * 200 + 400 + 7 * 201 == 5_007_207
        for n_genes, millions in ((OFFICIAL_GENES, 8.72), (PAPER_GENES, 9.95)):
            head = ARCHITECTURE.classifier(ScBertConfig(n_genes), 8).head
            assert round(count_of(head.parameters()) / 1e6, 2) == millions
        frozen = ARCHITECTURE.masked_model(ScBertConfig(OFFICIAL_GENES, positions="gene2vec"))
        assert count_of(p for p in frozen.parameters() if p.requires_grad) == 5_007_207


def test_presets():
    assert ScBertConfig.from_preset("paper", 5) == ScBertConfig(5)
    assert ScBertConfig(5, head_hidden=[512, 128]) == ScBertConfig(5)  # as a card gives it
    with pytest.raises(BenchError, match="unknown preset"):
        ScBertConfig.from_preset("big", 5)
    for name in ("small", "tiny"):
        assert ARCHITECTURE.classifier(ScBertConfig.from_preset(name, 9), 2)(some_cells()).shape == (2, 2)


@pytest.mark.parametrize(("n_cells", "n_genes"), [(1, 1), (3, 2), (2, 40)])
def test_few_genes_empty_cells_and_one_class(n_cells, n_genes):
    config = toy(n_genes, depth=1)
    cells = torch.zeros(n_cells, n_genes)
    masked, classifier = ARCHITECTURE.masked_model(config), ARCHITECTURE.classifier(config, 1)
    assert masked(cells).shape == (n_cells, n_genes, 7)
    assert masked(cells).isfinite().all()
    assert classifier(cells).shape == (n_cells, 1)
    assert ARCHITECTURE.trained(classifier)


def test_other_genes_than_the_models_are_refused():
    with pytest.raises(BenchError, match="has 9 genes, the cells have 8"):
        ARCHITECTURE.masked_model(toy())(some_cells(n_genes=8))


@pytest.mark.parametrize(("name", "std"), [("paper", 1.0), ("small", 0.02), ("tiny", 0.02)])
def test_tables_start_as_officially_or_small(name, std):
    torch.manual_seed(0)
    embedding = ARCHITECTURE.masked_model(replace(ScBertConfig.from_preset(name, 4000), depth=1)).embedding
    assert float(embedding.positions.weight.detach().std()) == pytest.approx(std, rel=0.05)
    assert float(embedding.tokens.weight.detach().std()) == pytest.approx(std, rel=0.3)


def test_gene_vectors_are_the_positions():
    model = ARCHITECTURE.masked_model(toy())
    assert torch.equal(model.gene_vectors, model.embedding.positions.weight[:9])


def test_bfloat16_autocast_trains():
    torch.manual_seed(0)
    model, cells = ARCHITECTURE.masked_model(toy()), some_cells(4)
    exact = model.eval()(cells)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model(cells)
        loss = ARCHITECTURE.losses(predicted, cells, torch.ones_like(cells, dtype=torch.bool)).mean()
    torch.testing.assert_close(predicted.float(), exact, atol=0.1, rtol=0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_cells_output_does_not_depend_on_its_batch_unless_asked():
    torch.manual_seed(0)
    cells = some_cells(4, seed=3)

    def difference(key_maximum):
        torch.manual_seed(0)
        model = ARCHITECTURE.masked_model(toy(key_maximum=key_maximum)).double().eval()
        alone = torch.cat([model(cells[i : i + 1]) for i in range(len(cells))])
        return float((model(cells) - alone).abs().max().detach())

    assert difference("cell") < 1e-12
    assert difference("batch") > 1e-9


# ---- random features ----


def projections(model):
    return [layer.attention.projection.clone() for layer in model.encoder.layers]


def test_random_features_are_redrawn_after_so_many_training_forwards():
    """As officially, where the pass that redraws starts the count at 0."""
    torch.manual_seed(0)
    model, cells = ARCHITECTURE.masked_model(toy(redraw_every=3)), some_cells()
    seen = [projections(model)[0]]
    for _ in range(8):
        model(cells)
        seen.append(projections(model)[0])
    changed = [not torch.equal(a, b) for a, b in zip(seen[:-1], seen[1:], strict=True)]
    assert [i + 1 for i, new in enumerate(changed) if new] == [4, 8]
    model.eval()
    for _ in range(4):
        model(cells)
    assert torch.equal(projections(model)[0], seen[-1])
    one, other = projections(model)[:2]
    assert not torch.equal(one, other)


def test_default_is_a_thousand_forwards():
    model = ARCHITECTURE.masked_model(toy(1, depth=1))
    assert model.encoder.redraw_every == 1000
    before, cells = projections(model)[0], torch.zeros(1, 1)
    model.encoder.passes.fill_(999)
    model(cells)
    assert torch.equal(projections(model)[0], before)
    model(cells)
    assert not torch.equal(projections(model)[0], before)


def test_a_restored_model_goes_on_with_the_same_features():
    torch.manual_seed(0)
    model, cells = ARCHITECTURE.masked_model(toy(redraw_every=2)), some_cells()
    for _ in range(3):
        model(cells)
    torch.manual_seed(99)  # what is drawn later must not depend on what else was drawn
    restored = ARCHITECTURE.masked_model(toy(redraw_every=2))
    restored.load_state_dict(model.state_dict())
    torch.testing.assert_close(restored(cells), model(cells), rtol=0, atol=0)
    for _ in range(3):
        model(cells)
        restored(cells)
    for one, other in zip(projections(model), projections(restored), strict=True):
        assert torch.equal(one, other)


def test_features_follow_from_torchs_seed():
    torch.manual_seed(5)
    one = projections(ARCHITECTURE.masked_model(toy()))
    torch.manual_seed(5)
    assert all(map(torch.equal, one, projections(ARCHITECTURE.masked_model(toy()))))
    assert not torch.equal(one[0], projections(ARCHITECTURE.masked_model(toy()))[0])
    assert one[0].shape == orthogonal_features(16, 8, torch.Generator()).shape  # int(8 ln 8) = 16


# ---- masking ----


@pytest.mark.parametrize("share", [0.15, 0.1, 1.0])
def test_an_exact_share_of_non_zero_tokens_is_scored(share):
    cells = some_cells(40, 61)
    cells[0] = 0
    cells[1, 1:] = 0  # at most one gene
    cells[2] = math.log(1.5)  # expressed, but token 0
    levels = tokens_of(cells)
    corruption = ARCHITECTURE.corrupt(cells, MaskRates(share), torch.Generator().manual_seed(0))
    assert not (corruption.scored & (levels == 0)).any()
    per_cell = (levels > 0).sum(1).tolist()
    hundredths = round(share * 100)
    assert corruption.scored.sum(1).tolist() == [-(-n * hundredths // 100) for n in per_cell]
    assert not (corruption.hidden & ~corruption.scored).any()
    assert per_cell[0] == per_cell[2] == 0


def test_nine_in_ten_scored_genes_are_hidden_and_every_gene_has_its_chance():
    cells = torch.full((4000, 30), math.log(2.0))
    corruption = ARCHITECTURE.corrupt(cells, MaskRates(0.15), torch.Generator().manual_seed(0))
    assert (corruption.scored.sum(1) == 5).all()
    assert float(corruption.hidden.sum() / corruption.scored.sum()) == pytest.approx(0.9, abs=0.01)
    assert (corruption.scored.float().mean(0) - 5 / 30).abs().max() < 0.03
    again = ARCHITECTURE.corrupt(cells, MaskRates(0.15), torch.Generator().manual_seed(0))
    assert torch.equal(again.scored, corruption.scored)
    assert torch.equal(again.hidden, corruption.hidden)


def test_zeros_are_masked_only_where_asked():
    cells = some_cells(20, 50)
    zeros = (tokens_of(cells) == 0).sum(1)
    scored = ARCHITECTURE.corrupt(cells, MaskRates(0.4, 0.04), torch.Generator().manual_seed(0)).scored
    assert torch.equal((scored & (tokens_of(cells) == 0)).sum(1), (zeros * 4 + 99) // 100)


def test_hidden_values_do_not_leak():
    torch.manual_seed(0)
    model, cells = ARCHITECTURE.masked_model(toy()).eval(), some_cells()
    hidden = ARCHITECTURE.corrupt(cells, MaskRates(0.5), torch.Generator().manual_seed(0)).hidden
    assert hidden.any()
    other = cells.clone()
    other[hidden] = 3.4
    assert torch.equal(model(cells, hidden), model(other, hidden))
    assert not torch.equal(model(cells), model(other))


def test_loss_is_cross_entropy_on_scored_tokens():
    cells, scored = torch.tensor([[0.0, math.log(2), math.log(33)]]), torch.tensor([[False, True, True]])
    predicted = torch.randn(1, 3, 7)
    expected = -predicted.log_softmax(-1)[0, [1, 2], [1, 5]]
    torch.testing.assert_close(ARCHITECTURE.losses(predicted, cells, scored), expected)
    assert ARCHITECTURE.losses(predicted, cells, torch.zeros_like(scored)).shape == (0,)


def test_masked_tokens_can_be_learned():
    """Genes that are always on at one level: after some steps the loss is far below that of guessing."""
    torch.manual_seed(0)
    cells = torch.tensor([1.0, 3.0, 7.0, 15.0, 31.0, 0.0]).log1p().repeat(8, 1)
    model, g = ARCHITECTURE.masked_model(toy(6, depth=2)), torch.Generator().manual_seed(0)
    optimiser, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(60):
        corruption = ARCHITECTURE.corrupt(cells, MaskRates(0.15), g)
        losses.append(ARCHITECTURE.losses(model(cells, corruption.hidden), cells, corruption.scored).mean())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[0] > 1
    assert losses[-1] < 0.1


# ---- fine-tuning ----


def test_officially_only_the_last_but_one_layer_the_last_norm_and_the_head_train():
    model = ARCHITECTURE.classifier(toy(), 2)
    names = {id(p): name for name, p in model.named_parameters()}
    trained = {names[id(p)] for p in ARCHITECTURE.trained(model)}
    expected = {n for n in names.values() if n.startswith(("encoder.layers.1.", "encoder.norm.", "head."))}
    assert trained == expected
    assert {n.split(".")[0] for n in trained} == {"encoder", "head"}


@pytest.mark.parametrize("positions", ["learned", "gene2vec"])
def test_everything_trains_where_asked_but_gene2vec(positions):
    model = ARCHITECTURE.classifier(toy(fine_tune="all", positions=positions), 2)
    left_out = {n for n, _ in model.named_parameters()} - {
        n for n, p in model.named_parameters() if any(p is q for q in ARCHITECTURE.trained(model))
    }
    assert left_out == ({"embedding.positions.weight"} if positions == "gene2vec" else set())


def test_all_but_the_head_is_taken_over():
    model = ARCHITECTURE.masked_model(toy())
    model(some_cells())
    classifier = ARCHITECTURE.classifier(toy(), 3)
    kept = load_pretrained_weights(classifier, model.state_dict(), ARCHITECTURE.fresh)
    assert kept == [name for name in classifier.state_dict() if name.startswith("head.")]
    for name in ("embedding.tokens.weight", "encoder.layers.2.attention.projection", "encoder.passes"):
        assert torch.equal(classifier.state_dict()[name], model.state_dict()[name])


# ---- gene2vec ----


@pytest.fixture
def vectors():
    return np.arange(12, dtype=np.float32).reshape(4, 3) + 1


@pytest.fixture
def names(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("APOE\nGFAP\nMBP\nSNAP25\n")
    return file


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_gene2vec_rows_find_their_genes(tmp_path, vectors, names, kind):
    file = tmp_path / f"vectors.{kind}"
    if kind == "npy":
        np.save(file, vectors.astype(np.float64))
    else:
        save_file({"any": torch.from_numpy(vectors)}, file)
    genes = ("MBP", "", "XIST", "gfap", "APOE")
    for given in (names, ["APOE", "GFAP", "MBP", "SNAP25"]):
        read = read_gene2vec(file, given, genes)
        assert read.matched == 3
        assert read.vectors.tolist() == [
            vectors[2].tolist(),
            [0] * 3,
            [0] * 3,
            vectors[1].tolist(),
            vectors[0].tolist(),
        ]


def test_gene2vec_in_a_model_stays_as_it_is():
    torch.manual_seed(0)
    model = ARCHITECTURE.masked_model(toy(positions="gene2vec"))
    given = torch.randn(9, 12)
    model.embedding.use_gene2vec(Gene2Vec(given, 9))
    optimiser = torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.1)
    model(some_cells()).square().sum().backward()
    optimiser.step()
    assert torch.equal(model.gene_vectors, given)
    assert not model.embedding.positions.weight[9].any()
    restored = ARCHITECTURE.masked_model(toy(positions="gene2vec"))
    restored.load_state_dict(model.state_dict())  # the file is not needed again
    assert torch.equal(restored.gene_vectors, given)


def test_gene2vec_that_does_not_fit_the_model():
    with pytest.raises(BenchError, match="learns its positions"):
        ARCHITECTURE.masked_model(toy()).embedding.use_gene2vec(Gene2Vec(torch.zeros(9, 12), 9))
    with pytest.raises(BenchError, match=r"\(9, 200\), the model has \(9, 12\)"):
        ARCHITECTURE.masked_model(toy(positions="gene2vec")).embedding.use_gene2vec(Gene2Vec(torch.zeros(9, 200), 9))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 3, 1)), "one table of floats"),
        (np.ones((4, 3), dtype=int), "one table of floats"),
        (np.full((4, 3), np.nan), "NaN or infinite"),
        (np.ones((5, 3)), "5 vectors but 4 gene names"),
        (np.array([{"a": 1}], dtype=object), "not a readable file"),
    ],
)
def test_gene2vec_arrays_that_are_refused(tmp_path, names, array, message):
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(BenchError, match=message):
        read_gene2vec(tmp_path / "v.npy", names, ["APOE"])


def test_gene2vec_files_that_are_refused(tmp_path, vectors, names):
    file = tmp_path / "v.npy"
    with pytest.raises(BenchError, match="no such file"):
        read_gene2vec(file, names, ["APOE"])
    np.save(file, vectors)
    with pytest.raises(BenchError, match="1 of the model's 3 genes"):
        read_gene2vec(file, names, ["ENSG1", "ENSG2", "APOE"])
    with pytest.raises(BenchError, match="gene names cannot be read"):
        read_gene2vec(file, tmp_path / "none.txt", ["APOE"])
    with pytest.raises(BenchError, match="more than once"):
        read_gene2vec(file, ["APOE", "apoe", "MBP", "GFAP"], ["APOE"])
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BenchError, match="not a readable file"):
        read_gene2vec(file, names, ["APOE"])
    np.savez(tmp_path / "v.npz", a=vectors, b=vectors)
    with pytest.raises(BenchError, match="one table of floats"):
        read_gene2vec(tmp_path / "v.npz", names, ["APOE"])
    (tmp_path / "v.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BenchError, match="not a readable file"):
        read_gene2vec(tmp_path / "v.safetensors", names, ["APOE"])
