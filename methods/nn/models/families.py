"""The pre-trained models by name."""

from __future__ import annotations

from bench.errors import UnknownNameError
from bench.methods.nn.models.family import Family
from bench.methods.nn.models.scbert import ScBertFamily
from bench.methods.nn.models.schyena import ScHyenaFamily
from bench.methods.nn.models.scmamba import ScMambaFamily

FAMILIES: dict[str, Family] = {family.name: family for family in (ScMambaFamily(), ScHyenaFamily(), ScBertFamily())}


def family(name: str) -> Family:
    """The model called ``name``.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    if name not in FAMILIES:
        raise UnknownNameError("model", name, FAMILIES)
    return FAMILIES[name]
