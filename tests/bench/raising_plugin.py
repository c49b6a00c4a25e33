"""A task whose control, and a method that, raise the error a track is named after: `--plugin` loads this file."""

from toy_plugin import Guess

from bench import errors
from bench.method import Method
from bench.task import Control, Track


class OwnRefusalError(errors.InvalidOutputError):
    """An error of a third party."""


ERRORS = {
    error.__name__: error
    for error in (
        errors.BenchError,
        errors.DataError,
        errors.InvalidOutputError,
        errors.UnavailableError,
        errors.NotApplicableError,
        OwnRefusalError,
        ValueError,
        SystemExit,
    )
}


def refuse(inputs):
    raise ERRORS[inputs.info["track"]]("on purpose")


class Refuse(Guess):
    name = "refuse"
    tracks = {name: Track(f"Raises {name}.", "simulated", default=False) for name in ERRORS}
    controls = (Control("control", "trap", "Raises.", lambda problem, rng: refuse(problem.inputs)),)


class Refusing(Method):
    name = "refusing"
    tasks = ("refuse",)
    summary = "Raises."
    stochastic = False

    def run(self, inputs, ctx):
        refuse(inputs)
