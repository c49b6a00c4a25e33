"""Is what a method requires installed? Answered without importing it and without starting R."""

from __future__ import annotations

import importlib.util
import shutil

from packaging.specifiers import SpecifierSet

from bench.environments import r_packages
from bench.environments.declaration import environment_of
from bench.environments.installed import installed_version
from bench.errors import UnavailableError
from bench.method import Method, Requirement

R_INSTALL = "scripts/install-r.sh (Debian), or install R >= 4.2"
RPY2_INSTALL = "pip install 'scmamba-bench[r]'"


def missing(method: type[Method]) -> list[Requirement]:
    """List what ``method`` requires and this machine lacks, in the order to install it.

    What a method's own environment brings does not count: it can be built.
    """
    if not method.environment:
        return _lacking(method.requires)
    try:
        environment_of(method)
    except UnavailableError as error:
        return [Requirement("python", "an interpreter for its environment", str(error))]
    return []


def _lacking(requires: tuple[Requirement, ...]) -> list[Requirement]:
    absent: list[Requirement] = []
    for requirement in requires:
        if requirement.kind == "r":
            absent += [r for r in _missing_r(requirement) if r not in absent]
        elif not _serves(requirement):
            absent.append(requirement)
    return absent


def why_unavailable(method: type[Method]) -> str:
    """One line that names what is missing and the command that installs it; empty if nothing is."""
    absent = missing(method)
    return "; ".join(f"{_fault(r)}: {r.install}" for r in absent)


def _missing_r(requirement: Requirement) -> list[Requirement]:
    absent = []
    if shutil.which("R") is None:
        absent.append(Requirement("r", "R", R_INSTALL))
    if not importlib.util.find_spec("rpy2"):
        absent.append(Requirement("python", "rpy2", RPY2_INSTALL))
    if not r_packages.version(requirement.name):
        absent.append(requirement)
    return absent


def _serves(requirement: Requirement) -> bool:
    version = installed_version(requirement)
    return bool(version) and SpecifierSet(requirement.version).contains(version, prereleases=True)


def _fault(requirement: Requirement) -> str:
    version = installed_version(requirement) if requirement.version else ""
    if version:
        return f"{requirement.name} {version} is installed and {requirement.version} is needed"
    return f"{requirement.name} is missing"
