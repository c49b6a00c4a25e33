"""The embeddings that methods ask for: which are named, and the digest of each in each dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.dataset import DatasetSource
from bench.errors import BenchError
from bench.method import Method
from bench.results.records import EmbeddingSpec


def unnamed(method: type[Method], params: Mapping[str, Any]) -> list[str]:
    """Parameters of ``method`` that must name an embedding and do not."""
    known = method.defaults() | dict(params)
    return [parameter for parameter in method.embeddings if not known[parameter]]


def embeddings_of(keys: Mapping[str, str], sources: Mapping[str, DatasetSource]) -> dict[str, dict[str, EmbeddingSpec]]:
    """Of each dataset the embeddings that a method's parameters name, read now.

    Where a dataset lacks one, or has none that can be used, there is no digest, and its trials say why.

    Raises
    ------
    bench.errors.BenchError
        If that is so of every dataset.
    """
    found: dict[str, dict[str, EmbeddingSpec]] = {}
    refused = []
    for name, source in sources.items():
        found[name] = {}
        for parameter, key in keys.items():
            try:
                embedding = source.embedding(key)
            except BenchError as error:
                refused.append(error)
                found[name][parameter] = EmbeddingSpec(key=key)
                continue
            told = None if embedding.pretrained_on is None else list(embedding.pretrained_on)
            found[name][parameter] = EmbeddingSpec(key=key, sha256=embedding.digest, pretrained_on=told)
    if refused and not any(each.sha256 for specs in found.values() for each in specs.values()):
        raise refused[0]
    return found
