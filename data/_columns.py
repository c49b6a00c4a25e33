"""The column of a file that stands for each canonical field."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bench.data._lookalikes import alike, looks_like, option, plain
from bench.dataset import OBS_FIELDS
from bench.errors import DataError, close_to, did_you_mean

#: Other names a field is known by, tried in order after the field's own name: only such as mean nothing else
#: (``donor_id`` is what CELLxGENE demands). Taking one is always told (:mod:`bench.data._lookalikes`).
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "donor": ("donor_id",),
    "cell_type": ("derived_cell_type",),
    "subtype": ("cell_type_fine",),
    "exclude": ("is_negative",),
}

#: How columns of labels that are not the study authors' own begin.
_DERIVED = "derived"

_THREE_LEVELS = {"cell_type": "cell_type_level1", "subtype": "cell_type", "subcluster": "cell_type_fine"}

_SYMBOLS = ("symbol", "gene_symbol", "gene_symbols", "feature_name", "gene_name")
_IDS = ("ensembl_id", "gene_ids", "gene_id", "ensembl")


def map_columns(columns: Collection[str], chosen: Mapping[str, str] | None = None, where: str = "") -> dict[str, str]:
    """Canonical field -> column of ``obs``.

    ``chosen`` decides first; then columns of the field's own name, then a few known names, then the only column that
    is called so but for case and punctuation (``CellType``, ``Donor ID``). Where ``cell_type_level1``, ``cell_type``
    and ``cell_type_fine`` are all there, they are the three nested label levels.

    Raises
    ------
    bench.errors.DataError
        If ``chosen`` names an unknown field or a column that is not there.
    """
    chosen = dict(chosen or {})
    for field, column in chosen.items():
        if field not in OBS_FIELDS:
            raise DataError(f"{field!r} is no field of a dataset", where=where, fix=f"fields: {', '.join(OBS_FIELDS)}")
        if column not in columns:
            others = alike(field, columns, {})
            hint = f"{looks_like(field, others)}: {option(field)} {others[0]}" if others else ""
            raise DataError(
                f"there is no column {column!r} to take {field!r} from",
                where=f"obs of {where}",
                fix=f"{hint or f'choose another with {option(field)}'}; columns: {', '.join(columns) or 'none'}",
            )
    guessed = {field: match for field in OBS_FIELDS if (match := _called(field, columns))}
    if set(_THREE_LEVELS.values()) <= set(columns) and "subtype" not in columns:
        guessed |= _THREE_LEVELS
    if {"cell_type", "subtype", "subcluster"} & set(chosen):
        # Levels guessed around a chosen one would hardly nest with it.
        guessed = {field: c for field, c in guessed.items() if field not in ("cell_type", "subtype", "subcluster")}
    merged = guessed | chosen
    return {field: merged[field] for field in OBS_FIELDS if field in merged}


def _called(field: str, columns: Collection[str]) -> str | None:
    names = (field, *_SYNONYMS.get(field, ()))
    spelt = {plain(name) for name in names}
    variants = [column for column in columns if plain(column) in spelt]
    return _first(names, columns) or (variants[0] if len(variants) == 1 else None)


def own_column(name: str, columns: Collection[str], mapping: Mapping[str, str], where: str) -> str:
    """The column of ``obs`` that is meant by ``name``: the file's own of that name, else that of the canonical field.

    Raises
    ------
    bench.errors.DataError
        If there is neither.
    """
    if name in columns:
        return name
    if name in mapping:
        return mapping[name]
    names = sorted({*columns, *mapping})
    close = close_to(name, names)
    others = alike(name, columns, mapping)
    hint = f"{looks_like(name, others)}; " if others else ""
    if close:
        hint = f"{did_you_mean(close)} "
    raise DataError(
        f"the cells have no column {name!r}",
        where=f"obs of {where}",
        fix=f"{hint}columns: {', '.join(names) or 'none'}",
    )


def weak_labels(mapping: Mapping[str, str]) -> str:
    """That labels come from columns which their makers call derived, or nothing."""
    levels = ("cell_type", "subtype", "subcluster")
    derived = [mapping[level] for level in levels if plain(mapping.get(level, "")).startswith(_DERIVED)]
    return f"derived labels (weak): {', '.join(derived)}" if derived else ""


def symbol_column(columns: Collection[str]) -> str | None:
    """The column of ``var`` with gene symbols."""
    return _first(_SYMBOLS, columns)


def id_column(columns: Collection[str]) -> str | None:
    """The column of ``var`` with Ensembl IDs."""
    return _first(_IDS, columns)


def _first(names: tuple[str, ...], columns: Collection[str]) -> str | None:
    return next((name for name in names if name in columns), None)
