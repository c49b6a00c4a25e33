"""The pre-trained models by name."""

from __future__ import annotations

from bench.errors import UnknownNameError
from bench.methods.nn.models.architecture import Architecture
from bench.methods.nn.models.scbert import ScBertArchitecture
from bench.methods.nn.models.schyena import ScHyenaArchitecture
from bench.methods.nn.models.scmamba import ScMambaArchitecture

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (ScMambaArchitecture(), ScHyenaArchitecture(), ScBertArchitecture())
}


def architecture(name: str) -> Architecture:
    """The model called ``name``.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]
