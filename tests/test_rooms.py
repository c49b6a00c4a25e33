"""The direction of imports between the rooms, and the shape of the source tree."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("bench", "tasks", "methods", "data", "reports")

#: What each room may import besides itself and the core's contracts.
CONTRACTS = {
    "bench.problem",
    "bench.method",
    "bench.task",
    "bench.dataset",
    "bench.errors",
    "bench.system",
    "bench.seeds",
    "bench.stats",
    "bench.labels",
    "bench.normalise",
    "bench.words",
}
READERS = CONTRACTS | {"bench.results.records", "bench.results.tables", "bench.results.store"}
ALLOWED = {"tasks": CONTRACTS, "methods": CONTRACTS, "data": CONTRACTS, "reports": READERS}


def modules(room):
    return sorted(p for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts)


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import"
            yield node.module
            if node.module == "bench":
                yield from (f"bench.{alias.name}" for alias in node.names)


def cards(room):
    """The modules that the registry imports."""
    files = [*(ROOT / room).glob("[!_]*.py"), *(ROOT / room).glob("[!_]*/__init__.py")]
    assert files
    return files


def room_of(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "bench"


@pytest.mark.parametrize("room", ["tasks", "methods", "data", "reports"])
def test_a_room_imports_only_itself_and_the_contracts(room):
    for file in modules(room):
        for name in imported(file):
            if name == "bench" or not name.startswith("bench."):
                continue
            own = name == f"bench.{room}" or name.startswith(f"bench.{room}.")
            contract = any(name == c or name.startswith(f"{c}.") for c in ALLOWED[room])
            assert own or contract or name == "bench.__version__", f"{file.relative_to(ROOT)} imports {name}"


def test_the_core_imports_no_room_except_from_the_command_line():
    for file in modules("bench"):
        if "cli" in file.parts:
            continue
        for name in imported(file):
            assert room_of(name) == "bench", f"{file.relative_to(ROOT)} imports {name}"


def test_the_core_names_no_task_method_or_dataset():
    from bench.plan.registry import Registry

    registry = Registry()
    names = {*registry.tasks, *registry.methods}
    for file in modules("bench"):
        if "cli" in file.parts:
            continue
        strings = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        assert not names & {s for s in strings if isinstance(s, str)}, file


def test_card_modules_import_only_what_is_light():
    for room in ("methods", "tasks"):
        for file in modules(room):
            if file not in cards(room):
                continue
            for node in ast.parse(file.read_text()).body:
                for name in (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module]
                    if isinstance(node, ast.ImportFrom)
                    else []
                ):
                    assert name.split(".")[0] not in {"numpy", "scipy", "pandas", "torch", "scanpy", "anndata"}, file
