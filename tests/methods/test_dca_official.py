"""The official dca in an environment that is built here from nothing, against its stored output."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from bench.build import build
from bench.environments import environment_of
from bench.errors import BenchError, UnavailableError
from bench.exchange import permutation, write_inputs
from bench.methods.dca import Dca
from bench.problem import Cells, Inputs
from bench.sandbox import Job, Sandbox
from bench.sandbox.handover import environment_of_job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def official(parity):
    with np.load(parity / "dca" / "official.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def denoise(tmp_path_factory, official):
    folder = tmp_path_factory.mktemp("dca")
    with pytest.MonkeyPatch.context() as patch, Sandbox(1) as sandbox:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        try:
            own = environment_of(Dca)
            build(own)
        except UnavailableError as error:
            pytest.skip(str(error))
        except BenchError as error:
            if "No matching distribution" in str(error) or "Connection" in str(error):
                pytest.skip(f"no package index: {error}")
            raise
        counts = official["counts"].copy()
        counts[:, 5] = 0  # a gene without counts, which the package refuses by itself
        counts[7] = 0  # and a cell
        obs = pd.DataFrame({"donor": "d"}, index=[f"c{i}" for i in range(len(counts))])
        var = pd.DataFrame(index=[f"g{j}" for j in range(counts.shape[1])])
        cells = Cells(csr_matrix(counts.astype(np.float32)), obs, var)
        write_inputs(Inputs(cells), folder / "inputs", "p")
        order = permutation(len(obs), "p")
        n = iter(range(1000))

        def _denoise(seed, kind):
            place = folder / f"trial{next(n)}"
            place.mkdir()
            job = Job(
                folder=str(place),
                inputs=str(folder / "inputs"),
                locator={"module": "bench.methods.dca", "class": "Dca"},
                params={**Dca.defaults(), "ae_type": f"{kind}-conddisp"},
                seed=seed,
                threads=1,
                device="cpu",
                timeout_s=300,
                memory_mb=4000,
                expression=("expression",),
                environment=environment_of_job(own, Dca),
            )
            outcome = sandbox.run(job)
            assert outcome.status == "ok", (place / "log.txt").read_text()
            shown = np.load(place / "expression.npy")
            expression = np.empty_like(shown)
            expression[order] = shown
            return expression, outcome

        yield _denoise


def test_the_official_package_gives_its_stored_scores(denoise, official):
    kept = np.ones_like(official["counts"], dtype=bool)
    kept[:, 5], kept[7] = False, False
    truth = np.log1p(official["proportion"][official["kind"]] * 1e4)
    results = [denoise(seed, "nb") for seed in range(3)]
    for expression, outcome in results:
        assert (expression[~kept] == 0).all()
        assert sorted(outcome.notes) == [
            "1 cells without counts are returned as zero",
            "1 genes without counts are returned as zero",
        ]
    for name, value in {
        "mse": np.mean([np.square(one - truth)[kept].mean() for one, _ in results]),
        "r": np.mean([np.corrcoef(one[kept], truth[kept])[0, 1] for one, _ in results]),
    }.items():
        theirs = official[f"nb_{name}"]
        assert abs(value - theirs.mean()) < 3.5 * theirs.std(ddof=1), name
    average = np.mean([one for one, _ in results], axis=0)
    apart = np.sqrt(np.square(average - official["nb_average"])[kept].mean())
    assert apart < official["nb_apart"].mean()


def test_the_same_seed_gives_the_same_output(denoise):
    np.testing.assert_array_equal(denoise(3, "zinb")[0], denoise(3, "zinb")[0])
