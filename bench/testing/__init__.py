"""For the tests of packages that add methods or tasks: a toy dataset, problems on it, and suites of checks.

Examples
--------
Tests of a method and of a task, for pytest::

    from bench.testing import check_method, check_task
    from my_package import MyMethod, MyTask


    def test_my_method():
        check_method(MyMethod)


    def test_my_task():
        check_task(MyTask)
"""

from __future__ import annotations

from bench.testing.checks import check_method
from bench.testing.task_checks import check_task
from bench.testing.toy import toy_dataset, toy_problem

__all__ = ["check_method", "check_task", "toy_dataset", "toy_problem"]
