import pytest
import torch
from torch import nn

from bench.methods.nn.kernels.norm import add_and_normalise


def literal(h, residual, weight):
    total = h if residual is None else h + residual
    return total / torch.sqrt((total * total).mean(-1, keepdim=True) + 1e-5) * weight, total


def norm_inputs(shape, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    shapes = (shape, shape, shape[-1:], shape, shape)
    return [torch.randn(s, generator=g, dtype=torch.float64).to(dtype) for s in shapes]


def outputs_and_gradients(h, residual, weight, dnormed, dtotal):
    norm = nn.RMSNorm(len(weight), eps=1e-5).to(weight.dtype)
    with torch.no_grad():
        norm.weight.copy_(weight)
    leaves = [x for x in (h, residual) if x is not None]
    out = add_and_normalise(h, residual, norm)
    return [*out, *torch.autograd.grad(out, [*leaves, norm.weight], [dnormed, dtotal])]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 9, 32), (1, 1, 1), (3, 70, 20), (1, 130, 256)])
def test_sum_norm_and_gradients(shape, dtype, first):
    h, residual, weight, dnormed, dtotal = norm_inputs(shape)
    leaves = [x.requires_grad_() for x in ((h, weight) if first else (h, residual, weight))]
    residual = None if first else residual
    expected = literal(h, residual, weight)
    expected = [*expected, *torch.autograd.grad(expected, leaves, [dnormed, dtotal])]
    given = [x if x is None else x.detach().to(dtype) for x in (h, residual, weight, dnormed, dtotal)]
    found = outputs_and_gradients(*(x if x is None else x.requires_grad_() for x in given))
    for value, wanted in zip(found, expected, strict=True):
        assert value.dtype == dtype
        torch.testing.assert_close(value.double(), wanted, rtol=2e-5, atol=2e-5)


def test_half_precision_is_added_and_normalised_in_float32():
    h, residual, *_ = norm_inputs((2, 5, 16), torch.float32)
    normed, total = add_and_normalise(h.bfloat16(), residual, nn.RMSNorm(16, eps=1e-5))
    assert normed.dtype == total.dtype == torch.float32
    assert torch.equal(total, h.bfloat16().float() + residual)


def test_rows_need_not_be_adjacent_and_there_may_be_none():
    h, residual, *_ = norm_inputs((2, 5, 16), torch.float32)
    norm = nn.RMSNorm(16, eps=1e-5)
    turned = h.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(add_and_normalise(turned, residual, norm)[0], add_and_normalise(h, residual, norm)[0])
    assert add_and_normalise(h[:0], None, norm)[0].shape == (0, 5, 16)


def test_norm_does_not_depend_on_the_number_of_threads():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            h, residual, weight, *outer = norm_inputs((2, 200, 32), torch.float32)
            results.append(outputs_and_gradients(*(x.requires_grad_() for x in (h, residual, weight)), *outer))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
