"""Named sizes of the sequence models, kept as data in ``presets.json``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from bench.errors import UnknownNameError


@cache
def _presets() -> dict[str, dict[str, dict[str, Any]]]:
    return json.loads((files(__package__) / "presets.json").read_text())


def preset(model: str, name: str) -> dict[str, Any]:
    """Sizes of a model by the preset's name.

    Raises
    ------
    UnknownNameError
        There is no such preset.
    """
    known = _presets()[model]
    if name not in known:
        raise UnknownNameError("preset", name, known, where=model)
    return dict(known[name])
