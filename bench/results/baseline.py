"""The sentence on pre-trained models without the linear model that they have to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.results.records import TrialRecord
from bench.words import count, listing


def without_linear_baseline(records: Iterable[TrialRecord], kinds: Mapping[str, str]) -> str:
    """Say that models pre-trained on cells have results, and no linear baseline has; empty where one stands by them.

    Parameters
    ----------
    records
        Trials of one task that asks for a baseline (:class:`bench.task.Task`).
    kinds
        Name of a method -> its :attr:`bench.method.Method.kind`.
    """
    of_place: dict[tuple[str, str], dict[str, set[str]]] = {}
    for record in records:
        kind = kinds.get(record.spec.method, "")
        if record.status == "ok" and kind:
            place = of_place.setdefault((record.spec.track, record.spec.dataset), {})
            place.setdefault(kind, set()).add(record.spec.method)
    judged = {place: found for place, found in of_place.items() if "foundation" in found}
    lacking = [found["foundation"] for found in judged.values() if "linear" not in found]
    if not lacking:
        return ""
    where = (
        "" if len(lacking) == len(judged) else f" on {len(lacking)} of {count(len(judged), 'track and dataset pair')}"
    )
    names = sorted(set().union(*lacking))
    beside = listing(names) if len(names) <= 3 else count(len(names), "model of cells", "models of cells")
    return f"No linear baseline was run beside {beside}{where}: whether pre-training is worth anything is not known."
