"""For the tests of packages that add methods: a toy dataset, a task's problem on it, and the conformance suite.

Examples
--------
A test of a method, for pytest::

    from bench.testing import check_method
    from my_package import MyMethod


    def test_my_method():
        check_method(MyMethod)
"""

from __future__ import annotations

from bench.testing.checks import check_method
from bench.testing.toy import toy_dataset, toy_problem

__all__ = ["check_method", "toy_dataset", "toy_problem"]
