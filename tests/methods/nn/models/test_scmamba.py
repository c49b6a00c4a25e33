import math

import pytest
import torch
import torch.nn.functional as F

from bench.errors import BenchError
from bench.methods.nn.models.architecture import MaskRates
from bench.methods.nn.models.heads import cls_positions, with_cls
from bench.methods.nn.models.presets import preset
from bench.methods.nn.models.scmamba import ScMambaArchitecture, ScMambaConfig, cell_classifier, masked_expression_model

PAPER_GENES = 19_306


def parameters_of(model):
    return sum(p.numel() for p in model.parameters())


def tiny_config(n_genes=11, **options):
    return ScMambaConfig(n_genes, **{"d_model": 32, "n_layers": 2, "d_state": 8, "vocabulary": "tight"} | options)


def randomised(model, seed=0):
    """Parameters away from zeros and ones, so that a term left out shows."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.2)
    return model


# ---- the network written a second time: flips, a loop over positions, nothing shared with the code under test ----


def literal_direction(x, z, w, prefix):
    def own(name):
        return w[f"{prefix}.{name}"]

    length, (channels, taps) = x.shape[1], own("conv_weight").shape
    padded = torch.cat([x.new_zeros(len(x), taps - 1, channels), x], dim=1)
    x = sum(padded[:, j : j + length] * own("conv_weight")[:, j] for j in range(taps)) + own("conv_bias")
    x = x * torch.sigmoid(x)
    dbc = x @ own("x_proj.weight").T
    rank, states = own("dt_proj.weight").shape[1], own("A_log").shape[1]
    dt, B, C = dbc[..., :rank], dbc[..., rank : rank + states], dbc[..., rank + states :]
    dt = torch.log1p(torch.exp(dt @ own("dt_proj.weight").T + own("dt_proj.bias")))
    h, out = x.new_zeros(len(x), channels, states), []
    for t in range(length):
        decay = torch.exp(-dt[:, t, :, None] * torch.exp(own("A_log")))
        h = decay * h + torch.einsum("bc,bn->bcn", dt[:, t] * x[:, t], B[:, t])
        out.append(torch.einsum("bcn,bn->bc", h, C[:, t]) + own("D") * x[:, t])
    return torch.stack(out, dim=1) * z * torch.sigmoid(z)


def literal_mixer(u, w, prefix):
    xz = u @ w[f"{prefix}.in_proj.weight"].T
    forward = literal_direction(*xz.chunk(2, dim=-1), w, f"{prefix}.from_start")
    backward = literal_direction(*xz.flip(1).chunk(2, dim=-1), w, f"{prefix}.from_end").flip(1)
    return (forward + backward) @ w[f"{prefix}.out_proj.weight"].T


def literal_norm(x, weight):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


def literal_encoder(h, w, n_layers):
    residual = torch.zeros_like(h)
    for i in range(n_layers):
        residual = residual + h
        h = literal_mixer(literal_norm(residual, w[f"encoder.blocks.{i}.norm.weight"]), w, f"encoder.blocks.{i}.mixer")
    return literal_norm(residual + h, w["encoder.norm.weight"])


def literal_genes(x, w):
    values = x[..., None] * w["embedding.adapter.weight"][:, 0] + w["embedding.adapter.bias"]
    return values, w["embedding.genes.weight"][: x.shape[1]]  # the tight table starts with the genes


def literal_regression(x, masked, w, n_layers):
    values, genes = literal_genes(x, w)
    values = values * ~masked[..., None] + w["mask_token"] * masked[..., None]
    return (literal_encoder(values + genes, w, n_layers) @ w["regressor.weight"].T + w["regressor.bias"])[..., 0]


def literal_classification(x, w, n_layers):
    values, genes = literal_genes(x, w)
    embedded, half = values + genes, x.shape[1] // 2
    cls = (w["cls_token"] + w["embedding.genes.weight"][x.shape[1]]).expand(len(x), 1, -1)
    hidden = literal_encoder(torch.cat([cls, embedded[:, :half], cls, embedded[:, half:], cls], 1), w, n_layers)
    last = hidden.shape[1] - 1
    return torch.cat([hidden[:, 0], hidden[:, last // 2], hidden[:, last]], dim=-1) @ w["head.weight"].T


def assert_same_function(model, run, literal):
    """Outputs and gradients of all parameters agree with a float64 second writing of the network."""
    weights = {k: v.detach().double().requires_grad_() for k, v in model.named_parameters()}
    expected = literal(weights)
    found = run(model)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (expected * direction).sum().backward()
    (found * direction.to(found.dtype)).sum().backward()
    single = found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4 if single else 1e-12, atol=1e-5 if single else 1e-13)
    for name, parameter in model.named_parameters():
        wanted = weights[name].grad
        error = (parameter.grad.double() - wanted).abs().max() / wanted.abs().max()
        assert error < (1e-5 if single else 1e-12), f"{name}: {error:.1e}"


@pytest.mark.parametrize(("n_genes", "dtype"), [(11, torch.float32), (70, torch.float32), (9, torch.float64)])
def test_expression_model_is_the_network_of_the_paper(n_genes, dtype):
    torch.manual_seed(0)
    model = randomised(masked_expression_model(tiny_config(n_genes))).to(dtype)
    x, masked = torch.rand(2, n_genes, dtype=dtype) * 5, torch.rand(2, n_genes) < 0.3
    assert_same_function(model, lambda m: m(x, masked), lambda w: literal_regression(x.double(), masked, w, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_genes", [10, 11])
def test_classifier_is_the_network_of_the_paper(n_genes, dtype):
    torch.manual_seed(0)
    model = randomised(cell_classifier(tiny_config(n_genes), 4)).to(dtype)
    x = torch.rand(3, n_genes, dtype=dtype) * 5
    assert_same_function(model, lambda m: m(x), lambda w: literal_classification(x.double(), w, 2))


def test_one_block_with_its_residual():
    torch.manual_seed(0)
    model = randomised(masked_expression_model(tiny_config(n_genes=9)))
    weights = {k: v.detach().double() for k, v in model.named_parameters()}
    h, residual = torch.randn(2, 9, 32), torch.randn(2, 9, 32)
    mixed, total = model.encoder.blocks[1](h, residual)
    expected = literal_mixer(
        literal_norm((h + residual).double(), weights["encoder.blocks.1.norm.weight"]),
        weights,
        "encoder.blocks.1.mixer",
    )
    torch.testing.assert_close(total, h + residual)
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-4, atol=1e-5)


def test_the_residual_stays_in_float32_under_autocast():
    torch.manual_seed(0)
    model = masked_expression_model(tiny_config())
    x = torch.rand(2, 11)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x)
        _, residual = model.encoder.blocks[0](model.embedding(x), None)
        assert residual.dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    rough.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


# ---- sizes ----


def test_parameters_of_the_pretraining_model():
    assert parameters_of(masked_expression_model(ScMambaConfig.from_preset("paper", PAPER_GENES))) == 8_096_513


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(2, 8_097_792), (8, 8_102_400), (72, 8_151_552), (69, 8_149_248), (127, 8_193_792), (114, 8_183_808)],
)
def test_parameters_of_the_classifiers(classes, expected):
    with torch.device("meta"):
        assert parameters_of(cell_classifier(ScMambaConfig(PAPER_GENES), classes)) == expected


def test_parts_of_the_paper_model():
    model = masked_expression_model(ScMambaConfig.from_preset("paper", PAPER_GENES))
    assert model.embedding.genes.weight.shape == (20_312, 256)
    assert parameters_of(model.encoder.blocks[0].mixer.from_start) == 44_544
    assert parameters_of(model.encoder.blocks[0]) == 482_560
    tight = ScMambaConfig(PAPER_GENES, vocabulary="tight")
    assert parameters_of(masked_expression_model(tight)) == 8_096_513 - (20_312 - 19_307) * 256


def test_paper_is_the_default_of_the_configuration():
    assert ScMambaConfig.from_preset("paper", 5) == ScMambaConfig(5)
    with pytest.raises(BenchError, match="unknown preset 'large'"):
        ScMambaConfig.from_preset("large", 5)
    preset("scmamba", "paper")["sizes"]["d_model"] = 1  # a caller's change stays the caller's
    assert preset("scmamba", "paper")["sizes"]["d_model"] == 256


# ---- [CLS], [MASK], genes ----


@pytest.mark.parametrize(("n_genes", "expected"), [(19_306, [0, 9654, 19308]), (7, [0, 4, 9]), (1, [0, 1, 3])])
def test_cls_positions(n_genes, expected):
    assert cls_positions(n_genes) == expected
    assert expected[1] == (n_genes + 3 - 1) // 2


@pytest.mark.parametrize("n_genes", [6, 7])
def test_cls_vectors_lie_where_they_are_read(n_genes):
    genes = torch.arange(1.0, n_genes + 1)[None, :, None]
    sequence = with_cls(genes, torch.tensor([-1.0]))[0, :, 0].tolist()
    assert [i for i, v in enumerate(sequence) if v == -1] == cls_positions(n_genes)
    assert [v for v in sequence if v != -1] == genes.flatten().tolist()


def test_paper_table_has_genes_after_the_reserved_words():
    embedding = cell_classifier(tiny_config(5, vocabulary="paper"), 2).embedding
    assert embedding.genes.num_embeddings == 1016  # 1,005 + 5, rounded up to eights
    assert torch.equal(embedding.gene_vectors, embedding.genes.weight[1005:1010])
    assert torch.equal(embedding.cls_vector, embedding.genes.weight[101])


def test_a_masked_value_is_not_seen_but_its_gene_is():
    torch.manual_seed(0)
    model = randomised(masked_expression_model(tiny_config()))
    x, masked = torch.rand(1, 11), torch.zeros(1, 11, dtype=torch.bool)
    masked[0, [2, 5]] = True
    changed = x.clone()
    changed[masked] = 9.0
    assert torch.equal(model(x, masked), model(changed, masked))
    embedded = model.embedding(x, masked, model.mask_token)[0]
    assert torch.equal(embedded[2], model.mask_token + model.embedding.gene_vectors[2])
    assert not torch.equal(embedded[2], embedded[5])
    assert not torch.equal(model(x), model(x, masked))


def test_a_cell_without_counts_and_a_single_gene():
    model = cell_classifier(tiny_config(1), 2)
    assert model(torch.zeros(3, 1)).isfinite().all()
    assert masked_expression_model(tiny_config(1))(torch.zeros(3, 1)).shape == (3, 1)


def test_other_genes_than_the_models_are_refused():
    with pytest.raises(BenchError, match="The model has 11 genes, the cells have 12"):
        masked_expression_model(tiny_config())(torch.zeros(1, 12))


# ---- what is masked ----


@pytest.mark.parametrize(("nonzero", "zero"), [(0.15, 0.0), (0.4, 0.04)])
def test_each_gene_is_masked_by_itself_at_the_rate_of_its_kind(nonzero, zero):
    """The official rule of pre-training and of imputation; the loss asks for what is masked and for nothing else."""
    expression = torch.zeros(400, 500)
    expression[:, :200] = 1.5
    corruption = ScMambaArchitecture().corrupt(expression, MaskRates(nonzero, zero), torch.Generator().manual_seed(0))
    assert torch.equal(corruption.scored, corruption.hidden)
    for part, rate in ((corruption.scored[:, :200], nonzero), (corruption.scored[:, 200:], zero)):
        assert float(part.float().mean()) == pytest.approx(rate, abs=0.005)
        spread = part.sum(1).double().var() / (part.shape[1] * rate * (1 - rate)) if rate else part.sum()
        assert float(spread) == pytest.approx(1.0 if rate else 0.0, abs=0.25)  # binomial, not an exact number a cell


# ---- initialisation ----


@torch.no_grad()
def test_initialisation_as_the_official_code_leaves_it():
    torch.manual_seed(0)
    model = masked_expression_model(ScMambaConfig(100))
    mixer = model.encoder.blocks[3].mixer
    assert model.embedding.adapter.weight.abs().max() <= 1
    assert model.embedding.adapter.weight.std() == pytest.approx(1 / math.sqrt(3), rel=0.15)
    assert not model.embedding.adapter.bias.any()
    assert not model.regressor.bias.any()
    assert not model.mask_token.any()
    assert not cell_classifier(ScMambaConfig(3, n_layers=1), 2).cls_token.any()
    assert model.embedding.genes.weight.std() == pytest.approx(0.02, rel=0.02)
    assert mixer.in_proj.weight.abs().max() == pytest.approx(1 / 16, rel=0.01)
    assert mixer.out_proj.weight.abs().max() == pytest.approx(1 / math.sqrt(512 * 6), rel=0.01)
    for direction in (mixer.from_start, mixer.from_end):
        assert direction.x_proj.weight.abs().max() == pytest.approx(512**-0.5, rel=0.01)
        assert direction.dt_proj.weight.abs().max() == pytest.approx(0.25, rel=0.01)
        assert direction.conv_weight.abs().max() == pytest.approx(0.5, rel=0.01)
        assert direction.conv_bias.abs().max() == pytest.approx(0.5, rel=0.05)
        assert torch.equal(direction.A_log.exp().round(), torch.arange(1.0, 17).expand(512, 16))
        assert torch.equal(direction.D, torch.ones(512))
    assert torch.equal(model.encoder.norm.weight, torch.ones(256))


@torch.no_grad()
def test_initial_step_sizes_and_the_flag_for_the_backward_direction():
    torch.manual_seed(0)
    for zero in (True, False):
        mixer = (
            masked_expression_model(ScMambaConfig(3, n_layers=1, zero_backward_dt_bias=zero)).encoder.blocks[0].mixer
        )
        log_uniform = [mixer.from_start] if zero else [mixer.from_start, mixer.from_end]
        for direction in log_uniform:
            dt = F.softplus(direction.dt_proj.bias)
            assert dt.min() >= 0.999e-3
            assert dt.max() <= 0.1001
            assert dt.log().mean() == pytest.approx(math.log(0.01), abs=0.2)
        if zero:
            assert not mixer.from_end.dt_proj.bias.any()
