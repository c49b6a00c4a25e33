import math

import pytest
import torch
import torch.nn.functional as F

from bench.errors import BenchError
from bench.methods.nn.models.hyena import HyenaOperator, ImplicitFilter, lags_of
from bench.methods.nn.models.long_conv import short_convolution, two_sided_convolution
from bench.methods.nn.models.schyena import ScHyenaArchitecture, ScHyenaConfig

PAPER_GENES = 19_306
ARCHITECTURE = ScHyenaArchitecture()


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


def tiny(n_genes=11, **options):
    return ScHyenaConfig(
        n_genes, **{"d_model": 8, "n_layers": 2, "expand": 2, "filter_width": 6, "vocabulary": "tight"} | options
    )


def perturbed(model, seed=0):
    """Parameters away from zeros and ones, so that a term left out shows."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.3)
    return model


def an_operator(d_model=4, **options):
    torch.manual_seed(0)
    filters = ImplicitFilter(d_model, 6, bands="linspace", window_shift=0.05)
    return perturbed(HyenaOperator(d_model, filters, **{"short_filter": "causal"} | options)).double()


# ---- the operator and the network written a second time: dense matrices, nothing shared with the code under test ----


def dense_convolution(u, filters):
    """Filters (channels, 2 length - 1) as a (length x length) matrix each, whose entry (i, j) is the value at i - j."""
    length = u.shape[-1]
    matrix = torch.stack(
        [torch.stack([filters[:, i - j + length - 1] for j in range(length)], -1) for i in range(length)], 1
    )
    return torch.einsum("cij,bcj->bci", matrix, u)


def literal_filter(w, prefix, n_positions, unit, channels, shift=0.05):
    """Value of every filter at every lag, one lag at a time."""

    def own(name):
        return w[f"{prefix}.{name}"]

    decays = [
        math.log(0.01) / 1.5 + c / (channels - 1) * (math.log(0.01) / 0.3 - math.log(0.01) / 1.5)
        for c in range(channels)
    ]
    columns = []
    for lag in range(1 - n_positions, n_positions):
        t = lag / unit
        angles = [2 * math.pi * t * 1e-4, 2 * math.pi * t]
        entry = [t, *(math.cos(a) for a in angles), *(-math.sin(a) for a in angles)]
        h = torch.tensor(entry, dtype=torch.float64)
        for layer in ("first", "inner.0", "inner.1"):
            h = torch.sin(own("frequency") * (own(f"{layer}.weight") @ h + own(f"{layer}.bias")))
        window = torch.tensor([math.exp(d * abs(t)) + shift for d in decays], dtype=torch.float64)
        columns.append(own("last.weight") @ h * window + (own("skip") if lag == 0 else 0))
    return torch.stack(columns, dim=1)


def literal_operator(u, w, prefix, unit, past=2):
    z = u @ w[f"{prefix}.in_proj.weight"].T + w[f"{prefix}.in_proj.bias"]
    length, channels = u.shape[1], u.shape[2]
    padded = F.pad(z, (0, 0, past, 2 - past))
    taps = w[f"{prefix}.short_weight"]
    z = sum(padded[:, j : j + length] * taps[:, j] for j in range(3)) + w[f"{prefix}.short_bias"]
    x0, x1, v = (z[..., i * channels : (i + 1) * channels] for i in range(3))
    filters = literal_filter(w, f"{prefix}.filters", length, unit, channels)
    mixed = dense_convolution((v * x1).transpose(1, 2), filters).transpose(1, 2)
    return (x0 * mixed) @ w[f"{prefix}.out_proj.weight"].T + w[f"{prefix}.out_proj.bias"]


def literal_norm(x, w, prefix):
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w[f"{prefix}.weight"] + w[f"{prefix}.bias"]


def literal_encoder(h, w, n_layers, unit):
    for i in range(n_layers):
        block = f"encoder.blocks.{i}"
        h = h + literal_operator(literal_norm(h, w, f"{block}.norm"), w, f"{block}.operator", unit)
        a = literal_norm(h, w, f"{block}.mlp_norm") @ w[f"{block}.widen.weight"].T + w[f"{block}.widen.bias"]
        gelu = 0.5 * a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))
        h = h + gelu @ w[f"{block}.narrow.weight"].T + w[f"{block}.narrow.bias"]
    return literal_norm(h, w, "encoder.norm")


def literal_genes(x, w):
    return x[..., None] * w["embedding.adapter.weight"][:, 0] + w["embedding.adapter.bias"]


def literal_regression(x, hidden, w):
    values = literal_genes(x, w) * ~hidden[..., None] + w["mask_token"] * hidden[..., None]
    h = literal_encoder(values + w["embedding.genes.weight"][: x.shape[1]], w, 2, x.shape[1])
    return (h @ w["regressor.weight"].T + w["regressor.bias"])[..., 0]


def literal_classification(x, w):
    n, half = x.shape[1], x.shape[1] // 2
    genes = literal_genes(x, w) + w["embedding.genes.weight"][:n]
    cls = (w["cls_token"] + w["embedding.genes.weight"][n]).expand(len(x), 1, -1)
    h = literal_encoder(torch.cat([cls, genes[:, :half], cls, genes[:, half:], cls], 1), w, 2, n)
    return torch.cat([h[:, 0], h[:, half + 1], h[:, n + 2]], -1) @ w["head.weight"].T


def assert_same_function(model, run, literal, tolerance):
    """Outputs and gradients of all parameters agree with a float64 second writing of the network."""
    model.eval()
    weights = {k: v.detach().double().requires_grad_() for k, v in model.named_parameters()}
    expected, found = literal(weights), run(model)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (expected * direction).sum().backward()
    (found * direction.to(found.dtype)).sum().backward()
    assert (found.double() - expected).abs().max() < tolerance * expected.abs().max()
    for name, parameter in model.named_parameters():
        wanted = weights[name].grad
        error = (parameter.grad.double() - wanted).abs().max() / wanted.abs().max()
        assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize(
    ("n_genes", "dtype", "tolerance"),
    [(11, torch.float64, 1e-10), (1, torch.float64, 1e-10), (40, torch.float32, 1e-4)],
)
def test_masked_model_is_the_network_of_the_sources(n_genes, dtype, tolerance):
    torch.manual_seed(0)
    model = perturbed(ARCHITECTURE.masked_model(tiny(n_genes))).to(dtype)
    x, hidden = torch.rand(2, n_genes, dtype=dtype) * 5, torch.rand(2, n_genes) < 0.3
    hidden[0, 0] = True
    run = lambda m: m(x, hidden)  # noqa: E731
    assert_same_function(model, run, lambda w: literal_regression(x.double(), hidden, w), tolerance)


@pytest.mark.parametrize("n_genes", [10, 11])
def test_classifier_is_the_network_of_the_sources(n_genes):
    torch.manual_seed(0)
    model = perturbed(ARCHITECTURE.classifier(tiny(n_genes), 4)).double()
    x = torch.rand(3, n_genes, dtype=torch.float64) * 5
    assert_same_function(model, lambda m: m(x), lambda w: literal_classification(x, w), 1e-10)


def test_centred_short_filter():
    operator, u = an_operator(short_filter="centred"), torch.randn(2, 9, 4, dtype=torch.float64)
    weights = {f"o.{k}": v for k, v in operator.state_dict().items()}
    torch.testing.assert_close(operator(u, lags_of(u, 9)), literal_operator(u, weights, "o", 9, past=1))


# ---- convolutions ----


@pytest.mark.parametrize("length", [1, 2, 3, 8, 31, 100])
def test_two_sided_convolution_is_the_dense_one(length):
    torch.manual_seed(length)
    u = torch.randn(3, 5, length, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(5, 2 * length - 1, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(3, 5, length, dtype=torch.float64)
    found, expected = two_sided_convolution(u, filters), dense_convolution(u, filters)
    torch.testing.assert_close(found, expected)
    for grads in zip(
        torch.autograd.grad((found * direction).sum(), (u, filters)),
        torch.autograd.grad((expected * direction).sum(), (u, filters)),
        strict=True,
    ):
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("where", [0, 6, 12])
def test_an_impulse_comes_out_as_the_filter_at_every_position(where):
    """HyenaDNA's ``bidirectional`` mode fails here: it answers only half a sequence away from the impulse."""
    filters = torch.arange(1.0, 26).repeat(2, 1)
    u = torch.zeros(1, 2, 13)
    u[..., where] = 1
    response = two_sided_convolution(u, filters)[0, 0]
    torch.testing.assert_close(response, filters[0, 12 - where : 25 - where], rtol=1e-5, atol=1e-5)


