"""A method's process: a fork server with the light stack loaded, a supervisor that enforces limits, and the worker.

``Sandbox`` (in the parent) talks to one fork server (``server``), which has numpy, scipy and pandas loaded and forks a
*supervisor* per trial; the supervisor forks the *worker*, which runs the method, and kills the whole tree when a
limit is hit.
"""

from bench.sandbox.client import Job, Outcome, Sandbox, Session
from bench.sandbox.server import thread_environment

__all__ = ["Job", "Outcome", "Sandbox", "Session", "thread_environment"]
