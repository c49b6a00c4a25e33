import os
import sys
from importlib.util import find_spec

import pytest

# One thread, as a trial's process has: on data as small as these, threads of BLAS that wait for each other are most of
# the time. Read when numpy is first imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

#: Mark -> variable under which a skipped test of that mark is a failure (CI sets both).
REQUIRED = {"r": "BENCH_REQUIRE_R", "browser": "BENCH_REQUIRE_BROWSER"}

#: Neither the sequence models' tests nor their conftest can be imported without torch.
collect_ignore = [] if find_spec("torch") else ["methods/nn"]


def pytest_report_header():
    """Say which tests are left out."""
    return [f"left out: tests/{path}, torch is not installed" for path in collect_ignore]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure where the environment says that nothing of that kind may be skipped."""
    report = yield
    for mark, variable in REQUIRED.items():
        if report.skipped and mark in item.keywords and os.environ.get(variable) == "1":
            report.outcome = "failed"
            report.longrepr = f"skipped although {variable}=1: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def cohort_cache(tmp_path_factory):
    """The built-in cohort, simulated once per test session and out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["BENCH_CACHE"]
    else:
        os.environ["BENCH_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def one_signature_per_cached_kernel():
    """A kernel that numba keeps on disk may be compiled for one signature only.

    numba numbers a kernel's cache files in the order of compilation. Two processes that compile two signatures at the
    same moment give both the same number, and the index of one then leads to the code of the other: wrong numbers,
    silently.
    """
    yield
    dispatcher = sys.modules.get("numba.core.dispatcher")
    kernels = {
        f"{module}.{name}": value
        for module, members in list(sys.modules.items())
        if module.startswith("bench.")
        for name, value in vars(members).items()
        if dispatcher and isinstance(value, dispatcher.Dispatcher) and value.stats.cache_path is not None
    }
    assert [name for name, kernel in kernels.items() if len(kernel.signatures) > 1] == []
