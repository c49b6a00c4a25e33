import math

import pytest
import torch

from bench.methods.nn.models import favor
from bench.methods.nn.models.favor import favor_attention, orthogonal_features


def features_of(m, d, seed=0):
    return orthogonal_features(m, d, torch.Generator().manual_seed(seed))


def qkv(*shape, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=g, dtype=dtype) for _ in range(3)]


def literal_favor(q, k, v, w, eps=1e-4, maximum_over_batch=False):
    """The estimator written a second time, with all features at once and the factors that cancel.

    The maxima are as the official code takes them, inside the graph.
    """
    d, m = q.shape[-1], len(w)
    q, k = q / d**0.25, k / d**0.25
    wq, wk = torch.einsum("bhld,md->bhlm", q, w), torch.einsum("bhld,md->bhlm", k, w)
    top = torch.max(wk) if maximum_over_batch else wk.amax((2, 3), keepdim=True)
    fq = m**-0.5 * (torch.exp(wq - (q**2).sum(-1, keepdim=True) / 2 - torch.max(wq, -1, keepdim=True).values) + eps)
    fk = m**-0.5 * (torch.exp(wk - (k**2).sum(-1, keepdim=True) / 2 - top) + eps)
    weights = torch.einsum("bhlm,bhsm->bhls", fq, fk)
    return torch.einsum("bhls,bhse->bhle", weights / weights.sum(-1, keepdim=True), v)


@pytest.mark.parametrize("eps", [1e-4, 0.1])
@pytest.mark.parametrize("tile", [2**19, 70, 1])
@pytest.mark.parametrize("maximum_over_batch", [False, True])
def test_output_and_gradients_are_those_of_the_plain_estimator(monkeypatch, tile, maximum_over_batch, eps):
    monkeypatch.setattr(favor, "_CPU_TILE", tile)
    inputs = [x.requires_grad_() for x in qkv(2, 3, 17, 8, dtype=torch.float64)]
    w = features_of(20, 8).double()
    found = favor_attention(*inputs, w, eps=eps, maximum_over_batch=maximum_over_batch)
    expected = literal_favor(*inputs, w, eps=eps, maximum_over_batch=maximum_over_batch)
    assert_same_gradients(inputs, found, expected)


def assert_same_gradients(inputs, found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("maximum_over_batch", [False, True])
def test_gradients_are_numerical_differences(eps, maximum_over_batch):
    inputs = [x.requires_grad_() for x in qkv(2, 2, 5, 4, dtype=torch.float64)]
    w = features_of(6, 4).double()

    def attention(*x):
        return favor_attention(*x, w, eps=eps, maximum_over_batch=maximum_over_batch)

    assert torch.autograd.gradcheck(attention, inputs)


def test_a_step_along_the_gradient_of_the_keys_gains_what_the_gradient_says():
    """Where it matters: with a maximum far above most keys ``eps`` weighs, and a maximum taken as constant is wrong."""
    q, k, v = qkv(1, 2, 300, 16, seed=4, dtype=torch.float64)
    w, k = features_of(44, 16).double(), (2 * k).requires_grad_()

    def loss(keys):
        return (favor_attention(q, keys, v, w) * v.flip(-1)).sum()

    (gradient,) = torch.autograd.grad(loss(k), k)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        gained = (loss(k + 1e-5 * direction) - loss(k - 1e-5 * direction)) / 2e-5
    assert float(gained) == pytest.approx(float(gradient.norm()), rel=1e-7)


@pytest.mark.parametrize("maximum_over_batch", [False, True])
def test_where_several_attain_a_maximum_they_share_its_gradient(monkeypatch, maximum_over_batch):
    """Keys that are equal, as genes without a vector of their own are, and queries and keys of zeros."""
    monkeypatch.setattr(favor, "_CPU_TILE", 70)
    q, k, v = qkv(2, 2, 9, 4, dtype=torch.float64)
    w = features_of(10, 4).double()
    k[..., 3:, :] = 3 * k[:, :, 3:4]  # the largest of most cells and heads, seven times
    q[0, 0, :2], k[1, 1] = 0.0, 0.0
    inputs = [x.requires_grad_() for x in (q, k, v)]
    found = favor_attention(*inputs, w, eps=0.1, maximum_over_batch=maximum_over_batch)
    assert_same_gradients(inputs, found, literal_favor(*inputs, w, eps=0.1, maximum_over_batch=maximum_over_batch))


def test_float32_agrees_with_float64_and_values_may_be_of_another_width():
    q, k, _ = qkv(1, 2, 300, 16, seed=1)
    v = torch.randn(1, 2, 300, 5)
    w = features_of(44, 16)
    expected = literal_favor(q.double(), k.double(), v.double(), w.double())
    torch.testing.assert_close(favor_attention(q, k, v, w).double(), expected, rtol=1e-4, atol=1e-5)


def test_views_as_the_attention_passes_them():
    q, k, v = (x.transpose(1, 2) for x in qkv(2, 9, 3, 8))  # (cells, length, heads, d) in memory
    w = features_of(10, 8)
    torch.testing.assert_close(favor_attention(q, k, v, w), literal_favor(q, k, v, w), rtol=1e-4, atol=1e-5)


def test_half_precision_is_computed_in_float32():
    q, k, v = (x.bfloat16() for x in qkv(1, 2, 30, 8))
    w = features_of(16, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = favor_attention(q, k, v, w)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, favor_attention(q.float(), k.float(), v.float(), w).bfloat16())


@pytest.mark.parametrize("scale", [30.0, 1e3])
def test_large_values_stay_finite(scale):
    inputs = [(scale * x).requires_grad_() for x in qkv(1, 2, 50, 16)]
    out = favor_attention(*inputs, features_of(44, 16))
    assert out.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), inputs))


