"""dca-torch against dca 0.3.4 in TensorFlow, averaged over seeds (README of the parity folder)."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

torch = pytest.importorskip("torch")

from bench.errors import UnknownNameError  # noqa: E402
from bench.method import Context  # noqa: E402
from bench.methods import _dca  # noqa: E402
from bench.methods._imputer import log_shares  # noqa: E402
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
    scaling = _dca.Scaling.of(X)
    ours, losses = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        network = _dca.Network(X.shape[1], zero_inflated=kind == "zinb")
        history = _dca.train(network, X, scaling, epochs=300, batch_size=32, reduce_lr=10, early_stop=15)
        losses.append(min(history))
        ours.append(log_shares(_dca.mean(network, X, scaling)))
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


def test_the_loss_is_the_negative_log_likelihood():
    from scipy.stats import nbinom

    counts, mu, theta = np.arange(6.0), np.linspace(0.3, 8, 6), np.linspace(0.5, 4, 6)
    ours = _dca.negative_binomial(*(torch.tensor(v, dtype=torch.float64) for v in (counts, mu, theta)))
    np.testing.assert_allclose(ours, -nbinom.logpmf(counts, theta, theta / (theta + mu)), rtol=1e-8)


def test_the_input_is_that_of_scanpy(official):
    import anndata as ad
    import scanpy as sc

    X = official["counts"].astype(np.float32)
    adata = ad.AnnData(X.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    shown, size = _dca.Scaling.of(csr_matrix(X)).apply(csr_matrix(X))
    np.testing.assert_allclose(shown, adata.X, atol=1e-4)
    np.testing.assert_allclose(size[:, 0], X.sum(axis=1) / np.median(X.sum(axis=1)), rtol=1e-6)


def test_an_unknown_type_is_refused(as_inputs):
    with pytest.raises(UnknownNameError, match="poison"):
        DcaTorch(ae_type="poison").run(as_inputs(np.ones((30, 5))), Context(seed=0))
