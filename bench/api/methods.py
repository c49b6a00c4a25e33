"""Methods that are classes of this process, of a notebook say: their source in a file that other processes load."""

from __future__ import annotations
import __future__

import ast
import builtins
import hashlib
import inspect
import linecache
import re
import symtable
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bench.errors import BenchError
from bench.method import Method, params_of
from bench.plan.registry import Registry
from bench.system import cache_dir, link_or_copy, write_atomic
from bench.words import listing

_IN_A_FILE = "save the class in a file and give plugins=[FILE]"
#: Longer values are data, which no source should hold.
_LONGEST = 10_000


@dataclass
class Asked:
    """Methods that ``methods=`` asks for, as the plan has them.

    Parameters
    ----------
    names
        Of methods.
    params
        Name -> parameters of the objects among them.
    files
        Where the classes among them are found that no registry knows.
    written
        Those of the files that were written now, each with a line about it.
    """

    names: list[str] = field(default_factory=list)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    written: dict[Path, str] = field(default_factory=dict)


def asked(methods: Sequence[str | Method | type[Method]], registry: Registry) -> Asked:
    """Names, files and parameters of methods that are given by name, as classes or as objects.

    Raises
    ------
    BenchError
        If one is no method, no file of it can be had, or two objects of one class have different parameters.
    """
    result = Asked()
    for method in methods:
        if isinstance(method, str):
            result.names.append(method)
            continue
        cls = method if inspect.isclass(method) else type(method)
        if not issubclass(cls, Method):
            fix = "give names, or subclasses of bench.Method or objects of them"
            raise BenchError(f"{method!r} is no method", where="methods", fix=fix)
        name = str(getattr(cls, "name", cls.__name__))
        result.names.append(name)
        if isinstance(method, Method) and result.params.setdefault(name, params_of(method)) != params_of(method):
            fix = "call bench.run once for each, with the same out: results gather in one folder"
            raise BenchError(f"method {name!r} is asked for with two sets of parameters", where="methods", fix=fix)
        registered = registry.methods.get(name)
        if registered is None or registered.value is not cls:
            file, along = file_of(cls)
            result.files.append(file)
            if cls.__module__ == "__main__":
                took = f", with {listing(along)}" if along else ""
                result.written[file] = f"method {name}: class {cls.__name__} is written to {file}{took}"
    result.files = list(dict.fromkeys(result.files))
    return result


def file_of(cls: type[Method]) -> tuple[Path, list[str]]:
    """A file that defines a class, and what was taken along into it if it had to be written.

    A class of a module comes from the module's own file. One of a notebook's cell, of a prompt or of a script that runs
    is written to a file of its own, with what it uses: the functions, classes and short constants of the session, by
    name, and the imports of the others. Nothing else of its cell is taken.

    Raises
    ------
    BenchError
        If its source cannot be had, or something it uses cannot be written as source.
    """
    if "<locals>" in cls.__qualname__ or "." in cls.__qualname__:
        raise BenchError(
            f"no other process can find {cls.__qualname__}, which is defined inside of something else",
            where=f"methods: {cls.__qualname__}",
            fix="define the class at the top level",
        )
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if cls.__module__ != "__main__" and file is not None:
        return Path(file), []
    gathered = _Gathered(vars(module) if module else {}, cls.__name__)
    gathered.define(cls.__name__, cls)
    text = gathered.text()
    name = re.sub(r"[^a-z0-9_.-]", "_", str(getattr(cls, "name", cls.__name__)).lower())
    target = cache_dir() / "methods" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, text.encode())
    return target, gathered.told


def keep(file: Path, folder: Path) -> None:
    """Keep a copy of a file in a folder."""
    folder.mkdir(exist_ok=True)
    if not (folder / file.name).exists():
        link_or_copy(file, folder / file.name)


