"""Versions of what is installed, read without importing it and without starting R."""

from __future__ import annotations

import importlib.metadata

from bench.environments import r_packages
from bench.method import Requirement


def installed_version(requirement: Requirement) -> str:
    """Installed version of a required Python distribution or R package, or an empty string."""
    if requirement.kind == "r":
        return r_packages.version(requirement.name)
    try:
        return importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return ""
