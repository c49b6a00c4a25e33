"""The import graph of each room, read from the sources: files, arrows, levels and circles.

Usage: ``python scripts/import_graph.py [ROOM ...]``; ``--dot`` prints it for Graphviz (``| dot -Tsvg > graph.svg``).
Exits with 1 if files or folders of a room import each other in a circle. ``tests/test_rooms.py`` uses what is here.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bench", "tasks", "methods", "data", "reports")

Graph = Mapping[str, set[str]]


def modules(room: str) -> list[Path]:
    """Python files of a room, sorted."""
    return sorted(p for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts)


def module_name(file: Path) -> str:
    """Dotted name under which a file is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "bench" else ("bench", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(file): file for room in ROOMS for file in modules(room)}


def imported(file: Path) -> Iterator[str]:
    """Modules that a file imports anywhere; of ``from a import b`` ``a.b`` where that is a module, else ``a``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{file}: relative import")
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in NAMES else str(node.module)


def folder(room: str, file: Path) -> str:
    """Folder of a file below its room; ``.`` is the room itself."""
    return str(file.parent.relative_to(ROOT / room))


def of_files(room: str) -> Graph:
    """Files of a room, and which of them each imports."""
    files = {module_name(file): file for file in modules(room)}
    return {name: {n for n in imported(file) if n in files and n != name} for name, file in files.items()}


def of_boxes(room: str) -> Graph:
    """What lies in a room itself, files and folders, and which of them each imports."""

    def box(name: str) -> str:
        return NAMES[name].relative_to(ROOT / room).parts[0]

    files = of_files(room)
    boxes: dict[str, set[str]] = {box(name): set() for name in files}
    for name, targets in files.items():
        boxes[box(name)] |= {box(target) for target in targets} - {box(name)}
    return boxes


def circle(graph: Graph) -> list[str]:
    """A circle of a graph, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def levels(graph: Graph) -> int:
    """Length of the longest chain of imports."""
    depth: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        depth[name] = 1 + max((depth[target] for target in graph[name]), default=0)
    return max(depth.values(), default=0)


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the graphs that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"among {', '.join(ROOMS)}; all if none is given")
    parser.add_argument("--dot", action="store_true", help="print the graph of the files for Graphviz")
    args = parser.parse_args(arguments)
    if unknown := set(args.rooms) - set(ROOMS):
        parser.error(f"no room {', '.join(sorted(unknown))}")
    failed = False
    for room in args.rooms or ROOMS:
        files, boxes = of_files(room), of_boxes(room)
        if args.dot:
            arrows = [f'  "{a}" -> "{b}";' for a in sorted(files) for b in sorted(files[a])]
            print("\n".join([f"digraph {room} {{", *arrows, "}"]))
            continue
        for what, graph in (("files", files), ("files and folders at the top", boxes)):
            found = circle(graph)
            failed = failed or bool(found)
            arrows = sum(map(len, graph.values()))
            shape = f"circle: {' -> '.join(found)}" if found else f"{levels(graph)} levels, no circle"
            print(f"{room}/: {len(graph)} {what}, {arrows} arrows, {shape}")
        for name in sorted(boxes):
            print(f"  {name} -> {', '.join(sorted(boxes[name])) or 'nothing'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