class _Gathered:
    """Definitions in an order in which they can run, each after what it uses."""

    def __init__(self, session: dict[str, Any], wanted: str) -> None:
        self._session, self._wanted = session, wanted
        self._parts: dict[str, str] = {}
        self._imports: dict[str, str] = {}
        self._future = False

    @property
    def told(self) -> list[str]:
        """Imports and names of the code that was taken along."""
        return [*self._imports.values(), *(name for name in self._parts if name != self._wanted)]

    def text(self) -> str:
        """A file's source."""
        head = [f"# The method {self._wanted}, as it was defined in a session; written by bench."]
        head += ["from __future__ import annotations"] if self._future else []
        return "\n".join([*head, "", *self._imports.values(), "", *self._parts.values()])

    def define(self, name: str, value: Any) -> None:
        """Take a function or a class of the session, and before it what it uses."""
        self._parts[name] = ""  # in work: those that use each other do not go round in circles
        code = next(_codes(value), None)
        lines = linecache.getlines(code.co_filename) if code is not None else []
        node = _node(lines, name, code.co_firstlineno) if code is not None and lines else None
        if code is None or node is None:
            raise BenchError(f"the source of {name!r} cannot be had", where=f"methods: {self._wanted}", fix=_IN_A_FILE)
        self._future |= bool(code.co_flags & __future__.annotations.compiler_flag)
        self._take(name, "".join(lines[_first_line(node) - 1 : node.end_lineno]).rstrip() + "\n\n", lines)

    def _take(self, name: str, source: str, cell: list[str]) -> None:
        for used in sorted(_globals(source) - {name} - set(dir(builtins))):
            if used in self._session and used not in self._parts and used not in self._imports:
                self._use(used, self._session[used], cell)
        self._parts.pop(name, None)  # after what it uses
        self._parts[name] = source

    def _use(self, name: str, value: Any, cell: list[str]) -> None:
        home, own = getattr(value, "__module__", None), getattr(value, "__name__", "")
        if statement := _import(cell, name):
            self._imports[name] = statement
        elif isinstance(value, ModuleType):
            self._imports[name] = f"import {own}" + ("" if own == name else f" as {name}")
        elif _is_literal(value):
            self._parts[name] = f"{name} = {value!r}\n"
        elif home == "__main__" and own == name and next(_codes(value), None):
            self.define(name, value)
        elif home != "__main__" and home in sys.modules and getattr(sys.modules[home], own, None) is value:
            self._imports[name] = f"from {home} import {own}" + ("" if own == name else f" as {name}")
        elif statement := _assignment(cell, name):
            self._parts[name] = ""
            self._take(name, statement, cell)
        else:
            raise BenchError(
                f"method {self._wanted} uses {name!r}, a {type(value).__name__} that cannot be written as source",
                where="the session that defines the method",
                fix=f"make {name} inside of the class or in the same cell as the class, or {_IN_A_FILE}",
            )


def _codes(value: Any) -> Iterator[CodeType]:
    """Code of a function, or of the functions that a class defines itself."""
    members = vars(value).values() if inspect.isclass(value) else [value]
    for member in members:
        function = inspect.unwrap(getattr(member, "__func__", None) or getattr(member, "fget", None) or member)
        if inspect.isfunction(function) and function.__module__ == value.__module__:
            yield function.__code__


def _node(lines: list[str], name: str, line: int) -> ast.stmt | None:
    """The definition of ``name`` at the top level in which a line is."""
    try:
        body = ast.parse("".join(lines)).body
    except SyntaxError:
        return None
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    named = [node for node in body if isinstance(node, kinds) and node.name == name]
    return next((node for node in named if _first_line(node) <= line <= (node.end_lineno or 0)), None)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min(node.lineno, *(d.lineno for d in decorators)) if decorators else node.lineno


def _import(cell: list[str], name: str) -> str | None:
    """The statement of a cell that imports a name."""
    for node in ast.parse("".join(cell)).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) == name:
                node.names = [alias]
                return ast.unparse(node)
    return None


def _assignment(cell: list[str], name: str) -> str | None:
    """The last statement of a cell that gives a name its value."""
    found = None
    for node in ast.parse("".join(cell)).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found = ast.unparse(node) + "\n"
    return found


def _globals(source: str) -> set[str]:
    """Names that a source uses and does not define."""
    names, tables = set(), [symtable.symtable(source, "method", "exec")]
    while tables:
        table = tables.pop()
        is_top = table.get_type() == "module"
        names |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (is_top or s.is_global())}
        tables += table.get_children()
    return names


def _is_literal(value: Any) -> bool:
    text = repr(value) if isinstance(value, None | bool | int | float | str | bytes | tuple | list | dict | set) else ""
    try:
        return bool(text) and len(text) <= _LONGEST and ast.literal_eval(text) == value
    except (ValueError, SyntaxError):  # NaN, or something else inside
        return False
