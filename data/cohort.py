"""The built-in cohort: a simulated snRNA-seq study of neurodegeneration, with a truth no real data has.

A nucleus of subcluster k of donor d has the profile ``base[k] * 2 ** (donor[d] + disease[arm, k])`` (renormalised), a
log-normal size, and negative binomial counts. A droplet catches one nucleus, or two of the same library, whose RNA adds
up before anything is lost, plus soup: the library's average RNA and mitochondrial transcripts. Dropout then loses some
of the detected genes. :func:`expectation` gives what the counts would be without soup, noise and loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from bench.data._profiles import Atlas, build_atlas, donor_effects, rates
from bench.data._sampler import alias_table, sample_droplets
from bench.data._spec import CohortSpec, generator_digest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["CohortSpec", "expectation", "simulate"]

#: Droplets drawn from one random stream; part of the recipe, since it decides which stream draws which droplet.
_CHUNK = 1024

_SIZE_FLOOR = 0.2  # share of the depth below which no droplet is called a cell
_SIZE_SD = 0.95
_DONOR_DEPTH_SD = 0.30
_COMPOSITION_CONCENTRATION = 80.0
_SOUP_SD = 1.2
_SOUP_MITOCHONDRIAL = 0.15
_NUCLEAR_MITOCHONDRIAL = 0.03

_CATEGORIES = (
    "donor",
    "condition",
    "batch",
    "cell_type",
    "subtype",
    "subcluster",
    "parent_type_a",
    "parent_type_b",
    "parent_subcluster_a",
    "parent_subcluster_b",
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Library:
    """A donor: composition, depth, and the droplets' generators."""

    name: str
    arm: str
    batch: int
    n_droplets: int
    shares: np.ndarray
    depth: float
    ambient: float
    effect: np.ndarray


@dataclass(frozen=True)
class _Droplets:
    """What each droplet caught: profile and size of up to two nuclei (-1 and 0 where there is none), and soup."""

    groups: np.ndarray
    sizes: np.ndarray
    soup: np.ndarray

    def __getitem__(self, rows: slice) -> _Droplets:
        return _Droplets(self.groups[rows], self.sizes[rows], self.soup[rows])


def simulate(spec: CohortSpec, progress: Progress | None = None, threads: int = 1) -> AnnData:
    """Simulate a cohort.

    Parameters
    ----------
    spec
        What to simulate. Same recipe, same bytes, whatever ``threads`` is.
    progress
        Called with droplets done and droplets in total.
    threads
        Libraries are drawn in chunks of droplets, this many at a time.

    Returns
    -------
    ``X``: raw counts, ``csr_matrix`` of int32. ``obs``: donor, condition, batch, the three nested label levels
    (of the larger nucleus in a doublet), ``is_doublet``, ``parent_type_*`` and ``parent_subcluster_*`` (missing in
    singlets), ``nucleus_*`` (names of the nuclei caught; ``nucleus_b`` is empty in singlets), ``size_*`` and ``soup``
    (expected counts). ``var``: symbol, overdispersion.
    ``uns["disease_effects"]``: every changed gene. ``varm["base"]``, ``varm["donor_log2fc"]``, ``uns["subclusters"]``,
    ``uns["normaliser"]``: what :func:`expectation` needs.
    """
    from anndata import AnnData

    atlas = build_atlas(spec, _rng(spec, 0))
    _move_mitochondria(atlas)
    libraries = _libraries(spec, atlas)
    phi = _overdispersion(spec, atlas, _rng(spec, 2))
    tables, blocks, normaliser = [], [], []
    done = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for i, library in enumerate(libraries):
            profile, total = rates(atlas.base, library.effect, atlas.disease_effect(library.arm))
            normaliser.append(total)
            droplets = _catch(spec, library, atlas, _rng(spec, 3, i))
            tables.append(_describe(library, droplets, atlas))
            for block in _count(spec, i, library, droplets, profile, atlas, phi, pool):
                blocks.append(block)
                done += len(block[2]) - 1
                if progress is not None:
                    progress(done, spec.n_cells)
    var = _var(atlas, phi)
    obs = pd.concat(tables)
    for column in _CATEGORIES:
        obs[column] = obs[column].astype("category")
    effects = np.stack([library.effect[atlas.shown] for library in libraries], axis=1)
    return AnnData(
        X=_assemble(blocks, len(var)),
        obs=obs,
        var=var,
        varm={"base": atlas.base[:, atlas.shown].T.astype(np.float32), "donor_log2fc": effects.astype(np.float32)},
        uns={
            "cohort": {"spec": json.dumps(asdict(spec)), "generator": generator_digest()},
            "subclusters": atlas.labels,
            "donors": np.array([library.name for library in libraries], dtype=object),
            "normaliser": np.stack(normaliser, axis=1),
            "disease_effects": atlas.disease,
        },
    )


