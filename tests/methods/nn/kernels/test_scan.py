import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.methods.nn.kernels import scan as _scan
from bench.methods.nn.kernels.scan import selective_scan

TENSORS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


ON_GPU = SimpleNamespace(dtype=torch.float32, device=SimpleNamespace(type="cuda"))


@pytest.fixture
def install(monkeypatch):
    """Put a module in the place of mamba-ssm's interface; None makes its import fail."""

    def put(module):
        monkeypatch.setitem(sys.modules, _scan._CUDA_KERNEL, module)
        _scan._cuda_kernel.cache_clear()

    yield put
    _scan._cuda_kernel.cache_clear()


def scan_inputs(batch, length, channels, states, *, without=(), seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    tensors = {
        "u": normal(batch, length, channels),
        "delta": normal(batch, length, channels) * 0.5 - 2,
        "A": -torch.rand(channels, states, generator=g, dtype=torch.float64) * 8 - 0.2,
        "B": normal(batch, length, states),
        "C": normal(batch, length, states),
        "D": normal(channels),
        "z": normal(batch, length, channels),
        "delta_bias": normal(channels) * 0.3,
    }
    return {k: v.to(dtype) for k, v in tensors.items() if k not in without}


def output_and_gradients(tensors, *, dtype, **options):
    leaves = {k: v.detach().to(dtype).requires_grad_() for k, v in tensors.items()}
    out = selective_scan(**leaves, **options)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    grads = torch.autograd.grad((out * weight).sum(), list(leaves.values()))
    return {"out": out.detach(), **dict(zip(leaves, grads, strict=True))}


def assert_close(found, expected, tolerance=1e-5):
    for name, value in expected.items():
        scale = value.abs().max().item() + 1e-12
        error = (found[name].double() - value).abs().max().item() / scale
        assert error < tolerance, f"{name}: relative error {error:.1e}"


def literal_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse):
    """The recurrence written out in numpy for single numbers, independent of the code under test."""
    batch, length, channels = u.shape
    out = np.zeros(u.shape)
    for i in range(batch):
        for c in range(channels):
            h = np.zeros(A.shape[1])
            for t in reversed(range(length)) if reverse else range(length):
                d = delta[i, t, c] + delta_bias[c]
                d = np.log1p(np.exp(d)) if delta_softplus else d
                h = np.exp(d * A[c]) * h + d * B[i, t] * u[i, t, c]
                gate = z[i, t, c] / (1 + np.exp(-z[i, t, c]))
                out[i, t, c] = (h @ C[i, t] + D[c] * u[i, t, c]) * gate
    return out


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("softplus", [False, True])
def test_the_recurrence_is_that_of_the_paper(backend, reverse, softplus):
    tensors = scan_inputs(2, 9, 3, 4)
    tensors["delta"] = tensors["delta"].abs() * 0.1
    expected = literal_scan(*(tensors[k].double().numpy() for k in TENSORS), softplus, reverse)
    found = selective_scan(**tensors, delta_softplus=softplus, reverse=reverse, backend=backend)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("without", [(), ("D", "z", "delta_bias")])
def test_gradcheck_of_the_reference(reverse, without):
    tensors = scan_inputs(2, 5, 3, 2, without=without, dtype=torch.float64)
    names = list(tensors)

    def scan(*values):
        return selective_scan(**dict(zip(names, values, strict=True)), delta_softplus=True, reverse=reverse)

    assert torch.autograd.gradcheck(scan, [tensors[k].requires_grad_() for k in names])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 64, 16, 16), (2, 65, 17, 5), (3, 129, 48, 16), (1, 200, 33, 19), (2, 3, 64, 32)]
)
def test_kernel_agrees_with_the_reference(shape, reverse):
    tensors = scan_inputs(*shape)
    options = {"delta_softplus": True, "reverse": reverse}
    found = output_and_gradients(tensors, dtype=torch.float32, backend="cpu", **options)
    assert_close(found, output_and_gradients(tensors, dtype=torch.float64, backend="reference", **options))


@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("without", [("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")])
def test_kernel_without_optional_inputs(without, softplus):
    tensors = scan_inputs(2, 70, 20, 3, without=without)
    if not softplus:  # step sizes are then what is given, and a negative one makes the state grow
        tensors["delta"] = tensors["delta"].abs() + 1
    found = output_and_gradients(tensors, dtype=torch.float32, backend="cpu", delta_softplus=softplus)
    expected = output_and_gradients(tensors, dtype=torch.float64, backend="reference", delta_softplus=softplus)
    assert_close(found, expected)


def test_reverse_is_the_flipped_scan_of_the_flipped_sequence():
    tensors = scan_inputs(2, 77, 18, 4)
    flipped = {k: v.flip(1) if v.ndim == 3 else v for k, v in tensors.items()}
    backward = selective_scan(**tensors, delta_softplus=True, reverse=True)
    assert torch.equal(backward, selective_scan(**flipped, delta_softplus=True).flip(1))


