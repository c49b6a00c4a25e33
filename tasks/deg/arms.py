"""The two conditions that are compared, and which of them is the control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bench.dataset import without_label
from bench.errors import NotApplicableError
from bench.problem import Note, Notes
from bench.tasks._shared.donors import donors_of

if TYPE_CHECKING:
    from bench.dataset import Dataset

#: What studies call their control arm, in lower case.
CONTROL_NAMES = frozenset(
    {"control", "controls", "ctrl", "ctl", "ct", "cn", "nc", "hc", "healthy", "normal", "neurotypical", "unaffected"}
)

_FIX = "name the arms: bench data add FILE --name NAME --case X --control Y (or `case` and `control` in the manifest)"


@dataclass(frozen=True)
class Arms:
    """Values of ``condition`` that are compared."""

    case: str
    control: str


def arms_of(dataset: Dataset, notes: Notes) -> Arms:
    """The arms that the card names; else the arm with a control's name, or the first in the alphabet, is the control.

    Of several other arms, the case is the one with the most donors (then cells, then the first in the alphabet).

    Raises
    ------
    bench.errors.NotApplicableError
        If there are fewer than two conditions, or more and no rule tells which to compare.
    """
    obs, where = dataset.adata.obs, f"conditions of {dataset.card.name}"
    condition = obs["condition"].astype(object)[~without_label(obs["condition"])].astype(str)
    size = pd.DataFrame({"condition": condition, "donor": donors_of(dataset)[condition.index]})
    table = size.groupby("condition")["donor"].agg(["nunique", "size"]).sort_index()
    names = list(table.index)
    missing = sorted({dataset.card.case, dataset.card.control} - {"", *names})
    if missing:
        raise NotApplicableError(f"no cell is of the condition {missing[0]!r}", where=where, fix=_FIX)
    if len(names) < 2:
        raise NotApplicableError(f"{len(names)} condition ({', '.join(names)}): nothing to compare", where=where)
    control = dataset.card.control or _control(names, dataset.card.case, where, notes)
    others = table.drop(index=control)
    largest = others.sort_values(["nunique", "size"], ascending=False, kind="stable").index[0]
    case = dataset.card.case or str(largest)
    if case == control:
        raise NotApplicableError(f"{case!r} is named as case and as control", where=where, fix=_FIX)
    notes.append(f"compared: {case} (case) with {control} (control)")
    rest = sorted(set(names) - {case, control})
    if rest:
        notes.append(f"cells of other conditions are shown to methods, but not compared: {', '.join(rest)}; {_FIX}")
    return Arms(case, control)


def _control(names: list[str], case: str, where: str, notes: Notes) -> str:
    rest = [name for name in names if name != case]
    candidates = [name for name in rest if name.strip().lower() in CONTROL_NAMES]
    if len(candidates) == 1:
        return candidates[0]
    if len(candidates) > 1 or (len(rest) > 1 and len(names) > 2):
        why = f"{len(candidates)} of them have a control's name" if candidates else "none of them has a control's name"
        raise NotApplicableError(f"{len(names)} conditions ({', '.join(names)}), {why}", where=where, fix=_FIX)
    why = f"no condition has a control's name: {rest[0]}, first in the alphabet, is taken as control"
    notes.append(Note(why, "warning"))
    return rest[0]
