import pytest

from bench.environments.availability import missing, why_unavailable
from bench.method import Method, python_package


def needing(*packages):
    class Toy(Method):
        requires = packages

        def run(self, inputs, ctx):
            return {}

    return Toy


@pytest.mark.parametrize("version", ["", ">=1", "<1000", ">=1,<1000"])
def test_an_installed_version_that_serves_is_not_missing(version):
    assert not missing(needing(python_package("numpy", version=version)))


def test_another_version_than_the_one_needed_is_named_with_the_remedy():
    import numpy as np

    reason = why_unavailable(needing(python_package("numpy", version="<1")))
    assert reason == f"numpy {np.__version__} is installed and <1 is needed: pip install 'numpy<1'"


def test_an_absent_package_is_missing_whatever_its_version():
    name = "no-such-distribution-at-all"
    reason = why_unavailable(needing(python_package(name, version="<2", extra="some")))
    assert reason == f"{name} is missing: pip install 'scmamba-bench[some]'"
