"""The recipe of the built-in cohort: plain numbers, readable without any scientific package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from bench.errors import BenchError

#: Files whose content decides the bytes of a simulated cohort.
_GENERATOR_FILES = (
    "_spec.py",
    "_profiles.py",
    "_sampler.py",
    "cohort.py",
    "_genes.csv.gz",
    "_types.csv",
    "_markers.csv",
    "_disease.csv",
)


@dataclass(frozen=True)
class CohortSpec:
    """What to simulate.

    Parameters
    ----------
    n_cells
        Droplets in the matrix, doublets included.
    n_genes
        Marker and disease genes first, then the most abundant genes of human brain nuclei. Depth is that of a whole
        transcriptome, of which a smaller gene set sees its share.
    n_donors
        One donor is one 10x library; donors take the arms in turn.
    arms
        ``CN`` (cognitively normal, no disease effects), ``AD``, ``PD``.
    n_batches
        Sequencing batches, each with a small expression effect of its own.
    doublet_rate
        Probability that a droplet holds two nuclei of its library.
    ambient
        Mean share of a droplet's RNA that comes from the library's soup; varies between donors and droplets.
    dropout
        Largest probability that a detected gene is lost; falls with the expected count m as 1 / (1 + m).
    depth
        Median counts of a nucleus over the whole transcriptome.
    n_disease_genes
        Genes changed in each cell type of each arm but ``CN``, next to the curated ones.
    seed
        Same seed, same bytes.
    """

    n_cells: int = 2800
    n_genes: int = 2500
    n_donors: int = 8
    arms: tuple[str, ...] = ("CN", "AD", "PD")
    n_batches: int = 2
    doublet_rate: float = 0.08
    ambient: float = 0.05
    dropout: float = 0.1
    depth: float = 1500.0
    n_disease_genes: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_cells", "n_genes", "n_donors", "n_batches"):
            if getattr(self, name) < 1:
                raise _refused(name, f"{getattr(self, name)} is less than 1", "give at least 1")
        for name in ("doublet_rate", "ambient", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise _refused(
                    name, f"{getattr(self, name)} is not a share", "give a number from 0 up to (not including) 1"
                )
        if not self.depth > 0:
            raise _refused("depth", f"{self.depth} is not positive", "give the median counts of a nucleus, e.g. 1500")
        if self.n_disease_genes < 0 or self.seed < 0:
            raise _refused("n_disease_genes, seed", "negative number", "give 0 or more")
        unknown = sorted(set(self.arms) - {"CN", "AD", "PD"})
        if unknown or not self.arms:
            raise _refused("arms", f"unknown arms {unknown}" if unknown else "no arm", "choose among CN, AD, PD")

    @property
    def digest(self) -> str:
        """sha256 of the recipe and of the generator's own source; known without simulating."""
        text = json.dumps(asdict(self), sort_keys=True) + generator_digest()
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def generator_digest() -> str:
    """sha256 over the generator's source and tables: a changed generator is a changed dataset."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in _GENERATOR_FILES:
        digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return digest.hexdigest()


def _refused(where: str, what: str, fix: str) -> BenchError:
    return BenchError(f"a cohort cannot be simulated: {what}", where=f"CohortSpec.{where}", fix=fix)
