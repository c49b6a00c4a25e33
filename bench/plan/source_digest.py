"""Digest of a method's source: of its module and of those it imports, wherever they lie."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TypeVar

from bench.system import path_digest

#: Attributes of a card that no result can hang on.
CREDITS = frozenset({"citation", "licence", "preload"})

_I = TypeVar("_I", ast.Import, ast.ImportFrom)


def source_digest(obj: type) -> str:
    """sha256 over the module that defines ``obj`` and those that it imports of the same room, or of ``bench.methods``.

    Comments, docstrings, :attr:`citation` and :attr:`licence` do not count: the syntax tree is hashed, so editing prose
    re-runs nothing. A module that is
    imported counts by its content and not by its path, so moving it re-runs nothing either. Data files count with the
    module they lie beside, if it names them or their folder.
    """
    sources = _sources(obj)
    skip = {str(getattr(obj, "environment", None) or "")}  # has a digest of its own
    own = {name: _own_digest(source, skip) for name, source in sources.items()}
    digests = own
    for _ in sources:  # each round reaches one import further; modules may import each other in a circle
        digests = {
            name: _sha256(
                own[name], *sorted("\x1e".join([*i.names, digests.get(i.module, i.module)]) for i in source.siblings)
            )
            for name, source in sources.items()
        }
    return _sha256(*(digests[cls.__module__] for cls in obj.__mro__ if cls.__module__ in digests))


def source_files(obj: type) -> dict[str, Path]:
    """The modules that :func:`source_digest` is taken over, by name, and where they are."""
    return {module: source.file for module, source in _sources(obj).items()}


@dataclass(frozen=True)
class _Import:
    """A name that a module takes from a sibling: the sibling, the name there (empty: all of it), the name here."""

    module: str
    names: tuple[str, str]


@dataclass(frozen=True)
class _Source:
    """A module without its docstrings and without the imports of its siblings, which stand beside it."""

    file: Path
    tree: ast.Module
    siblings: tuple[_Import, ...]


def _sources(obj: type) -> dict[str, _Source]:
    by_module: dict[str, _Source] = {}
    roots = {_root(obj.__module__), "bench.methods"}
    todo = [(cls.__module__, Path(inspect.getfile(cls))) for cls in obj.__mro__ if _root(cls.__module__) in roots]
    while todo:
        module, file = todo.pop()
        if module not in by_module:
            by_module[module] = _read(file, module, roots)
            imported = {i.module for i in by_module[module].siblings}
            todo += [(name, origin) for name in imported if (origin := _origin(name)) is not None]
    return by_module


def _read(file: Path, module: str, roots: set[str]) -> _Source:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    strip = _Strip(package, roots)
    tree = strip.visit(ast.parse(file.read_bytes()))
    return _Source(file, tree, tuple(strip.siblings))


class _Strip(ast.NodeTransformer):
    """Takes prose and imports of siblings out of a syntax tree, inside functions too, and lists the latter.

    Prose are docstrings, and what a card says of whom to cite, under which licence, and what to load beforehand.
    """

    def __init__(self, package: str, roots: set[str]) -> None:
        self.siblings: list[_Import] = []
        self._package = package
        self._roots = roots

    def visit_Import(self, node: ast.Import) -> ast.Import | None:
        return self._without(node, [_Import(a.name, ("", a.asname or a.name)) for a in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), self._package)
        imports = []
        for alias in node.names:
            below = f"{base}.{alias.name}"
            is_module = self._is_sibling(below) and _is_package(base) and _origin(below) is not None
            imports.append(
                _Import(below if is_module else base, ("" if is_module else alias.name, alias.asname or alias.name))
            )
        return self._without(node, imports)

    def _without(self, node: _I, imports: list[_Import]) -> _I | None:
        siblings = [i for i in imports if self._is_sibling(i.module)]
        self.siblings += siblings
        node.names = [a for a, i in zip(node.names, imports, strict=True) if i not in siblings]
        return node if node.names else None

    def _is_sibling(self, module: str) -> bool:
        return any(module == root or module.startswith(f"{root}.") for root in self._roots)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if isinstance(node, ast.ClassDef):
                node.body = body = [statement for statement in body if not _is_credit(statement)]
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                if isinstance(body[0].value.value, str):
                    body[0].value.value = ""
        return super().generic_visit(node)


def _is_credit(statement: ast.stmt) -> bool:
    """Return whether a statement of a class sets nothing but one of :data:`CREDITS`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return all(isinstance(target, ast.Name) and target.id in CREDITS for target in targets)


def _own_digest(source: _Source, skip: set[str]) -> str:
    data = (f"{file.name}\x1e{path_digest(file)}" for file in _data_beside(source, skip))
    return _sha256(ast.dump(source.tree), *data)


def _data_beside(source: _Source, skip: set[str]) -> list[Path]:
    """Files, and folders without Python in them, that lie beside a module and that a string of it names."""
    texts = {node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant)}
    names = {text for text in texts if isinstance(text, str) and text} - skip
    beside = [path for path in sorted(source.file.parent.iterdir()) if path.name in names]
    return [path for path in beside if path.suffix != ".py" and not any(path.rglob("*.py"))]


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _root(module: str) -> str:
    """The room of a built-in module, the top-level package of any other."""
    return ".".join(module.split(".")[: 2 if module.startswith("bench.") else 1])


def _is_package(name: str) -> bool:
    """Return whether a module has submodules."""
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
    specs = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)
