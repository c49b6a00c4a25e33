"""Expression profiles of the cohort: what every subcluster of every donor would show at infinite depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data._spec import CohortSpec

_FOLDER = Path(__file__).parent

_LINEAGE = {
    "Excitatory": "neuron",
    "Inhibitory": "neuron",
    "Astrocyte": "glia",
    "Oligodendrocyte": "glia",
    "OPC": "glia",
    "Microglia": "immune",
    "Endothelial": "vascular",
    "Pericyte": "vascular",
}

# (share of genes touched, standard deviation of log2 fold change): set by hand with `calibrate` against real nuclei.
_NEURON_EFFECT = (0.50, 1.6)
_LINEAGE_EFFECT = (0.50, 1.2)
_TYPE_EFFECT = (0.35, 1.2)
_SUBTYPE_EFFECT = (0.06, 1.0)
_SUBCLUSTER_EFFECT = (0.03, 0.9)
_DONOR_EFFECT = (1.0, 0.22)
_BATCH_EFFECT = (1.0, 0.15)

_TYPE_MARKER_LOG2FC = 5.0
_SUBTYPE_MARKER_LOG2FC = 2.5
_DISEASE_LOG2FC = (0.6, 1.6)


@dataclass(frozen=True)
class Atlas:
    """The cohort's ground truth; genes are the whole transcriptome, of which ``shown`` are in the matrix.

    Parameters
    ----------
    genes
        One row per gene: ``ensembl``, ``symbol``, ``level``.
    shown
        Positions of the genes in the matrix, ascending.
    labels
        One row per subcluster: ``cell_type, subtype, subcluster, share, depth`` (log of relative depth).
    base
        Subclusters x genes: expression relative to the whole transcriptome (rows sum to one).
    disease
        The changed genes: ``arm, cell_type, gene, log2fc, curated``.
    """

    genes: pd.DataFrame
    shown: np.ndarray
    labels: pd.DataFrame
    base: np.ndarray
    disease: pd.DataFrame

    def disease_effect(self, arm: str) -> np.ndarray:
        """Subclusters x genes: log2 fold change of ``arm`` over the controls."""
        effect = np.zeros_like(self.base)
        rows = self.disease[self.disease["arm"] == arm]
        position = pd.Series(np.arange(len(self.genes)), index=self.genes["ensembl"])
        columns = position.loc[rows["ensembl"]].to_numpy()
        for cell_type in rows["cell_type"].unique():
            chosen = (rows["cell_type"] == cell_type).to_numpy()
            members = np.flatnonzero(self.labels["cell_type"] == cell_type)
            effect[np.ix_(members, columns[chosen])] = rows["log2fc"].to_numpy()[chosen]
        return effect


def build_atlas(spec: CohortSpec, rng: np.random.Generator) -> Atlas:
    """Draw the subclusters' profiles and the disease effects."""
    genes = _gene_table(spec.n_genes)
    labels = _labels()
    base = _base_profiles(genes, labels, rng)
    shown = _shown_genes(genes, spec.n_genes)
    disease = _disease_effects(spec, genes, shown, labels, base, rng)
    return Atlas(genes, shown, labels, base, disease)