def expectation(adata: AnnData, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Expected counts before soup, noise and dropout: rows x genes, float32, dense (ask for a few rows at a time)."""
    labels = adata.uns["subclusters"]
    donors = pd.Index(adata.uns["donors"])
    obs = adata.obs.iloc[rows]
    donor = donors.get_indexer(obs["donor"])
    disease = _disease_matrix(adata)
    result = np.zeros((len(obs), adata.n_vars), dtype=np.float32)
    own = obs["subcluster"].astype(str).where(~obs["is_doublet"], obs["parent_subcluster_a"].astype(str))
    for names, size in ((own, obs["size_a"]), (obs["parent_subcluster_b"].astype(str), obs["size_b"])):
        group = pd.Index(labels["subcluster"]).get_indexer(names)
        for k, d in sorted({(k, d) for k, d in zip(group, donor, strict=True) if k >= 0}):
            cells = np.flatnonzero((group == k) & (donor == d))
            arm = str(obs["condition"].iloc[cells[0]])
            log2fc = adata.varm["donor_log2fc"][:, d] + disease.get((arm, labels["cell_type"].iloc[k]), 0.0)
            rate = adata.varm["base"][:, k] * np.exp2(log2fc) / adata.uns["normaliser"][k, d]
            result[cells] += (size.to_numpy()[cells, None] * rate).astype(np.float32)
    return result


def _rng(spec: CohortSpec, *path: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=path))


def _disease_matrix(adata: AnnData) -> dict[tuple[str, str], np.ndarray]:
    matrix = {}
    for (arm, cell_type), rows in adata.uns["disease_effects"].groupby(["arm", "cell_type"], observed=True):
        effect = np.zeros(adata.n_vars)
        effect[adata.var_names.get_indexer(rows["ensembl"])] = rows["log2fc"]
        matrix[str(arm), str(cell_type)] = effect
    return matrix


def _move_mitochondria(atlas: Atlas) -> None:
    """Nuclei hold few mitochondrial transcripts: most of what a droplet shows of them is soup."""
    mitochondrial = atlas.genes["symbol"].str.startswith("MT-").to_numpy()
    atlas.base[:, mitochondrial] *= _NUCLEAR_MITOCHONDRIAL
    atlas.base[:] /= atlas.base.sum(axis=1, keepdims=True)


def _libraries(spec: CohortSpec, atlas: Atlas) -> list[_Library]:
    rng = _rng(spec, 1)
    n_arms = len(spec.arms)
    batches = np.arange(spec.n_donors) // n_arms % spec.n_batches
    effects = donor_effects(spec, len(atlas.genes), batches, rng)
    sizes = _split(spec.n_cells, np.exp(rng.normal(0.0, 0.2, spec.n_donors)))
    composition = rng.dirichlet(atlas.labels["share"].to_numpy() * _COMPOSITION_CONCENTRATION, spec.n_donors)
    depth = rng.normal(0.0, _DONOR_DEPTH_SD, spec.n_donors)
    ambient = spec.ambient * np.exp(rng.normal(0.0, 0.3, spec.n_donors))
    return [
        _Library(
            name=f"{spec.arms[i % n_arms]}{i // n_arms + 1}",
            arm=spec.arms[i % n_arms],
            batch=int(batches[i]),
            n_droplets=int(sizes[i]),
            shares=composition[i],
            depth=float(depth[i]),
            ambient=float(ambient[i]),
            effect=effects[i],
        )
        for i in range(spec.n_donors)
    ]


def _split(total: int, weights: np.ndarray) -> np.ndarray:
    """Integers proportional to ``weights`` that sum to ``total`` (largest remainders)."""
    exact = total * weights / weights.sum()
    parts = np.floor(exact).astype(int)
    parts[np.argsort(parts - exact, kind="stable")[: total - parts.sum()]] += 1
    return parts


def _overdispersion(spec: CohortSpec, atlas: Atlas, rng: np.random.Generator) -> np.ndarray:
    """Overdispersion of each gene: falls with its mean, as it does inside clusters of real nuclei."""
    mean = spec.depth * (atlas.labels["share"].to_numpy() @ atlas.base)
    phi = 0.12 + 0.08 * mean**-0.45
    return np.minimum(phi * np.exp(rng.normal(0.0, 0.3, len(mean))), 2.0)


def _catch(spec: CohortSpec, library: _Library, atlas: Atlas, rng: np.random.Generator) -> _Droplets:
    n = library.n_droplets
    groups = rng.choice(len(library.shares), (n, 2), p=library.shares).astype(np.int32)
    scale = np.exp(rng.normal(atlas.labels["depth"].to_numpy()[groups] + library.depth, _SIZE_SD))
    sizes = spec.depth * (_SIZE_FLOOR + (1.0 - _SIZE_FLOOR) * scale)
    alone = rng.random(n) >= spec.doublet_rate
    groups[alone, 1], sizes[alone, 1] = -1, 0.0
    soup = library.ambient * spec.depth * np.exp(rng.normal(0.0, _SOUP_SD, n) - _SOUP_SD**2 / 2 + library.depth)
    return _Droplets(groups, sizes, soup)


def _describe(library: _Library, droplets: _Droplets, atlas: Atlas) -> pd.DataFrame:
    a, b = droplets.groups.T
    size_a, size_b = droplets.sizes.T
    doublet = b >= 0
    shown = np.where(doublet & (size_b > size_a), b, a)
    labels = atlas.labels
    names = {level: labels[level].to_numpy() for level in ("cell_type", "subtype", "subcluster")}
    n_nuclei = np.cumsum(1 + doublet)
    nucleus = np.array([f"{library.name}_n{i:06d}" for i in range(2 * len(a))], dtype=object)
    return pd.DataFrame(
        {
            "donor": library.name,
            "condition": library.arm,
            "batch": f"batch{library.batch + 1}",
            **{level: names[level][shown] for level in names},
            "is_doublet": doublet,
            "parent_type_a": np.where(doublet, names["cell_type"][a], None),
            "parent_type_b": np.where(doublet, names["cell_type"][b], None),
            "parent_subcluster_a": np.where(doublet, names["subcluster"][a], None),
            "parent_subcluster_b": np.where(doublet, names["subcluster"][b], None),
            "nucleus_a": nucleus[n_nuclei - 1 - doublet],
            "nucleus_b": np.where(doublet, nucleus[n_nuclei - 1], ""),
            "size_a": size_a,
            "size_b": size_b,
            "soup": droplets.soup,
        },
        index=pd.Index([f"{library.name}_{i:06d}" for i in range(len(a))], name="cell"),
    )


def _soup_profile(library: _Library, profile: np.ndarray, atlas: Atlas) -> np.ndarray:
    """The library's average RNA, with mitochondrial transcripts of broken cells."""
    weight = library.shares * np.exp(atlas.labels["depth"].to_numpy())
    average = weight @ profile / weight.sum()
    mitochondrial = np.where(atlas.genes["symbol"].str.startswith("MT-"), average, 0.0)
    return (1 - _SOUP_MITOCHONDRIAL) * average + _SOUP_MITOCHONDRIAL * mitochondrial / mitochondrial.sum()


def _count(
    spec: CohortSpec,
    i: int,
    library: _Library,
    droplets: _Droplets,
    profile: np.ndarray,
    atlas: Atlas,
    phi: np.ndarray,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """CSR blocks of a library's droplets, in order."""
    rate = np.ascontiguousarray(profile[:, atlas.shown])
    shown_share = rate.sum(axis=1)
    probability, alias = alias_table(rate)
    soup = _soup_profile(library, profile, atlas)[atlas.shown]
    soup_probability, soup_alias = alias_table(soup[None, :])
    gene_phi = phi[atlas.shown]

    def draw(chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = _rng(spec, 4, i, chunk)
        part = droplets[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        n_draws = rng.poisson(part.sizes * np.where(part.groups >= 0, shown_share[part.groups], 0.0))
        n_ambient = rng.poisson(part.soup * soup.sum())
        return sample_droplets(
            part.groups,
            part.sizes,
            n_draws,
            n_ambient,
            rate,
            gene_phi,
            probability,
            alias,
            soup_probability[0],
            soup_alias[0],
            spec.dropout,
            rng,
        )

    yield from pool.map(draw, range(-(-library.n_droplets // _CHUNK)))


def _assemble(blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n_genes: int) -> csr_matrix:
    """Stack CSR blocks, freeing each as it is copied."""
    nnz = sum(len(block[0]) for block in blocks)
    wide = np.int32 if nnz < 2**31 else np.int64
    data, indices = np.empty(nnz, dtype=np.int32), np.empty(nnz, dtype=wide)
    lengths, start = [np.zeros(1, dtype=np.int64)], 0
    blocks.reverse()
    while blocks:
        block_data, block_indices, block_indptr = blocks.pop()
        stop = start + len(block_data)
        data[start:stop], indices[start:stop] = block_data, block_indices
        lengths.append(np.diff(block_indptr))
        start = stop
    indptr = np.cumsum(np.concatenate(lengths)).astype(wide)
    return csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_genes))


def _var(atlas: Atlas, phi: np.ndarray) -> pd.DataFrame:
    shown = atlas.genes.iloc[atlas.shown]
    return pd.DataFrame(
        {"symbol": shown["symbol"].to_numpy(), "overdispersion": phi[atlas.shown]},
        index=pd.Index(shown["ensembl"].to_numpy(), name="gene"),
    )