def test_filters_of_another_length_are_refused():
    with pytest.raises(BenchError, match="must be 3 x 19, a value for each channel and lag"):
        two_sided_convolution(torch.zeros(2, 3, 10), torch.zeros(3, 21))


def test_float32_loses_little_at_the_papers_length():
    torch.manual_seed(0)
    u, filters = torch.randn(1, 2, PAPER_GENES), torch.randn(2, 2 * PAPER_GENES - 1)
    exact = two_sided_convolution(u.double(), filters.double())
    assert (two_sided_convolution(u, filters) - exact).norm() < 1e-6 * exact.norm()


@pytest.mark.parametrize("length", [1, 2, 3, 10])
@pytest.mark.parametrize("past", [0, 1, 2])
def test_short_convolution_is_torchs(length, past):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 4, length), (4, 3), (4,)))
    found = short_convolution(x, weight, bias, past)
    torch.testing.assert_close(found, F.conv1d(F.pad(x, (past, 2 - past)), weight[:, None], bias, groups=4))
    assert torch.autograd.gradcheck(lambda *args: short_convolution(*args, past), (x, weight, bias))


def test_gradients_of_the_operator_against_differences():
    operator = an_operator(d_model=2)
    u = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in operator.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in operator.parameters()]

    def run(u, *values):
        return torch.func.functional_call(operator, dict(zip(names, values, strict=True)), (u, lags_of(u, 5)))

    assert torch.autograd.gradcheck(run, (u, *values))


