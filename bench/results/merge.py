"""``bench merge``: several run folders into one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.errors import BenchError
from bench.results.store import Store
from bench.system import write_atomic


def merge(sources: list[Path], target: Path) -> Store:
    """Copy the trials and requests of several run folders into one.

    Of a trial that several have, the first that is ``ok`` is kept, else the first; what ``target`` holds comes first of
    all. So merging in steps gives the same, and merging again changes nothing.

    Raises
    ------
    BenchError
        If they hold different versions of one task, or different data under one name: their scores do not compare.
    """
    stores = [Store.open(source) for source in sources]
    _refuse_mixtures([*stores, *([Store.open(target)] if (target / "run.json").exists() else [])])
    merged = Store.create(target)
    for store in stores:
        if not store.root.samefile(merged.root):
            _copy(store, merged)
    merged.write_tables()
    return merged


def _refuse_mixtures(stores: Iterable[Store]) -> None:
    versions: dict[str, dict[str, Path]] = {}
    digests: dict[str, dict[str, Path]] = {}
    for store in stores:
        for record in store.records():
            versions.setdefault(record.spec.task, {}).setdefault(record.spec.task_version, store.root)
            digests.setdefault(record.spec.dataset, {}).setdefault(record.spec.data_key, store.root)
    for kind, by_name in (("versions of task", versions), ("data under the name", digests)):
        for name, folders in by_name.items():
            if len(folders) > 1:
                raise BenchError(
                    f"the run folders hold different {kind} {name!r}",
                    where="; ".join(f"{key[:12]} in {root}" for key, root in sorted(folders.items())),
                    fix="run the older ones again, or report them apart",
                )


def _copy(store: Store, merged: Store) -> None:
    for record in store.records():
        target = merged.record(record.key)
        if target is None or (target.status != "ok" and record.status == "ok"):
            folder = store.trial_folder(record.key)
            merged.save(record, [p for p in folder.iterdir() if p.name != "trial.json"])
    # Under their own names: written anew, a request of an older version would have another.
    for file in (*(store.root / "requests").glob("[0-9a-f]*.json"), *(store.root / "problems").glob("*/[!.]*")):
        destination = merged.root / file.relative_to(store.root)
        if not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(destination, file.read_bytes())
