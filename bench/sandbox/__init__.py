"""A method's process: a fork server with the light stack loaded, a warden that enforces limits, and the worker.

``Sandbox`` (in the parent) talks to one *zygote* process, which has numpy, scipy and pandas loaded and forks a
*warden* per trial; the warden forks the *worker*, which runs the method, and kills the whole tree when a limit is hit.
"""

from bench.sandbox.client import Job, Outcome, Sandbox, Session, thread_environment

__all__ = ["Job", "Outcome", "Sandbox", "Session", "thread_environment"]
