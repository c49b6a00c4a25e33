"""Named sizes and training configurations of the sequence models, kept as data in ``presets/MODEL.json``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from bench.errors import UnknownNameError

#: What a preset holds: sizes of the network, and a configuration for each kind of training.
#: ``classification/subtype`` and the like hold what differs there from ``classification``.
SECTIONS = ("sizes", "pretraining", "classification", "imputation")


@cache
def presets(model: str) -> dict[str, dict[str, dict[str, Any]]]:
    """All presets of a model: name, section, setting."""
    return json.loads((files(__package__) / "presets" / f"{model}.json").read_text())


def preset(model: str, name: str) -> dict[str, dict[str, Any]]:
    """Sizes and training configurations of a model by the preset's name.

    Raises
    ------
    UnknownNameError
        There is no such preset.
    """
    by_name = presets(model)
    if name not in by_name:
        raise UnknownNameError("preset", name, by_name, where=model)
    return {section: dict(settings) for section, settings in by_name[name].items()}
