"""A trial's key: the whole specification, with digests of the data and of the method's environment."""

from __future__ import annotations

import email
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement

from bench.dataset import DatasetCard
from bench.environments import r_packages
from bench.environments.declaration import environment_of
from bench.errors import UnavailableError
from bench.method import Method
from bench.results.records import TrialSpec


def trial_key(spec: TrialSpec) -> str:
    """Key of a trial: a 16-digit hex prefix of the sha256 over every field of ``spec`` but where files lie.

    Methods without an environment of their own, or without an embedding, keep the keys they had before there were any.
    """
    left_out = {"files"} | {name for name in ("environment", "embeddings") if not getattr(spec, name)}
    return _short(spec.model_dump(mode="json", exclude=left_out))


def prediction_key(spec: TrialSpec) -> str:
    """Key of a method's prediction: trials that share it differ in what is asked of the same prediction."""
    method = {"method", "method_digest", "environment_digest", "params"} | (
        {"embeddings"} if spec.embeddings else set()
    )
    return _short([spec.inputs_id, spec.seeds.method, spec.model_dump(mode="json", include=method)])


def _short(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def data_key(card: DatasetCard) -> str:
    """sha256 over a dataset's bytes and over the facts of its card that tasks build problems from."""
    facts = [card.digest, card.reading, sorted(card.fields), card.truth, card.expected_doublet_rate, card.weak_labels]
    facts += [card.case, card.control] if card.case or card.control else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def environment_digest(method: type[Method]) -> str:
    """sha256 over the Python version and the versions of everything the method's requirements bring along.

    A method without requirements depends on the core's own dependencies only; one with a Python environment of its
    own on that environment only.
    """
    try:
        own = environment_of(method)
    except UnavailableError:
        own = None
    if own is not None:
        return own.digest
    names = [r.name for r in method.requires if r.kind == "python"]
    closure = dict(_closure("scmamba-bench"))
    for name in names:
        closure |= _closure(name)
    if any(r.kind == "r" for r in method.requires):
        needed = r_packages.versions(*(r.name for r in method.requires if r.kind == "r"))
        closure |= _closure("rpy2") | {f"R:{name}": version for name, version in needed.items()}
    text = json.dumps([platform.python_version(), sorted(closure.items())])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _closure(name: str) -> dict[str, str]:
    """Installed distributions that ``name`` needs (extras left out), with their versions."""
    version_of: dict[str, str] = {}
    todo = [name]
    while todo:
        key, version, needs = _installed(todo.pop())
        if key and key not in version_of:
            # Our own version must not re-run every method: their own sources are hashed instead.
            version_of[key] = "" if key == "scmamba-bench" else version
            todo += needs
    return version_of


@cache
def _installed(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and direct needs (extras left out) of an installed distribution; empty if it is not there."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return "", "", ()
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    # Only the head is parsed, and once: `distribution.version` and the like parse the whole README each time.
    head = email.message_from_string(text.partition("\n\n")[0])
    needs = []
    for line in head.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needs.append(requirement.name)
    return str(head["Name"]).lower().replace("_", "-"), str(head["Version"]), tuple(needs)