def donor_effects(spec: CohortSpec, n_genes: int, batches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Donors x genes: log2 effects of the individual and of the sequencing batch."""
    batch = np.stack([_effects(_BATCH_EFFECT, n_genes, rng) for _ in range(spec.n_batches)])
    donor = np.stack([_effects(_DONOR_EFFECT, n_genes, rng) for _ in range(spec.n_donors)])
    return donor + batch[batches]


def rates(base: np.ndarray, *log2_effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Profiles changed by effects, renormalised to sum to one, and the sums they were divided by."""
    changed = base.copy()
    for effect in log2_effects:
        changed *= np.exp2(effect)
    total = changed.sum(axis=1)
    return changed / total[:, None], total


def curated_symbols() -> set[str]:
    """Marker and disease genes named in the shipped tables; in every cohort that has room for them."""
    types, markers, disease = _read("_types.csv"), _read("_markers.csv"), _read("_disease.csv")
    words = " ".join([*types["markers"].fillna(""), *markers["genes"], *disease["gene"]])
    return set(words.split())


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(_FOLDER / name, comment="#")


def _gene_table(n_genes: int) -> pd.DataFrame:
    genes = _read("_genes.csv.gz")
    genes["ensembl"] = [f"ENSG{number:011d}" for number in genes["ensembl"]]
    missing = n_genes - len(genes)
    if missing > 0:
        names = [f"SIM{i:06d}" for i in range(missing)]
        levels = np.resize(np.sort(genes["level"].to_numpy())[: len(genes) // 4], missing)
        genes = pd.concat(
            [genes, pd.DataFrame({"ensembl": names, "symbol": names, "level": levels})], ignore_index=True
        )
    return genes


def _shown_genes(genes: pd.DataFrame, n_genes: int) -> np.ndarray:
    first = genes["symbol"].isin(curated_symbols()).to_numpy()
    order = np.lexsort((genes.index, -genes["level"], ~first))
    return np.sort(order[:n_genes])


def _labels() -> pd.DataFrame:
    rows = []
    for t in _read("_types.csv").itertuples():
        subtype = t.cell_type if t.subtype == t.cell_type else f"{t.cell_type}_{t.subtype}"
        shares = 1.0 / np.arange(1, t.n_subclusters + 1)
        for i, share in enumerate(shares / shares.sum(), start=1):
            name = subtype if t.n_subclusters == 1 and subtype == t.cell_type else f"{subtype}_{i}"
            rows.append((t.cell_type, subtype, name, t.share * t.subtype_share * share, t.depth))
    labels = pd.DataFrame(rows, columns=["cell_type", "subtype", "subcluster", "share", "depth"])
    labels["share"] /= labels["share"].sum()
    labels["depth"] -= labels["share"] @ labels["depth"]
    return labels


def _base_profiles(genes: pd.DataFrame, labels: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    n = len(genes)
    # Levels are rounded to half powers of two; the jitter spreads them again.
    abundance = np.exp2(genes["level"].to_numpy() / 2 + rng.uniform(-0.25, 0.25, n))
    log2fc = _hierarchical_effects(labels, n, rng)
    _add_markers(log2fc, genes, labels)
    base = np.exp2(log2fc)
    # Effects say who expresses a gene, the table says how much of it there is in the whole tissue.
    base *= abundance / (labels["share"].to_numpy() @ base)
    return base / base.sum(axis=1, keepdims=True)


def _hierarchical_effects(labels: pd.DataFrame, n_genes: int, rng: np.random.Generator) -> np.ndarray:
    lineage = labels["cell_type"].map(_LINEAGE)
    neuron = lineage.where(lineage == "neuron", "other")
    total = np.zeros((len(labels), n_genes))
    for level, effect in (
        (neuron, _NEURON_EFFECT),
        (lineage, _LINEAGE_EFFECT),
        (labels["cell_type"], _TYPE_EFFECT),
        (labels["subtype"], _SUBTYPE_EFFECT),
        (labels["subcluster"], _SUBCLUSTER_EFFECT),
    ):
        for name in level.unique():
            total[(level == name).to_numpy()] += _effects(effect, n_genes, rng)
    return total


def _effects(share_and_sd: tuple[float, float], n_genes: int, rng: np.random.Generator) -> np.ndarray:
    share, sd = share_and_sd
    return np.where(rng.random(n_genes) < share, rng.normal(0.0, sd, n_genes), 0.0)


def _add_markers(log2fc: np.ndarray, genes: pd.DataFrame, labels: pd.DataFrame) -> None:
    position = pd.Series(np.arange(len(genes)), index=genes["symbol"])
    markers = _read("_markers.csv")
    for symbol in sorted({s for text in markers["genes"] for s in text.split()}):
        log2fc[:, position[symbol]] = 0.0
    for row in markers.itertuples():
        members = np.flatnonzero(labels["cell_type"] == row.cell_type)
        log2fc[np.ix_(members, position.loc[row.genes.split()])] = _TYPE_MARKER_LOG2FC
    for row in _read("_types.csv").dropna(subset=["markers"]).itertuples():
        members = np.flatnonzero(labels["subtype"] == f"{row.cell_type}_{row.subtype}")
        log2fc[np.ix_(members, position.loc[row.markers.split()])] += _SUBTYPE_MARKER_LOG2FC


def _disease_effects(
    spec: CohortSpec,
    genes: pd.DataFrame,
    shown: np.ndarray,
    labels: pd.DataFrame,
    base: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    curated = _read("_disease.csv")
    in_matrix = genes.iloc[shown]
    parts = []
    for arm in ("AD", "PD"):
        for cell_type in labels["cell_type"].unique():
            known = curated[(curated["arm"] == arm) & (curated["cell_type"] == cell_type)]
            members = (labels["cell_type"] == cell_type).to_numpy()
            drawn = _draw_disease_genes(spec, in_matrix, base[members][:, shown].mean(axis=0), known, rng)
            part = pd.concat([known[["gene", "log2fc"]].assign(curated=True), drawn], ignore_index=True)
            parts.append(part.assign(arm=arm, cell_type=cell_type))
    table = pd.concat(parts, ignore_index=True)
    table = table[table["arm"].isin(spec.arms) & table["gene"].isin(in_matrix["symbol"])]
    ensembl = pd.Series(genes["ensembl"].to_numpy(), index=genes["symbol"])
    table["ensembl"] = ensembl.loc[table["gene"]].to_numpy()
    return table[["arm", "cell_type", "gene", "ensembl", "log2fc", "curated"]].reset_index(drop=True)


def _draw_disease_genes(
    spec: CohortSpec, in_matrix: pd.DataFrame, expression: np.ndarray, known: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Genes the type expresses (upper half of the matrix), as many up as down on average."""
    candidates = np.flatnonzero(~in_matrix["symbol"].isin([*known["gene"], "MALAT1"]).to_numpy())
    candidates = candidates[expression[candidates] >= np.median(expression)]
    chosen = rng.permutation(candidates)[: spec.n_disease_genes]
    sign = rng.choice([-1.0, 1.0], len(chosen))
    log2fc = sign * rng.uniform(*_DISEASE_LOG2FC, len(chosen))
    return pd.DataFrame({"gene": in_matrix["symbol"].to_numpy()[chosen], "log2fc": log2fc, "curated": False})
