"""Datasets registered under a name, in a file of the project that one works in or of the user's, for every folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.data._files import home_dir, write_json
from bench.errors import DataError

_FILE = "library.json"
#: Folder of a project's own registrations.
PROJECT = ".bench"


@dataclass(frozen=True)
class Library:
    """One ``library.json``: name -> entry.

    Parameters
    ----------
    origin
        Whose it is.
    folder
        The folder it lies in.
    """

    origin: Literal["project", "user"]
    folder: Path

    @property
    def file(self) -> Path:
        """The file, which need not be there."""
        return self.folder / _FILE

    @property
    def where(self) -> str:
        """Words for where its names hold."""
        return f"in {self.folder.parent}" if self.origin == "project" else "everywhere, for you"

    def entries(self) -> dict[str, Any]:
        """Return the registered entries.

        Raises
        ------
        bench.errors.DataError
            If the file is damaged.
        """
        entries: dict[str, Any] = read_json(self.file, dict) if self.file.exists() else {}
        return entries

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Register ``entry``, in place of an earlier one of that name."""
        path = Path(entry["path"])
        if self.origin == "project" and path.is_relative_to(self.folder.parent):  # the project may move
            path = path.relative_to(self.folder.parent)
        write_json(self.file, self.entries() | {name: entry | {"path": str(path)}})

    def drop(self, name: str) -> None:
        """Forget a name."""
        write_json(self.file, {other: entry for other, entry in self.entries().items() if other != name})

    def path(self, entry: dict[str, Any]) -> Path:
        """Return the place of an entry's data."""
        return self.folder.parent / str(entry["path"])


def library_of(*, user: bool) -> Library:
    """The user's, or that of the project: of the nearest folder from here upwards that has one, else of this folder."""
    if user:
        return Library("user", home_dir())
    here = Path.cwd()
    places = [folder / PROJECT for folder in (here, *here.parents)]
    own = home_dir().absolute()
    return Library("project", next((p for p in places if (p / _FILE).is_file() and p != own), places[0]))


def libraries() -> tuple[Library, Library]:
    """The user's and the project's, whose names hide the user's."""
    return library_of(user=True), library_of(user=False)


def read_json(path: Path, kind: type) -> Any:
    """A file of JSON.

    Raises
    ------
    bench.errors.DataError
        If it cannot be read or is of another ``kind``.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"the file cannot be read: {error}", where=str(path), fix="repair or remove it") from error
    if not isinstance(value, kind):
        raise DataError(f"expected a JSON {kind.__name__}", where=str(path), fix="repair or remove it")
    return value
