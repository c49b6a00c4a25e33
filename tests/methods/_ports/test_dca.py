"""dca-torch against dca 0.3.4 in TensorFlow, averaged over seeds (README of the parity folder)."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

torch = pytest.importorskip("torch")

from bench.errors import UnknownNameError  # noqa: E402
from bench.method import Context  # noqa: E402
from bench.methods._ports import dca  # noqa: E402
from bench.methods._ports.negative_binomial import NegativeLogLikelihood  # noqa: E402
from bench.methods._shared.imputer import log_shares  # noqa: E402
from bench.methods.dca_torch import DcaTorch  # noqa: E402


@pytest.fixture(scope="module")
def official(parity):
    with np.load(parity / "dca" / "official.npz") as stored:
        return dict(stored)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nb", "zinb"])
def test_it_denoises_like_the_package(kind, official):
    X = csr_matrix(official["counts"].astype(np.float32))
    truth = np.log1p(official["proportion"][official["kind"]] * 1e4)
    scaling = dca.Scaling.of(X)
    ours, losses = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        network = dca.Network(X.shape[1], zero_inflated=kind == "zinb")
        history = dca.train(network, X, scaling, epochs=300, batch_size=32, reduce_lr=10, early_stop=15)
        losses.append(min(history))
        ours.append(log_shares(dca.mean(network, X, scaling)))
    found = {
        "mse": np.mean([np.square(one - truth).mean() for one in ours]),
        "r": np.mean([np.corrcoef(one.ravel(), truth.ravel())[0, 1] for one in ours]),
        "loss": np.mean(losses),
    }
    for name, value in found.items():
        theirs = official[f"{kind}_{name}"]
        assert abs(value - theirs.mean()) < 3.5 * theirs.std(ddof=1), name
    apart = np.sqrt(np.square(np.mean(ours, axis=0) - official[f"{kind}_average"]).mean())
    assert apart < official[f"{kind}_apart"].mean()


def the_packages_loss(log_mean, raw_dispersion, dropout_logit, size, counts):
    """What ``dca/loss.py`` of 0.3.4 computes, at every entry and left to autograd."""
    eps = 1e-10
    mu = log_mean.exp().clamp(1e-5, 1e6) * size
    theta = torch.nn.functional.softplus(raw_dispersion).clamp(1e-4, 1e4)
    nb = torch.lgamma(theta + eps) + torch.lgamma(counts + 1) - torch.lgamma(counts + theta + eps)
    nb = nb + (theta + counts) * torch.log1p(mu / (theta + eps))
    nb = nb + counts * (torch.log(theta + eps) - torch.log(mu + eps))
    if dropout_logit is None:
        return nb.sum()
    pi = torch.sigmoid(dropout_logit)
    at_zero = -torch.log(pi + (1 - pi) * torch.pow(theta / (theta + mu + eps), theta) + eps)
    return torch.where(counts < 1e-8, at_zero, nb - torch.log(1 - pi + eps)).sum()


@pytest.mark.parametrize("zero_inflated", [False, True])
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(torch.float64, 1e-5, 1e-9), (torch.float32, 2e-4, 1e-4)])
def test_loss_and_gradient_are_those_of_the_packages_formula(zero_inflated, dtype, rtol, atol):
    torch.manual_seed(0)
    counts = torch.poisson(torch.full((40, 300), 0.1)) * torch.randint(1, 50, (40, 300))
    assert 0.05 < (counts > 0).float().mean() < 0.15
    outputs = [torch.randn(40, 300, dtype=dtype) * spread for spread in (3, 4, 3)]
    outputs[0][:, 0], outputs[0][:, 1] = -13, 15  # beyond the bounds of the mean and of the dispersion
    outputs[1][:, 2], outputs[1][:, 3] = -11, 2e4
    outputs[0][:, 4], outputs[1][:, 4], outputs[2][:, 4] = 8, 5, -40  # a 0 that hardly can be
    outputs[2][:, 5] = 40  # and a count
    outputs = [one.requires_grad_() for one in outputs[: 2 + zero_inflated]]
    shown, size = [*outputs, None][:3], torch.rand(40, 1, dtype=dtype) + 0.5
    at = counts.view(-1).nonzero()[:, 0]
    ours = NegativeLogLikelihood.apply(*shown, size, at, counts.view(-1)[at].to(dtype))
    exact = [None if one is None else one.double() for one in (*shown, size, counts)]
    theirs = the_packages_loss(*exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=rtol / 10, atol=0)
    for one, other in zip(torch.autograd.grad(ours, outputs), torch.autograd.grad(theirs, outputs), strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)
        assert (one[:, :4] == 0).all(0).sum() == (other[:, :4] == 0).all(0).sum()


def test_the_loss_is_the_negative_log_likelihood():
    from scipy.stats import nbinom

    counts, mean, dispersion = np.arange(6.0), np.linspace(0.3, 8, 6), np.linspace(0.5, 4, 6)
    outputs = [torch.tensor(v).view(1, -1) for v in (np.log(mean), np.log(np.expm1(dispersion)))]
    above = torch.tensor(counts[1:])
    ours = NegativeLogLikelihood.apply(*outputs, None, torch.ones(1, 1), torch.arange(1, 6), above)
    expected = -nbinom.logpmf(counts, dispersion, dispersion / (dispersion + mean)).sum()
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_a_zero_that_is_stored_is_no_count():
    counts = np.random.default_rng(0).poisson(0.5, (30, 12)).astype(np.float32)
    plain, stored = csr_matrix(counts), csr_matrix(counts + 1)
    stored.data -= 1
    network, scaling = dca.Network(12, zero_inflated=True), dca.Scaling.of(plain)
    one, other = (dca._loss(network, X, scaling, torch.device("cpu")) for X in (plain, stored))
    torch.testing.assert_close(one, other)


def test_the_input_is_that_of_scanpy(official, monkeypatch):
    import anndata as ad
    import scanpy as sc

    X = official["counts"].astype(np.float32)
    monkeypatch.setattr("bench.blocks.BLOCK_VALUES", 7 * X.shape[1])
    adata = ad.AnnData(X.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    shown, size = dca.Scaling.of(csr_matrix(X)).apply(csr_matrix(X))
    np.testing.assert_allclose(shown, adata.X, atol=1e-4)
    np.testing.assert_allclose(size[:, 0], X.sum(axis=1) / np.median(X.sum(axis=1)), rtol=1e-6)


def test_an_unknown_type_is_refused(as_inputs):
    with pytest.raises(UnknownNameError, match="poison"):
        DcaTorch(ae_type="poison").run(as_inputs(np.ones((30, 5))), Context(seed=0))
