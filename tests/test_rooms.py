"""The direction of imports between rooms and folders, and the shape of the source tree."""

import ast
import zipfile

import pytest
from import_graph import NAMES, ROOMS, ROOT, circle, folder, imported, modules, of_files
from setuptools import build_meta

#: What each room may import besides itself and the core's contracts.
CONTRACTS = {
    "bench.blocks",
    "bench.dataset",
    "bench.errors",
    "bench.labels",
    "bench.method",
    "bench.normalise",
    "bench.problem",
    "bench.seeds",
    "bench.stats",
    "bench.system",
    "bench.task",
    "bench.words",
}
ALLOWED = {"tasks": CONTRACTS, "methods": CONTRACTS, "data": CONTRACTS, "reports": CONTRACTS | {"bench.results"}}

#: Folders of each room from the top down: a file imports from its own folder and from those in the lines below it.
FLOORS = {
    "bench": [
        "cli",
        "api",
        "testing",
        "develop",
        "execution",
        "plan",
        "results",
        "environments",
        "sandbox",
        "exchange",
        ".",
    ],
    "tasks": ["annotation deg doublet imputation integration", "deg/mast", "_shared", "."],
    "methods": [".", "_ports", "_shared", "nn/embed", "nn/training", "nn/models", "nn/kernels", "nn"],
    "data": ["."],
    "reports": [
        ".",
        "page",
        "classes/figures deg/figures imputation/figures integration/figures",
        "figures classes compare deg imputation integration",
        "embeddings",
        "run",
    ],
}


def within(name, package):
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("room", ["tasks", "methods", "data", "reports"])
def test_a_room_imports_only_itself_and_the_contracts(room):
    for file in modules(room):
        for name in imported(file):
            if within(name, "bench") and name != "bench":  # the package itself has the version
                allowed = {f"bench.{room}", *ALLOWED[room]}
                assert any(within(name, a) for a in allowed), f"{file.relative_to(ROOT)} imports {name}"


def test_the_core_imports_no_room_except_from_its_doors():
    """The command line and the library, which call all rooms, and the metrics, which are the tasks' own."""
    for file in modules("bench"):
        for name in imported(file) if not {"cli", "api", "metrics.py"} & set(file.parts) else ():
            assert not any(within(name, f"bench.{room}") for room in ROOMS), f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_folders_import_only_downwards(room):
    floor = {name: i for i, line in enumerate(FLOORS[room]) for name in line.split()}
    for name, targets in of_files(room).items():
        for target in targets:
            above, below = folder(room, NAMES[name]), folder(room, NAMES[target])
            assert above == below or floor[above] < floor[below], f"{name} imports {target}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_imports_itself_by_a_circle(room):
    assert not circle(of_files(room))


def test_the_core_names_no_task_method_or_dataset():
    from bench.plan.registry import Registry

    registry = Registry()
    names = {*registry.tasks, *registry.methods}
    for file in modules("bench"):
        if "cli" in file.parts:
            continue
        strings = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        assert not names & {s for s in strings if isinstance(s, str)}, file


@pytest.mark.parametrize("room", ["tasks", "methods"])
def test_what_the_registry_imports_is_light(room):
    cards = [*(ROOT / room).glob("[!_]*.py"), *(ROOT / room).glob("[!_]*/__init__.py")]
    assert cards
    for file in cards:
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"numpy", "scipy", "pandas", "torch", "scanpy", "anndata"}, file


def test_the_wheel_holds_every_file_of_the_rooms(tmp_path, monkeypatch):
    for part in (*ROOMS, "pyproject.toml", "README.md", "LICENSE"):  # a copy: building writes beside the sources
        (tmp_path / part).symlink_to(ROOT / part)
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / build_meta.build_wheel(str(tmp_path))
    packed = set(zipfile.ZipFile(wheel).namelist())
    sources = [p for room in ROOMS for p in (ROOT / room).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    inside = [p.relative_to(ROOT) for p in sources]
    wanted = {str(p if p.parts[0] == "bench" else "bench" / p) for p in inside}
    assert len(wanted) > 300
    assert wanted <= packed, sorted(wanted - packed)


def test_no_loop_inside_a_prange_is_left_by_break():
    """numba (0.61 to 0.68, on Python 3.12 and 3.13) takes values of such a loop from its first step."""
    loops = [
        node
        for file in NAMES.values()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "prange"
    ]
    assert len(loops) > 10
    assert not [ast.unparse(loop) for loop in loops if any(isinstance(node, ast.Break) for node in ast.walk(loop))]
