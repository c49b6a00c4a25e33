"""The built-in cohort as datasets: simulated on first use, then read from a verified cache."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data._files import write_json
from bench.data._paired_spec import PairedSpec
from bench.data._spec import CohortSpec
from bench.dataset import OBS_FIELDS, Dataset, DatasetCard, DatasetSource
from bench.system import cache_dir, file_digest

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

_FIELDS = frozenset(OBS_FIELDS) - {"exclude", "split"}
#: Where a simulated study keeps which genes its diseases change (see :class:`bench.dataset.Dataset`).
EFFECTS = "disease_effects"
_COUNTS, _SEAL = "counts.h5ad", "seal.json"

#: Registered recipes.
COHORTS = {
    "cohort": CohortSpec(),
    "cohort-large": CohortSpec(n_cells=100_000, n_genes=20_000, n_donors=24),
    "cohort-paired": PairedSpec(),
}


class CohortSource(DatasetSource):
    """A recipe of the built-in cohort."""

    origin = "built-in"

    def __init__(self, name: str, spec: CohortSpec, *, builtin: bool = False) -> None:
        self.spec = spec
        self._card = DatasetCard(
            name=name,
            summary=f"simulated nuclei of {spec.n_donors} donors{', each' if isinstance(spec, PairedSpec) else ''} in "
            f"arms {'/'.join(spec.arms)}: 8 brain cell types, three label levels, known doublets and disease genes",
            digest=spec.digest,
            fields=_FIELDS,
            truth="generative",
            n_cells=spec.n_cells,
            n_genes=spec.n_genes,
            n_donors=spec.n_donors,
            source="simulated by bench.data.cohort: " + json.dumps(asdict(spec)),
            licence="BSD-3-Clause",
            organism="none (human gene names)",
            tissue="none (modelled on human cortex and substantia nigra, GSE140231)",
            caveat="simulated: gene effects are independent and noise is negative binomial, which real nuclei are only "
            "roughly; ranks here need confirming on real data",
            expected_doublet_rate=spec.doublet_rate,
            builtin=builtin,
        )

    @property
    def card(self) -> DatasetCard:
        """Known without simulating."""
        return self._card

    def load(self) -> Dataset:
        """Read the cohort from the cache, or simulate it."""
        adata = self.full()
        expected = _expected(adata)
        adata.obs = adata.obs[[field for field in OBS_FIELDS if field in adata.obs]]
        adata.var = adata.var[["symbol"]]
        truth = {EFFECTS: adata.uns[EFFECTS]}
        bare = type(adata)(X=adata.X, obs=adata.obs, var=adata.var, uns=truth)
        return Dataset(self._card, bare, expected)

    def full(self) -> AnnData:
        """The cohort with everything the simulator knows; see :func:`bench.data.cohort.simulate`."""
        import anndata

        folder = cache_dir() / "cohorts" / self.spec.digest[:32]
        if _is_whole(folder):
            return anndata.read_h5ad(folder / _COUNTS)
        adata = simulated(self.spec, threads=2)
        _keep(adata, folder)
        return adata


def simulated(spec: CohortSpec, progress: Callable[[int, int], None] | None = None, threads: int = 1) -> AnnData:
    """The cohort of a recipe, paired or not (see :func:`bench.data.cohort.simulate`)."""
    if isinstance(spec, PairedSpec):
        from bench.data.paired_cohort import simulate_paired

        return simulate_paired(spec, progress, threads)
    from bench.data.cohort import simulate

    return simulate(spec, progress, threads)


def _expected(adata: AnnData) -> Callable[[NDArray[np.intp]], NDArray[np.float32]]:
    """Expected counts of cells by position, from what the simulator keeps beside the counts."""
    obs = adata.obs.assign(donor=adata.obs["library"]) if "library" in adata.obs else adata.obs.copy()
    without_counts = type(adata)(obs=obs, var=adata.var.copy(), varm=dict(adata.varm), uns=dict(adata.uns))

    def expected(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        from bench.data.cohort import expectation

        return expectation(without_counts, rows)

    return expected


def _is_whole(folder: Path) -> bool:
    """Return whether the cached counts are the bytes that were sealed."""
    try:
        seal = json.loads((folder / _SEAL).read_text())
        return bool(seal["sha256"] == file_digest(folder / _COUNTS))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _keep(adata: AnnData, folder: Path) -> None:
    """Write counts and seal aside and move them into place together; a cache that cannot be written costs time only."""
    aside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
        adata.write_h5ad(aside / _COUNTS)
        write_json(aside / _SEAL, {"sha256": file_digest(aside / _COUNTS)})
        if folder.exists() and not _is_whole(folder):
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except OSError:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