# ---- filters ----


def test_a_filter_has_the_same_value_at_the_same_lag_with_and_without_cls():
    torch.manual_seed(0)
    encoder = perturbed(ARCHITECTURE.classifier(tiny(20), 2)).double().encoder
    filters = encoder.blocks[1].operator.filters
    without, with_cls = (
        filters(lags_of(torch.zeros(1, n, 8, dtype=torch.float64), encoder.lag_unit)) for n in (20, 23)
    )
    torch.testing.assert_close(with_cls[:, 3:-3], without)


@torch.no_grad()
def test_the_window_decays_on_both_sides_alike():
    filters = ImplicitFilter(5, 4, bands="linspace", window_shift=0.0)
    lags = torch.arange(-5, 6) * 0.3
    window = filters._window(lags)
    assert torch.equal(window, window.flip(1))
    assert window.max() == 1
    assert window[0, -1] == pytest.approx(0.01, rel=1e-4)  # the slowest at 1.5
    assert window[-1, 6] == pytest.approx(0.01, rel=1e-4)  # the fastest at 0.3
    assert (window[:, 6:] < window[:, 5:-1]).all()
    shifted = ImplicitFilter(5, 4, bands="linspace", window_shift=0.05)._window(lags)
    torch.testing.assert_close(shifted, window + 0.05)


@torch.no_grad()
def test_constant_bands_tell_lags_apart_by_the_lag_alone():
    lags = torch.linspace(-1, 1, 21)
    spread = {
        bands: ImplicitFilter(2, 4, bands=bands, window_shift=0.0)._features(lags).std(0)
        for bands in ("linspace", "constant")
    }
    assert (spread["constant"][1:] < 1e-3).all()
    assert (spread["linspace"] > 0.5).tolist() == [True, False, True, False, True]  # lag, cosines, sines


def test_with_symmetric_filters_a_reversed_sequence_gives_the_reversed_result():
    operator = an_operator(short_filter="centred")
    filters = operator.filters
    with torch.no_grad():
        filters.first.weight[:, [0, 3, 4]] = 0  # of the lag and its sines, which tell one side from the other
        operator.short_weight[:, 2] = operator.short_weight[:, 0]
    u = torch.randn(2, 12, 4, dtype=torch.float64)
    lags = lags_of(u, 12)
    torch.testing.assert_close(operator(u.flip(1), lags), operator(u, lags).flip(1))


def test_every_gene_reads_every_gene():
    torch.manual_seed(0)
    encoder = perturbed(ARCHITECTURE.masked_model(tiny(30, n_layers=1))).double().eval().encoder
    h = torch.randn(1, 30, 8, dtype=torch.float64)
    reads = torch.autograd.functional.jacobian(encoder, h)[0, :, :, 0].abs().amax((1, 3))
    assert (reads > 1e-6).all()


# ---- the architecture, sizes, options ----


def test_parameter_counts_of_the_specification():
    model = ARCHITECTURE.masked_model(ScHyenaConfig.from_preset("paper", PAPER_GENES))
    assert [n_parameters(block) for block in model.encoder.blocks] == [818_240] * 4
    assert model.embedding.genes.weight.shape == (20_312, 256)
    ends = 512 + 512 + 256 + 257  # adapter, last norm, [MASK], regressor
    assert n_parameters(model) == 4 * 818_240 + 20_312 * 256 + ends == 8_474_369
    with torch.device("meta"):
        assert (
            n_parameters(ARCHITECTURE.classifier(ScHyenaConfig(PAPER_GENES), 8))
            == 8_474_369 - 256 - 257 + 256 + 768 * 8
        )


