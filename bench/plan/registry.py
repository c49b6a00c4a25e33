"""Finding tasks, methods and datasets: built-ins, entry points and ``--plugin`` files.

Card modules are imported when a name is asked for; the packages a method wraps are not, since methods import them
inside ``run``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar, cast

from bench.dataset import CountStore, Dataset, DatasetSource, LoadedCounts
from bench.environments.declaration import declared_file, read_variants
from bench.errors import BenchError, DataError, UnknownNameError, close_to
from bench.locate import load_file
from bench.method import Method
from bench.problem import Json
from bench.task import Task

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
#: Names under which data are published.
_ACCESSION = re.compile(r"(GSE|GSM|SRP|PRJNA|syn|SCP|EGAS|E-MTAB-|phs)\d+.*")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """Something registered, and where it came from.

    Parameters
    ----------
    locator
        How another process finds the same class: ``{"module": ..., "class": ...}`` or ``{"file": ..., "class": ...}``.
    """

    name: str
    value: T
    locator: dict[str, Json]

    @property
    def origin(self) -> str:
        """``file:line`` of its definition."""
        return _origin(self.value if inspect.isclass(self.value) else type(self.value))


class Registry:
    """All tasks, methods and datasets this process can see.

    Parameters
    ----------
    plugins
        Python files given with ``--plugin``.
    datasets
        In place of the registered ones.
    """

    def __init__(self, plugins: Sequence[Path] = (), datasets: Iterable[DatasetSource] | None = None) -> None:
        self._plugins = [Path(p).resolve() for p in plugins]
        if datasets is not None:
            self.datasets = {source.card.name: source for source in datasets}
        self._loaded: Dataset | None = None

    @cached_property
    def tasks(self) -> dict[str, Entry[Task]]:
        """Tasks by name."""
        classes = self._collect("bench.tasks", Task)  # type: ignore[type-abstract]
        return {name: Entry(name, e.value(), e.locator) for name, e in classes.items()}

    @cached_property
    def methods(self) -> dict[str, Entry[type[Method]]]:
        """Method classes by name."""
        return self._collect("bench.methods", Method)  # type: ignore[type-abstract]

    @cached_property
    def datasets(self) -> dict[str, DatasetSource]:
        """Registered datasets by name."""
        return cast("dict[str, DatasetSource]", _library("sources")())

    def task(self, name: str) -> Task:
        """The task called ``name``."""
        return _lookup("task", name, self.tasks).value

    def method(self, name: str) -> Entry[type[Method]]:
        """The method called ``name``."""
        for file in self._plugins if name not in self.methods else ():
            module = load_file(file)
            if not any(any(_concrete_subclasses(module, base)) for base in (Method, Task)):
                raise BenchError(
                    "the plugin defines no method and no task",
                    where=str(file),
                    fix="derive a class from bench.method.Method and give it `run`",
                )
        return _lookup("method", name, self.methods)

    def dataset(self, name: str) -> DatasetSource:
        """A registered dataset, or the file or folder at the path ``name``."""
        if name in self.datasets:
            return self.datasets[name]
        if "://" in name or (_ACCESSION.fullmatch(name) and not Path(name).exists()):
            fix = "download its raw counts (.h5ad, or CellRanger's .h5 or folder) and give the path"
            raise DataError(f"{name!r} is no file: bench downloads nothing", where="dataset", fix=fix)
        if "/" in name or Path(name).suffix or Path(name).exists():
            source = cast("DatasetSource", _library("from_path")(Path(name)))
            self.add(source, name, fix="name it: bench data add FILE --name NAME")
            return source
        files = {path.stem: path.name for path in Path().iterdir() if path.suffix in (".h5ad", ".h5", ".zarr")}
        raise UnknownNameError("dataset", name, self.datasets, close=[files[stem] for stem in close_to(name, files)])

    def add(self, source: DatasetSource, where: str, *, fix: str) -> None:
        """Take a dataset in, unless another one has its name."""
        registered = self.datasets.setdefault(source.card.name, source)
        if registered.card.digest != source.card.digest:
            raise BenchError(f"another dataset is called {source.card.name!r}", where=where, fix=fix)

    def load(self, name: str) -> Dataset:
        """The cells of a dataset; the last one loaded stays in memory, since its trials follow one another."""
        if self._loaded is None or self._loaded.card.name != self.dataset(name).card.name:
            self._loaded = None  # two large datasets may not fit side by side
            self._loaded = self.dataset(name).load()
        return self._loaded

    def open(self, name: str) -> CountStore:
        """The cells of a dataset, whose counts are read as they are asked for where its format allows it.

        Where it does not, they are loaded, and stay in memory as by :meth:`load`.
        """
        if self._loaded is not None and self._loaded.card.name == self.dataset(name).card.name:
            return LoadedCounts(self._loaded)
        self._loaded = None
        cells = self.dataset(name).open()
        if isinstance(cells, LoadedCounts):
            self._loaded = cells.dataset
        return cells

    def methods_for(self, task: str) -> list[str]:
        """Names of the methods that answer ``task``, sorted."""
        return sorted(name for name, entry in self.methods.items() if task in entry.value.tasks)

    def _collect(self, room: str, base: type[T]) -> dict[str, Entry[type[T]]]:
        by_name: dict[str, Entry[type[T]]] = {}
        for module in [*_room_modules(room), *_entry_point_modules(room), *map(load_file, self._plugins)]:
            for cls in _concrete_subclasses(module, base):
                entry = describe(cls)
                if entry.name in by_name and by_name[entry.name].locator != entry.locator:
                    raise BenchError(
                        f"two {room.removeprefix('bench.')} are called {entry.name!r}",
                        where=f"{by_name[entry.name].origin} and {entry.origin}",
                        fix="rename one of them (its class attribute `name`)",
                    )
                by_name[entry.name] = entry
        return dict(sorted(by_name.items()))


def _library(function: str) -> Callable[..., object]:
    return cast("Callable[..., object]", getattr(importlib.import_module("bench.data.library"), function))


def _lookup(kind: str, name: str, by_name: dict[str, T]) -> T:
    if name not in by_name:
        raise UnknownNameError(kind, name, by_name)
    return by_name[name]


def _room_modules(room: str) -> Iterator[ModuleType]:
    package = importlib.import_module(room)
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"{room}.{info.name}")


def _entry_point_modules(room: str) -> Iterator[ModuleType]:
    for point in importlib.metadata.entry_points(group=room):
        try:
            loaded = point.load()
        except Exception as error:
            raise BenchError(
                f"the plugin {point.value!r} cannot be imported: {type(error).__name__}: {error}",
                where=f"entry point {point.name!r} of group {room!r}"
                + (f", distribution {point.dist.name!r}" if point.dist else ""),
                fix="repair or uninstall that distribution",
            ) from error
        yield loaded if isinstance(loaded, ModuleType) else sys.modules[loaded.__module__]


def _concrete_subclasses(module: ModuleType, base: type[T]) -> Iterator[type[T]]:
    for cls in vars(module).values():
        if (
            inspect.isclass(cls)
            and issubclass(cls, base)
            and cls.__module__ == module.__name__
            and not inspect.isabstract(cls)
            and not cls.__name__.startswith("_")
        ):
            yield cls


def _origin(cls: type) -> str:
    """File and line of a class, for which Python parses the whole file."""
    file = inspect.getfile(cls)
    with suppress(OSError):  # a class that a function made, whose source is not found
        return f"{file}:{inspect.getsourcelines(cls)[1]}"
    return file


def describe(cls: type[T]) -> Entry[type[T]]:
    """The entry of the class of a method or a task, whose card must be whole."""
    file = inspect.getfile(cls)
    missing = [a for a in ("name", "summary") if not isinstance(getattr(cls, a, None), str)]
    if missing:
        raise BenchError(
            f"{cls.__name__} has no {' and no '.join(missing)}", where=_origin(cls), fix="set class attributes"
        )
    name = str(cls.name)  # type: ignore[attr-defined]
    if not _NAME.fullmatch(name):
        raise BenchError(
            f"{name!r} is not a usable name", where=_origin(cls), fix="use lower-case letters, digits, - and _"
        )
    if issubclass(cls, Method):
        _check_method(cls)
    locator: dict[str, Json] = (
        {"file": file, "class": cls.__name__}
        if cls.__module__.startswith("bench_plugin_")
        else {"module": cls.__module__, "class": cls.__name__}
    )
    return Entry(name, cls, locator)


def _check_method(cls: type[Method]) -> None:
    if not getattr(cls, "tasks", ()) or isinstance(cls.tasks, str):
        raise BenchError(
            f"method {cls.name!r} answers no task",
            where=_origin(cls),
            fix='set the tuple `tasks = ("<task>",)` in the class',
        )
    if file := declared_file(cls):
        read_variants(file)
    without = [name for name, default in cls.defaults().items() if default is inspect.Parameter.empty]
    if without:
        raise BenchError(
            f"method {cls.name!r} has parameters without a default: {', '.join(without)}",
            where=_origin(cls),
            fix="give every parameter of __init__ a default",
        )
    try:
        json.dumps(cls.defaults(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BenchError(
            f"a parameter of method {cls.name!r} cannot be written down: {error}",
            where=_origin(cls),
            fix="use numbers, strings, booleans, lists, dicts and None as defaults of __init__",
        ) from error
