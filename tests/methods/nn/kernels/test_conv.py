import pytest
import torch

from bench.methods.nn.kernels.conv import causal_conv_silu


def conv_inputs(batch, length, channels, taps):
    g = torch.Generator().manual_seed(0)
    shapes = ((batch, length, channels), (channels, taps), (channels,), (batch, length, channels))
    return [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in shapes]


def literal_conv(x, weight, bias, reverse):
    """Each output as the sum it stands for."""
    length, taps = x.shape[1], weight.shape[1]
    rows = []
    for t in range(length):
        total = bias.expand(len(x), -1)
        for lag in range(taps):
            source = t + lag if reverse else t - lag
            if 0 <= source < length:
                total = total + weight[:, taps - 1 - lag] * x[:, source]
        rows.append(total / (1 + torch.exp(-total)))
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 9, 20, 4), (1, 2, 16, 4), (1, 70, 3, 1), (2, 130, 32, 4)])
def test_values_and_gradients(shape, dtype, reverse):
    *tensors, weight = conv_inputs(*shape)
    expected_leaves = [x.clone().requires_grad_() for x in tensors]
    expected = literal_conv(*expected_leaves, reverse)
    (expected * weight).sum().backward()
    leaves = [x.to(dtype).requires_grad_() for x in tensors]
    found = causal_conv_silu(*leaves, reverse=reverse)
    (found * weight.to(dtype)).sum().backward()
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    for leaf, wanted in zip(leaves, expected_leaves, strict=True):
        torch.testing.assert_close(leaf.grad.double(), wanted.grad, rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            *tensors, weight = (x.float() for x in conv_inputs(2, 200, 32, 4))
            leaves = [x.requires_grad_() for x in tensors]
            out = causal_conv_silu(*leaves)
            results.append([out, *torch.autograd.grad(out, leaves, weight)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
