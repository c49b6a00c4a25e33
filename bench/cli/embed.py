"""``bench embed``: what a pre-trained model makes of data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.options import MODELS, examples, need
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.methods.nn.genes import GeneMap
    from bench.methods.nn.training.checkpoint import Pretrained


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        rich_help_panel=MODELS,
        epilog=examples(
            "bench embed checkpoints/scmamba cortex.h5ad",
            "bench embed checkpoints/scmamba cortex.h5ad --run bench-runs/doublet",
        ),
    )(embed)


def embed(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a pre-trained model.", metavar="CKPT")],
    data: Annotated[
        str,
        typer.Argument(
            help="A .h5ad of raw counts, or a registered dataset.", metavar="DATA", autocompletion=complete.dataset
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The copy to write. Default: DATA with the suffix .embedded.h5ad.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder whose report shall show the embeddings.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Cells of a forward pass.")] = 16,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on the CPU. Default: all cores.")] = None,
) -> None:
    """Write a copy of the data with the vectors that a pre-trained model gives their cells and genes.

    Cells: obsm["X_MODEL"]. Genes: varm["MODEL_genes"]. The data themselves are neither changed nor held in memory.
    """
    need("torch", "safetensors", extra="models", command="bench embed")
    if device not in {"cpu", "cuda"}:
        raise BenchError(f"unknown device {device!r}", where="--device", fix="give cpu or cuda")
    from bench.data.library import FileSource
    from bench.plan.registry import Registry
    from bench.results.store import Store

    registry = Registry()
    registered = data in registry.datasets
    source = registry.dataset(data)
    file = source.path if isinstance(source, FileSource) and source.path.suffix.lower() == ".h5ad" else None
    if out is None:
        if file is None or registered:
            raise BenchError(f"where shall the cells of {data!r} go?", where="--out", fix="name a new .h5ad with --out")
        out = file.with_suffix(".embedded.h5ad")
    if isinstance(source, FileSource) and not source.is_whole:
        file = None  # vectors of genes would not fit its own
    from bench.methods.nn.embed import commands  # torch: only once the request makes sense

    if run is not None:
        Store.at(run)
    store = source.open()
    with _Bar(len(store)) as bar:

        def on_maps() -> None:
            bar.maps()
            if run is not None:
                Store.create(run)  # only now: what is refused before leaves nothing behind

        done = commands.embed(
            checkpoint,
            store,
            file or (lambda: source.load().adata),
            out,
            run=run,
            batch_size=batch_size,
            device=device,
            threads=threads,
            on_match=_tell_match,
            on_cells=bar.cells,
            on_maps=on_maps,
        )
    n_cells, width = done.shape
    whole = "" if file is not None else " (counts, genes and known columns only)"
    typer.echo(f'wrote {done.out}{whole}: obsm["{done.key}"] of {n_cells:,} cells x {width}')
    if done.empty:
        typer.echo(f"cells without counts in the model's genes, whose rows are NaN: {done.empty:,}")
    if done.unknown:
        few = ", ".join(done.unknown[:3])
        typer.echo(f"genes unknown to the model, whose rows in varm are NaN: {len(done.unknown):,} (e.g. {few})")
    if done.maps is not None:
        typer.echo(f"maps in {done.maps}; show them with: bench report {run}")


def _tell_match(pretrained: Pretrained, gene_map: GeneMap) -> None:
    typer.echo(
        f"{pretrained.architecture.name}: {gene_map.matched:,} of the model's {gene_map.n_genes:,} genes are in the "
        f"data (by {gene_map.by})" + ("" if gene_map.share == 1 else "; the others count as 0")
    )


class _Bar:
    """Progress with cells per second and what is left, on standard error."""

    def __init__(self, n_cells: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("embedding cells", total=n_cells, rate="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def cells(self, done: int) -> None:
        """So many cells are done."""
        speed = self._progress.tasks[0].speed
        self._progress.update(self._task, completed=done, rate=f"{speed:,.1f} cells/s" if speed else "")

    def maps(self) -> None:
        """The cells are done; their maps are being drawn."""
        self._progress.update(self._task, description="laying out maps (UMAP)", total=None, rate="")