def test_inputs_need_not_be_contiguous():
    tensors = scan_inputs(2, 40, 16, 6)
    strided = {k: v.transpose(0, -1).contiguous().transpose(0, -1) for k, v in tensors.items()}
    strided["z"] = torch.cat([tensors["u"], tensors["z"]], dim=-1)[..., 16:]
    assert not strided["u"].is_contiguous()
    assert not strided["z"].is_contiguous()
    found = output_and_gradients(strided, dtype=torch.float32, delta_softplus=True)
    expected = output_and_gradients(tensors, dtype=torch.float32, delta_softplus=True)
    assert all(torch.equal(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize("wanted", [("u",), ("A",), ("B", "C"), ("z", "delta_bias"), ("delta", "D")])
def test_only_the_gradients_asked_for(wanted):
    tensors = scan_inputs(1, 30, 16, 4)
    expected = output_and_gradients(tensors, dtype=torch.float32, delta_softplus=True)
    leaves = {k: v.clone().requires_grad_(k in wanted) for k, v in tensors.items()}
    out = selective_scan(**leaves, delta_softplus=True)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    (out * weight).sum().backward()
    for name, leaf in leaves.items():
        assert torch.equal(leaf.grad, expected[name]) if name in wanted else leaf.grad is None


def test_results_do_not_depend_on_the_number_of_threads():
    tensors = scan_inputs(2, 150, 112, 16)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(output_and_gradients(tensors, dtype=torch.float32, delta_softplus=True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_extreme_step_sizes_stay_finite_and_nan_is_passed_on():
    tensors = scan_inputs(1, 20, 16, 16)
    tensors["delta"][0, 3] = 500.0
    tensors["delta"][0, 5] = -500.0
    tensors["z"][0, 7], tensors["z"][0, 8] = 300.0, -300.0
    found = output_and_gradients(tensors, dtype=torch.float32, delta_softplus=True)
    assert_close(found, output_and_gradients(tensors, dtype=torch.float64, backend="reference", delta_softplus=True))
    tensors["u"][0, 10, 4] = float("nan")
    out = selective_scan(**tensors, delta_softplus=True)
    assert out[0, 10:, 4].isnan().all()
    assert not out[0, :10].isnan().any()
    assert not out[..., 5:].isnan().any()


def test_half_precision_is_scanned_in_float32_and_returned_in_its_own_dtype():
    tensors = scan_inputs(1, 50, 16, 4)
    rounded = {k: v.bfloat16() for k, v in tensors.items()}
    out = selective_scan(**rounded, delta_softplus=True)
    assert out.dtype == torch.bfloat16
    in_float32 = selective_scan(**{k: v.float() for k, v in rounded.items()}, delta_softplus=True)
    assert torch.equal(out, in_float32.bfloat16())


def test_no_length_and_no_sequence():
    assert selective_scan(**scan_inputs(1, 0, 16, 4)).shape == (1, 0, 16)
    assert selective_scan(**scan_inputs(0, 5, 16, 4)).shape == (0, 5, 16)


@pytest.mark.parametrize("name", ["delta", "A", "B", "C", "D", "z", "delta_bias"])
def test_a_wrong_shape_is_named(name):
    tensors = scan_inputs(2, 7, 3, 4)
    tensors[name] = tensors[name].transpose(0, -1) if tensors[name].ndim > 1 else tensors[name][:-1]
    with pytest.raises(BenchError, match=f"{name} must have shape"):
        selective_scan(**tensors)


def test_the_cuda_kernel_gets_channels_before_length(install):
    """Its own results need a GPU; here a stand-in with its calling convention takes its place."""

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        def turned(x):
            return x.transpose(1, 2)

        assert all(x.is_contiguous() for x in (u, delta, B, C, z))
        arguments = (turned(u), turned(delta), A, turned(B), turned(C), D, turned(z), delta_bias, delta_softplus)
        return turned(_scan.selective_scan_reference(*arguments))

    install(SimpleNamespace(selective_scan_fn=selective_scan_fn, selective_scan_cuda=object()))
    assert _scan._backend_for(ON_GPU) == "cuda"
    tensors = scan_inputs(2, 12, 5, 3)
    for reverse in (False, True):
        found = selective_scan(**tensors, delta_softplus=True, reverse=reverse, backend="cuda")
        expected = selective_scan(**tensors, delta_softplus=True, reverse=reverse, backend="reference")
        torch.testing.assert_close(found, expected)


def test_without_mamba_ssm_or_its_kernel_the_cuda_backend_says_so(install):
    """Built without its kernel, mamba-ssm can be imported, and raises when it is called."""

    def selective_scan_fn(*tensors):
        raise RuntimeError("selective_scan_cuda is not installed")

    for module in (None, SimpleNamespace(selective_scan_fn=selective_scan_fn, selective_scan_cuda=None)):
        install(module)
        with pytest.raises(BenchError, match=r"(?s)mamba-ssm or its kernel is missing.*MAMBA_KEEP_CUDA_BUILD=TRUE"):
            selective_scan(**scan_inputs(1, 2, 3, 4), backend="cuda")
        assert _scan._backend_for(ON_GPU) == "reference"


def test_float64_goes_to_the_reference():
    tensors = scan_inputs(1, 6, 4, 2, dtype=torch.float64)
    assert torch.equal(selective_scan(**tensors), selective_scan(**tensors, backend="reference"))
    assert selective_scan(**tensors).dtype == torch.float64
