"""Finding a method's class again in another process; runs in methods' environments too (Python 3.8 and later)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from bench.errors import BenchError
from bench.seeds import derive_seed
from bench.system import path_hint

if TYPE_CHECKING:
    from bench.method import Method


def load_class(locator: Mapping[str, Any]) -> type[Method]:
    """The method class that a locator (:class:`bench.plan.registry.Entry`) points to."""
    module = (
        load_file(Path(str(locator["file"]))) if "file" in locator else importlib.import_module(str(locator["module"]))
    )
    return cast("type[Method]", getattr(module, str(locator["class"])))


def load_file(path: Path) -> ModuleType:
    """Import a plugin's file under a name of its own, once per process."""
    if not path.is_file():
        raise BenchError(
            "plugin file not found", where=str(path), fix=f"give --plugin the path of a Python file; {path_hint(path)}"
        )
    name = f"bench_plugin_{path.stem}_{derive_seed(str(path))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BenchError("a plugin must be a Python file", where=str(path), fix="give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise BenchError(
            f"the plugin cannot be imported: {type(error).__name__}: {error}", where=str(path), fix="repair the file"
        ) from error
    return module