def test_a_cell_alone_is_as_in_a_batch_unless_the_maximum_is_the_batchs():
    q, k, v = qkv(2, 2, 40, 16)
    k[1] *= 8  # raises the maximum of the whole batch
    w = features_of(44, 16)

    def difference(**options):
        return (favor_attention(q, k, v, w, **options)[:1] - favor_attention(q[:1], k[:1], v[:1], w, **options)).abs()

    assert difference().max() < 1e-6
    assert difference(maximum_over_batch=True).max() > 1e-3


def test_error_falls_with_the_number_of_features():
    """Mean absolute error against exact attention over many draws: halved by four times the features."""
    q, k, v = (x.double() for x in qkv(1, 1, 32, 16, seed=2))
    q, k = q / 2, k / 2  # the variance grows exponentially with |q + k|^2
    exact = torch.softmax(q @ k.mT / math.sqrt(16), -1) @ v
    sizes = (64, 256, 1024, 4096)
    errors = []
    for m in sizes:
        draws = [favor_attention(q, k, v, features_of(m, 16, seed).double(), eps=0.0) for seed in range(24)]
        errors.append(float(torch.stack([(draw - exact).abs().mean() for draw in draws]).mean()))
    slope = math.log(errors[-1] / errors[0]) / math.log(sizes[-1] / sizes[0])
    assert errors[-1] < 0.1 * float(exact.abs().mean())
    assert -0.65 < slope < -0.4, errors


def test_memory_is_linear_in_the_length_and_features_are_not_kept():
    """What backward keeps: a few times q, k and v, neither length x length nor length x features."""
    d, m = 16, 200

    def kept(length):
        sizes = []
        inputs = [x.requires_grad_() for x in qkv(1, 1, length, d)]
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            favor_attention(*inputs, features_of(m, d))
        return sum(sizes)

    per_position = (kept(4000) - kept(2000)) / 2000
    assert per_position == (kept(8000) - kept(4000)) / 4000
    assert per_position <= 4 * d + 2


def test_features_are_orthogonal_within_blocks_and_as_long_as_normal_vectors():
    w = features_of(20, 8)
    assert w.shape == (20, 8)
    directions = w / w.norm(dim=1, keepdim=True)
    for block in directions.split(8):
        torch.testing.assert_close(block @ block.T, torch.eye(len(block)), atol=1e-5, rtol=0)
    many = features_of(40_000, 4)
    torch.testing.assert_close(many.T @ many / len(many), torch.eye(4), atol=0.03, rtol=0)  # covariance
    assert many.mean(0).abs().max() < 0.03
    assert float(many.square().sum(1).var()) == pytest.approx(8, rel=0.05)  # chi-squared of 4 degrees


def test_features_are_positive_estimates_without_bias():
    """The mean of f(q) f(k) over draws is exp(q.k)."""
    q, k = torch.tensor([0.3, -0.5, 0.6]), torch.tensor([-0.2, 0.4, 0.5])
    w = features_of(60_000, 3, seed=5)
    estimate = torch.exp(w @ q - q @ q / 2 + w @ k - k @ k / 2).mean()
    assert float(estimate) == pytest.approx(math.exp(float(q @ k)), rel=0.03)
