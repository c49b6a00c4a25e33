"""The cohort in pairs: each donor gives a library of both arms, as of two regions, or before and after a treatment.

The two libraries of a donor share what the donor is: effects on every gene, composition of cell types, batch. Size,
depth and soup are each library's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.data import cohort
from bench.data._paired_spec import PairedSpec
from bench.data._profiles import Atlas, build_atlas, rates
from bench.data._spec import CohortSpec, generator_digest

if TYPE_CHECKING:
    from anndata import AnnData


def simulate_paired(spec: PairedSpec, progress: Callable[[int, int], None] | None = None, threads: int = 1) -> AnnData:
    """Simulate a paired cohort.

    Parameters and result are those of :func:`bench.data.cohort.simulate`; ``obs["library"]`` is donor and arm, and
    ``uns["donors"]`` lists libraries, since each has expected counts of its own: :func:`bench.data.cohort.expectation`
    wants the library in the place of the donor.
    """
    from anndata import AnnData

    atlas = build_atlas(spec, cohort._rng(spec, 0))
    cohort._move_mitochondria(atlas)
    phi = cohort._overdispersion(spec, atlas, cohort._rng(spec, 2))
    libraries = _libraries(spec, atlas)
    tables, blocks, normaliser, done = [], [], [], 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for i, (donor, library) in enumerate(libraries):
            profile, total = rates(atlas.base, library.effect, atlas.disease_effect(library.arm))
            normaliser.append(total)
            droplets = cohort._catch(spec, library, atlas, cohort._rng(spec, 3, i))
            tables.append(cohort._describe(library, droplets, atlas).assign(donor=donor, library=library.name))
            for block in cohort._count(spec, i, library, droplets, profile, atlas, phi, pool):
                blocks.append(block)
                done += len(block[2]) - 1
                if progress is not None:
                    progress(done, spec.n_cells)
    var, obs = cohort._var(atlas, phi), pd.concat(tables)
    for column in (*cohort._CATEGORIES, "library"):
        obs[column] = obs[column].astype("category")
    effects = np.stack([library.effect[atlas.shown] for _, library in libraries], axis=1)
    return AnnData(
        X=cohort._assemble(blocks, len(var)),
        obs=obs,
        var=var,
        varm={"base": atlas.base[:, atlas.shown].T.astype(np.float32), "donor_log2fc": effects.astype(np.float32)},
        uns={
            "cohort": {"spec": json.dumps(asdict(spec)), "generator": generator_digest()},
            "subclusters": atlas.labels,
            "donors": np.array([library.name for _, library in libraries], dtype=object),
            "normaliser": np.stack(normaliser, axis=1),
            "disease_effects": atlas.disease,
        },
    )


def _libraries(spec: PairedSpec, atlas: Atlas) -> list[tuple[str, cohort._Library]]:
    """Donor and library, arm by arm of each donor; the second arm's takes over what the donor is."""
    recipe = {name: value for name, value in asdict(spec).items() if name != "n_donors"}
    drawn = cohort._libraries(CohortSpec(**recipe, n_donors=2 * spec.n_donors), atlas)
    libraries = []
    for k in range(spec.n_donors):
        first = drawn[2 * k]
        for library in drawn[2 * k : 2 * k + 2]:
            name = f"D{k + 1}_{library.arm}"
            libraries.append((f"D{k + 1}", replace(library, name=name, shares=first.shares, effect=first.effect)))
    return libraries