def test_presets():
    assert ScHyenaConfig.from_preset("paper", 5) == ScHyenaConfig(5)
    assert n_parameters(ARCHITECTURE.masked_model(ScHyenaConfig.from_preset("tiny", 100))) < 20_000
    assert ScHyenaConfig.from_preset("small", 7).n_genes == 7
    with pytest.raises(BenchError, match="unknown preset 'large'"):
        ScHyenaConfig.from_preset("large", 5)


def test_backbone_has_the_same_names_in_both_models():
    masked, classifier = ARCHITECTURE.masked_model(tiny()), ARCHITECTURE.classifier(tiny(), 3)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (masked, classifier)]
    common = {k: v for k, v in shapes[0].items() if k.startswith(("encoder.", "embedding."))}
    assert {k: v for k, v in shapes[1].items() if k.startswith(("encoder.", "embedding."))} == common
    assert set(shapes[0]) - set(common) == {"mask_token", "regressor.weight", "regressor.bias"}
    assert set(shapes[1]) - set(common) == {"cls_token", "head.weight"}
    assert not [k for k in common if any(word in k for word in ARCHITECTURE.fresh)]  # all of it is taken over


def test_a_hidden_value_is_not_seen_but_its_gene_is():
    torch.manual_seed(0)
    model = perturbed(ARCHITECTURE.masked_model(tiny())).eval()
    x, hidden = torch.rand(1, 11), torch.zeros(1, 11, dtype=torch.bool)
    hidden[0, [2, 5]] = True
    changed = torch.where(hidden, 9.0, x)
    predicted = model(x, hidden)
    assert torch.equal(predicted, model(changed, hidden))
    assert predicted[0, 2] != predicted[0, 5]
    assert not torch.equal(predicted, model(x))


def test_dropout_of_embeddings_in_training_only():
    torch.manual_seed(0)
    x = torch.rand(1, 11)
    model = perturbed(ARCHITECTURE.masked_model(tiny()))
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    without = ARCHITECTURE.masked_model(tiny(embed_dropout=0.0))
    without.load_state_dict(model.state_dict())
    assert torch.equal(without(x), model(x))


def test_a_cell_without_counts_and_a_single_gene():
    assert ARCHITECTURE.classifier(tiny(1), 2)(torch.zeros(3, 1)).isfinite().all()
    assert ARCHITECTURE.masked_model(tiny(1))(torch.zeros(3, 1)).shape == (3, 1)


def test_under_autocast_residual_and_filters_stay_in_float32():
    torch.manual_seed(0)
    model = ARCHITECTURE.masked_model(tiny(300)).eval()
    x = torch.rand(2, 300)
    filters, lags = model.encoder.blocks[0].operator.filters, lags_of(torch.zeros(1, 300, 8), 300)
    exact, exact_filters = model(x), filters(lags)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x)
        torch.testing.assert_close(filters(lags), exact_filters)  # of the same dtype too
        assert model.encoder.blocks[0](torch.randn(1, 300, 8), lags).dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    rough.float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_initialisation():
    torch.manual_seed(0)
    model = ARCHITECTURE.masked_model(ScHyenaConfig(100))
    block = model.encoder.blocks[3]
    operator, filters = block.operator, block.operator.filters
    for layer in (operator.in_proj, block.widen, filters.inner[1], filters.last, model.embedding.adapter):
        assert layer.weight.std() == pytest.approx(0.02, rel=0.1)
    for layer in (operator.out_proj, block.narrow):
        assert layer.weight.std() == pytest.approx(0.02 / math.sqrt(8), rel=0.02)
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert not any(m.bias.any() for m in linear if m.bias is not None)
    assert model.embedding.genes.weight.std() == pytest.approx(0.02, rel=0.02)
    assert operator.short_weight.abs().max() == pytest.approx(3**-0.5, rel=0.01)
    assert (filters.frequency == 10).all()
    assert filters.skip.std() == pytest.approx(1, rel=0.15)
    assert not model.mask_token.any()


def test_it_learns_which_of_two_patterns_a_cell_has():
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    x = torch.rand(40, 24)
    x[labels == 1, 5] += 3 * torch.rand(20)
    model = ARCHITECTURE.classifier(tiny(24), 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimiser.step()
    assert (model.eval()(x).argmax(1) == labels).float().mean() > 0.85
