"""What makes a trial's key: digests of a method's source, of its environment, and of the whole specification."""

from __future__ import annotations

import ast
import email
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import platform
import sys
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from bench import r_packages
from bench.dataset import DatasetCard
from bench.environments import environment_of
from bench.errors import UnavailableError
from bench.method import Method
from bench.record import TrialSpec


def trial_key(spec: TrialSpec) -> str:
    """Key of a trial: a 16-digit hex prefix of the sha256 over every field of ``spec`` but where files lie.

    Methods without an environment of their own keep the keys they had before there were any.
    """
    left_out = {"files"} if spec.environment else {"files", "environment"}
    return _short(spec.model_dump(mode="json", exclude=left_out))


def prediction_key(spec: TrialSpec) -> str:
    """Key of a method's prediction: trials that share it differ in what is asked of the same prediction."""
    method = {"method", "method_digest", "environment_digest", "params"}
    return _short([spec.inputs_id, spec.seeds.method, spec.model_dump(mode="json", include=method)])


def _short(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def data_key(card: DatasetCard) -> str:
    """sha256 over a dataset's bytes and over the facts of its card that tasks build problems from."""
    facts = [card.digest, card.reading, sorted(card.fields), card.truth, card.expected_doublet_rate, card.weak_labels]
    facts += [card.case, card.control] if card.case or card.control else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def source_digest(obj: type) -> str:
    """sha256 over the module that defines ``obj`` and those that it imports of the same room, or of ``bench.methods``.

    Comments and docstrings do not count: the syntax tree is hashed, so editing prose re-runs nothing. JSON files in a
    folder that has the name of a module count as part of it.
    """
    digests = [_module_digest(file, tree) for file, tree in _sources(obj).values()]
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def source_files(obj: type) -> dict[str, Path]:
    """The modules that :func:`source_digest` is taken over, by name, and where they are."""
    return {module: file for module, (file, _) in _sources(obj).items()}


def path_digest(path: Path) -> str:
    """sha256 over a file, or over the names and bytes of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                digest.update(
                    f"{file.relative_to(path)}\x1f{hashlib.file_digest(handle, 'sha256').hexdigest()}".encode()
                )
    return digest.hexdigest()


def environment_digest(method: type[Method]) -> str:
    """sha256 over the Python version and the versions of everything the method's requirements bring along.

    A method without requirements depends on the core's own dependencies only; one with a Python environment of its
    own on that environment only.
    """
    try:
        own = environment_of(method)
    except UnavailableError:
        own = None
    if own is not None and own.python:
        return own.digest
    names = [r.name for r in method.requires if r.kind == "python"]
    closure = dict(_closure("scmamba-bench"))
    for name in names:
        closure |= _closure(name)
    if any(r.kind == "r" for r in method.requires):
        needed = r_packages.versions(*(r.name for r in method.requires if r.kind == "r"))
        closure |= _closure("rpy2") | {f"R:{name}": version for name, version in needed.items()}
    if own is not None:
        closure |= {"environment": own.digest}
    text = json.dumps([platform.python_version(), sorted(closure.items())])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _closure(name: str) -> dict[str, str]:
    """Installed distributions that ``name`` needs (extras left out), with their versions."""
    found: dict[str, str] = {}
    todo = [name]
    while todo:
        key, version, needs = _installed(todo.pop())
        if key and key not in found:
            # Our own version must not re-run every method: their own sources are hashed instead.
            found[key] = "" if key == "scmamba-bench" else version
            todo += needs
    return found


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


def _sources(obj: type) -> dict[str, tuple[Path, ast.Module]]:
    seen: dict[str, tuple[Path, ast.Module]] = {}
    roots = {_root(obj.__module__), "bench.methods"}
    for cls in obj.__mro__:
        if _root(cls.__module__) in roots:
            _collect_sources(Path(inspect.getfile(cls)), cls.__module__, roots, seen)
    return seen


def _collect_sources(file: Path, module: str, roots: set[str], seen: dict[str, tuple[Path, ast.Module]]) -> None:
    if module in seen:
        return
    tree = ast.parse(file.read_bytes())
    seen[module] = file, tree
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for root in sorted(roots):
        for name in sorted(_siblings(tree, package, root)):
            origin = _origin(name)
            if origin is not None:
                _collect_sources(origin, name, roots, seen)


def _module_digest(file: Path, tree: ast.Module) -> str:
    _strip_docstrings(tree)
    data = file.with_suffix("")  # a folder named like its module holds the module's data
    parts = [ast.dump(tree), *(f.read_text() for f in sorted(data.glob("*.json")))]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _root(module: str) -> str:
    """The room of a built-in module, the top-level package of any other."""
    return ".".join(module.split(".")[: 2 if module.startswith("bench.") else 1])


def _siblings(tree: ast.AST, package: str, root: str) -> set[str]:
    """Modules below ``root`` that may be imported anywhere in ``tree``, inside functions and relatively too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names.add(base)
            if base == root or (base.startswith(f"{root}.") and _is_package(base)):
                names |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith(f"{root}.")}


def _is_package(name: str) -> bool:
    """Whether a module has submodules."""
    spec = _spec(name)
    return spec is not None and spec.submodule_search_locations is not None


def _origin(name: str) -> Path | None:
    """File of a module; None if ``name`` is not one (a function that is imported from a module, say)."""
    spec = _spec(name)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _spec(name: str) -> ModuleSpec | None:
    """As ``importlib.util.find_spec``, which imports the packages above a module: theirs may not be installed."""
    if name in sys.modules:
        return sys.modules[name].__spec__
    package, path = name.rpartition(".")[0], None
    if package:
        above = _spec(package)
        path = above.submodule_search_locations if above is not None else None
        if path is None:
            return None
    found = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def _strip_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                if isinstance(body[0].value.value, str):
                    body[0].value.value = ""
