"""``bench.api.words``: who calls from Python is told of arguments, not of options."""

import anndata as ad
import numpy as np
import pytest

import bench
from bench.api.words import python_words
from bench.errors import BenchError

COUNTS = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")


def cells(matrix=COUNTS, **columns):
    adata = ad.AnnData(matrix)
    adata.obs = adata.obs.assign(**columns)
    return adata


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ("give another --out, or leave --split-seeds out", "give another out, or leave split_seeds out"),
        ("run with --split-seeds 3", "run with split_seeds=3"),
        ("where: --timeout", "where: timeout_s"),
        ("name it: bench data add FILE --name NAME", "name it: bench data add FILE --name NAME"),
        ("no arms (bench data add --condition-key, --case)", "no arms (bench.as_dataset: condition_key, case)"),
    ],
)
def test_options_become_arguments_and_commands_stay(said: str, then: str) -> None:
    with pytest.raises(BenchError) as raised, python_words(bench.run):
        raise BenchError("it is wrong", where=said, fix=said)
    assert (raised.value.where, raised.value.fix) == (then, then)
    assert raised.value.args == (str(raised.value),)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: bench.run("doublet", methods=[]), "where: methods"),
        (lambda: bench.run("doublet", device="tpu"), "where: device"),
        (lambda: bench.run("doublet", split_seeds=0), "where: split_seeds"),
        (lambda: bench.run("doublet", methods="controls", force="nope"), "unknown method in force 'nope'"),
        (lambda: bench.run("doublet", methods="controls", out=__file__), f"where: out={__file__}"),
        (lambda: bench.as_dataset(cells(np.log1p(COUNTS))), "layer counts, layer raw"),
        (lambda: bench.as_dataset(cells(), donor_key="nope"), "choose another with donor_key"),
        (lambda: bench.as_dataset(cells(c=["a", "b"] * 30), condition_key="c", case="z"), "where: case"),
    ],
)
def test_a_wrong_call_is_told_in_words_of_python(call, told: str) -> None:
    with pytest.raises(BenchError) as raised:
        call()
    assert told in str(raised.value)
    assert "--" not in str(raised.value)
