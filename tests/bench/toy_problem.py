"""Inputs and jobs for tests of the sandbox."""

import numpy as np
import pandas as pd
from conftest_core import PLUGIN
from scipy import sparse

from bench.problem import Cells, Inputs, Output
from bench.sandbox import Job

_N = 40
INPUTS = Inputs(
    Cells(
        sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (_N, 15)).astype(np.float32)),
        pd.DataFrame({"donor": ["a", "b"] * (_N // 2)}, index=[f"c{i}" for i in range(_N)]),
        pd.DataFrame({"symbol": [f"s{i}" for i in range(15)]}, index=[f"g{i}" for i in range(15)]),
    ),
    info={"fact": 1},
)


def toy_job(folder, inputs, mode, *, timeout_s=20.0, memory_mb=4000.0, seconds=60.0, verify_inputs=False, cls="Toy"):
    params = {"mode": mode, "seconds": seconds} if cls == "Toy" else {}
    return Job(
        folder=str(folder),
        inputs=str(inputs),
        locator={"file": str(PLUGIN), "class": cls},
        params=params,
        seed=1,
        threads=1,
        device="cpu",
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        outputs=(Output("score", "float", "a score"), Output("call", "bool", "a call", required=False)),
        verify_inputs=verify_inputs,
    )
