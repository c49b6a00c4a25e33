"""The pre-trained models by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bench.errors import UnknownNameError
from bench.methods.nn.models.family import Family
from bench.methods.nn.models.scbert import ScBertFamily
from bench.methods.nn.models.schyena import ScHyenaFamily
from bench.methods.nn.models.scmamba import ScMambaFamily
from bench.methods.nn.training.recipe import Recipe

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


def split_settings(kind: Family, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings by name, parted into those of the model's configuration and those of a recipe.

    Raises
    ------
    UnknownNameError
        If neither has such a setting.
    """
    of_model = {field.name for field in dataclasses.fields(kind.config_class)} - {"n_genes"}
    of_recipe = {field.name for field in dataclasses.fields(Recipe)}
    for name in settings:
        if name not in of_model | of_recipe:
            raise UnknownNameError(f"setting of {kind.name}", name, of_model | of_recipe)
    return (
        {name: value for name, value in settings.items() if name in of_model},
        {name: value for name, value in settings.items() if name in of_recipe},
    )
