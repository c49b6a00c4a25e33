import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.develop.scaffold import new_task
from bench.errors import BenchError, NotApplicableError
from bench.locate import load_file
from bench.problem import Inputs, Problem, Score, Scored
from bench.task import Control
from bench.testing import check_task, toy_dataset


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The task that `bench new task` writes, to break."""
    return load_file(new_task("toy-task", tmp_path_factory.mktemp("package"))[0]).ToyTask


@pytest.fixture
def told(base):
    """Return what the suite says of the task with some attributes changed."""

    def _told(**changed):
        with pytest.raises(AssertionError) as error:
            check_task(type("Broken", (base,), changed))
        return str(error.value)

    return _told


def test_a_package_of_others_tests_its_task_with_it(tmp_path):
    package = new_task("toy-task", tmp_path)[0].parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_card_that_cannot_anchor_its_scale(base, told):
    no_headline = tuple(replace(metric, headline=False) for metric in base.metrics)
    assert "exactly one of `metrics` is the headline" in told(metrics=no_headline)
    assert "no random and perfect control" in told(controls=base.controls[2:])


def test_a_problem_that_differs_each_time(base, told):
    def make_problem(self, dataset, track, seeds):
        problem = base.make_problem(self, dataset, track, seeds)
        return Problem(replace(problem.inputs, info={"drawn": np.random.default_rng().random()}), problem.solution)

    assert "tenth: the same seeds give another problem" in told(make_problem=make_problem)


def test_scores_that_the_card_does_not_declare(base, told):
    def scored(metric, value, detail=""):
        return lambda self, problem, prediction: Scored([Score(metric, value, detail=detail)])

    assert "control truth: metric 'rmse' is not among `metrics`" in told(score=scored("rmse", 0.5))
    assert "no track is scored by metric 'pearson', which `metrics` declares" in told(score=scored("rmse", 0.5))
    assert "pearson of pooled is 1.5, declared from -1.0 to 1.0" in told(score=scored("pearson", 1.5))
    assert "pearson of pooled is undefined, and `detail` does not say why" in told(score=scored("pearson", np.nan))
    assert "does not say why" not in told(score=scored("pearson", np.nan, "a constant"))


def test_a_perfect_control_that_is_none(base, told):
    downwards = tuple(replace(metric, higher_is_better=False) for metric in base.metrics)
    assert "pearson: the perfect control has 1, the random one" in told(metrics=downwards)


def test_inputs_that_tell_the_truth(base, told):
    def make_problem(self, dataset, track, seeds):
        problem = base.make_problem(self, dataset, track, seeds)
        cells = problem.inputs.cells
        obs = cells.obs.assign(hint=problem.solution["hidden"])
        return Problem(Inputs(replace(cells, obs=obs)), problem.solution)

    assert "leak: these input files change with the hidden truth" in told(make_problem=make_problem)


def test_an_answer_that_no_method_could_give(base):
    short = Control("truth", "perfect", "One too few.", lambda p, rng: {"expected": np.zeros(len(p.solution) - 1)})
    with pytest.raises(BenchError, match="expected"):
        check_task(type("Broken", (base,), {"controls": (base.controls[0], short)}))


def test_where_no_track_is_served_nothing_was_checked(base):
    with pytest.raises(BenchError, match="'toy' serves no track of toy-task"):
        check_task(type("Picky", (base,), {"why_not": lambda self, card, track: "the cells are toys"}))

    def make_problem(self, dataset, track, seeds):
        raise NotApplicableError("no cell is deep enough")

    with pytest.raises(BenchError, match="tenth: no cell is deep enough"):
        check_task(type("Picky", (base,), {"make_problem": make_problem}))


def test_another_dataset_and_an_object(base):
    check_task(base(), dataset=toy_dataset(n_donors=2, cells_per_donor=20, n_genes=60))
