import os
import shutil

import pytest


def pytest_collection_modifyitems(config, items):
    """Skip what the machine lacks, unless CI says that nothing may be skipped."""
    lacking = {
        "r": (shutil.which("R") is None, "BENCH_REQUIRE_R", "R is not installed (scripts/install-r.sh)"),
        "browser": (
            shutil.which("chromium") is None or shutil.which("chromedriver") is None,
            "BENCH_REQUIRE_BROWSER",
            "chromium and chromedriver are not installed",
        ),
    }
    for item in items:
        for mark, (absent, variable, reason) in lacking.items():
            if mark in item.keywords and absent and os.environ.get(variable) != "1":
                item.add_marker(pytest.mark.skip(reason=reason))


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
