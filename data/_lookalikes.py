"""Lines about the columns of a file: which were taken, which look as if they were meant, and how to name them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from bench.dataset import OBS_FIELDS
from bench.words import count, listing

#: What studies call the columns of a field, without case and punctuation. None of these words is sure enough to be
#: taken unasked: a sample is a donor here and a day there. Fields in the order in which they claim a column.
_WORDS: dict[str, frozenset[str]] = {
    "donor": frozenset(
        "donor donors donorid donorname individual individuals individualid individualname patient patients patientid "
        "subject subjects subjectid participant participantid person personid projid sample samples sampleid "
        "samplename specimen specimenid origident mouse mouseid animal animalid".split()
    ),
    "condition": frozenset(
        "condition conditions diagnosis clinicaldiagnosis pathologicaldiagnosis dx disease diseasestatus diseasestate "
        "status casecontrol group groups treatment stim stimulation arm arms phenotype genotype pathology".split()
    ),
    "batch": frozenset(
        "batch batches batchid library libraryid channel lane chip plate pool poolid run runid sequencingrun "
        "sequencingbatch experiment gemgroup".split()
    ),
    "cell_type": frozenset(
        "celltype celltypes celltypename celltypelabel celltypeannotation cellannotation annotation annotations "
        "cellontology cellontologyclass majorcelltype celltypemajor broadcelltype celltypebroad broadclass majorclass "
        "class classlabel label labels celllabel celllabels".split()
    ),
    "subtype": frozenset(
        "subtype subtypes cellsubtype subclass subclasslabel celltypefine finecelltype minorcelltype celltypeminor "
        "supertype".split()
    ),
    "subcluster": frozenset("subcluster subclusters".split()),
    "is_doublet": frozenset(
        "isdoublet doublet doublets predicteddoublet predicteddoublets doubletclass doubletcall doubletclassification "
        "doubletfinder scdblfinderclass droplettype htoclassificationglobal demuxletcall".split()
    ),
    "exclude": frozenset(
        "exclude excluded isnegative outlier isoutlier discard remove lowquality islowquality qcfail".split()
    ),
    "split": frozenset("split traintest trainvaltest".split()),
}
_LOOKS_LIKE = {
    "donor": "donors",
    "condition": "conditions",
    "batch": "batches",
    "cell_type": "cell types",
    "subtype": "subtypes",
    "subcluster": "subclusters",
    "is_doublet": "doublets",
    "exclude": "cells to leave out",
    "split": "a split",
}
#: Other columns that are named before the rest is only counted.
_SHOWN = 8


def option(field: str) -> str:
    """The command line option that names the column of a field."""
    name = {"cell_type": "label", "is_doublet": "doublet"}.get(field, field.replace("_", "-"))
    return f"--{name}-key"


def lookalikes(columns: Collection[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Columns that no field is taken from -> the field that they look like.

    Of a field that has its column, only names that begin as the field's does are told: ``donor_id`` beside ``donor``.
    """
    field_of = {}
    for column in columns:
        if column in mapping.values():
            continue
        name = plain(column)
        for field, words in _WORDS.items():
            if name in words and (field not in mapping or name.startswith(plain(field))):
                field_of[column] = field
                break
    return field_of


def alike(field: str, columns: Collection[str], mapping: Mapping[str, str]) -> list[str]:
    """Columns that look as if a field could be taken from them."""
    return [column for column, other in lookalikes(columns, mapping).items() if other == field]


def looks_like(field: str, columns: Sequence[str]) -> str:
    """``A and B look like donors``."""
    return f"{listing(columns)} look{'s' if len(columns) == 1 else ''} like {_LOOKS_LIKE[field]}"


def taken_unasked(mapping: Mapping[str, str], chosen: Collection[str], n_excluded: int | None = None) -> list[str]:
    """A line for each field that a column of another name was taken for without being asked."""
    lines = []
    for field, column in mapping.items():
        if column != field and field not in chosen:
            left_out = (
                f" ({count(n_excluded, 'cell')} left out)" if field == "exclude" and n_excluded is not None else ""
            )
            lines.append(f"{field} is taken from obs[{column!r}]{left_out}")
    return lines


def lines_about_columns(columns: Collection[str], mapping: Mapping[str, str], n_values: Mapping[str, int]) -> list[str]:
    """Two lines for the terminal: the fields with their columns, and the columns that are not used.

    Parameters
    ----------
    n_values
        Of the card: where a field has one value only, other columns are offered for it.
    """
    if not columns:
        return ["columns:  none; if you have a table of the cells, join it and write both as .h5ad"]
    used = [f"{field} from obs[{mapping[field]!r}]" for field in OBS_FIELDS if field in mapping]
    if "exclude" in n_values:
        out = f" ({count(n_values['exclude'], 'cell')} left out)"
        used = [t + out if t.startswith("exclude ") else t for t in used]
    names = [column for column in columns if column not in mapping.values()]
    telling = {field: column for field, column in mapping.items() if n_values.get(field, 2) > 1}
    offered = lookalikes(names, telling)
    unused = [f"{c} (looks like {_LOOKS_LIKE[field]}: {option(field)} {c})" for c, field in offered.items()]
    others = [column for column in names if column not in offered]
    more = len(others) - _SHOWN
    unused += others[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    lines = [f"columns:  {'; '.join(used) or 'none was recognised'}"]
    return [*lines, f"not used: {', '.join(unused)}"] if unused else lines


def plain(name: str) -> str:
    """A name without case and punctuation: ``CellType``, ``cell.type`` and ``cell_type`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
