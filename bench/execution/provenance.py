"""The origin of a trial's numbers: versions, interpreter, BLAS, machine, time."""

from __future__ import annotations

import os
import platform
from typing import Any

from bench import __version__
from bench.environments.declaration import Environment
from bench.environments.doctor import cpu
from bench.environments.installed import installed_version
from bench.method import Method
from bench.results.records import Machine
from bench.sandbox import Session, imported
from bench.system import now

#: What the numbers of most methods are computed with; their versions stand in every row.
_USUAL = "R anndata numba numpy pandas python scanpy scikit-learn scipy torch".split()


class Origin:
    """Time and load of the machine as a trial begins, and what becomes known of the method's process.

    Parameters
    ----------
    index
        What is installed (:func:`bench.sandbox.imported.installed`).
    method
        None of a control.

    Attributes
    ----------
    environment, session
        The method's own environment, and what its process told; set as they become known.
    """

    def __init__(self, index: dict[str, list[imported.Installed]], method: type[Method] | None) -> None:
        self._index, self._method = index, method
        self._started, self._load = now(), round(os.getloadavg()[0], 2)
        self.environment: Environment | None = None
        self.session = Session()

    def facts(self) -> dict[str, Any]:
        """Fields of :class:`bench.results.records.TrialRecord`, once the trial has ended."""
        session = self.session
        return {
            "versions": _versions(self._method, self.environment, session),
            "imported": session.versions,
            "scored_with": imported.versions(self._index),
            "machine": Machine(
                cpu=cpu(), cores=os.cpu_count(), load=self._load, interpreter=session.interpreter, blas=session.blas
            ),
            "host": platform.node(),
            "started": self._started,
            "bench_version": __version__,
        }


def _versions(method: type[Method] | None, environment: Environment | None, session: Session) -> dict[str, str]:
    """Of the method's requirements and of :data:`_USUAL`: as imported, else as installed."""
    version_of = {"scmamba-bench": __version__, "python": platform.python_version()}
    if environment:
        version_of["python"] = environment.interpreter.version
    for r in method.requires if method else ():
        version = environment.version(r.name) if environment else installed_version(r)
        version_of |= {f"R:{r.name}" if r.kind == "r" else r.name: version} if version else {}
    version_of |= {name: session.versions[name] for name in {*_USUAL, *version_of} & set(session.versions)}
    return dict(sorted(version_of.items()))
