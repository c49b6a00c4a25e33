"""The account for the terminal, or a script, when trials are done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.execution.run import Result
from bench.results.baseline import without_linear_baseline
from bench.results.headline import Headline, headline
from bench.results.records import DECLARED, TrialRecord
from bench.words import ROLES, count


def as_json(result: Result, html: Path | None) -> dict[str, Any]:
    """Everything about a run that a script may want; docs/run-folder.md says what is what."""
    failed = {record.key for record in result.failures}
    return {
        "run": str(result.store.root),
        "report": str(html) if html else None,
        "tables": str(result.store.root / "results.csv"),
        "complete": result.complete,
        "ran": result.ran,
        "counts": dict(result.counts),
        "unreadable": {name: str(error) for name, error in result.plan.unreadable.items()},
        "skipped": [skipped.model_dump() for skipped in result.plan.skipped],
        "mind": {name: s.card.caveat for name, s in result.plan.datasets.items() if s.card.caveat},
        "trials": [_trial(result, record) for record in result.records],
        "failures": [_trial(result, record) for record in result.records if record.key in failed],
    }


def _trial(result: Result, record: TrialRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "trial": record.key,
        **spec.model_dump(mode="json", include={"task", "track", "dataset", "method", "role", "params", "seeds"}),
        "status": record.status,
        "detail": record.detail,
        "folder": str(result.store.trial_folder(record.key)),
        "wall_s": record.resources.wall_s,
        "cpu_s": record.resources.cpu_s,
        "rss_peak_mb": record.resources.rss_peak_mb,
        "scores": [score.model_dump(exclude={"unit", "detail"}) for score in record.scores if score.unit == "pooled"],
    }


def print_scores(result: Result) -> None:
    """Headline table, warnings about the problems, failures and where the numbers lie."""
    console = Console()
    circular = {name for name, track in result.plan.task.tracks.items() if track.circular}
    told = headline(result.records, result.plan.task.metrics, circular)
    console.print(_headline(result, told, circular))
    untold = ((f"{'/'.join(place)}: {why}; it orders no methods", "yellow") for place, why in told.untold.items())
    for line, style in chain(untold, _baseline(result), _warnings(result), _unreadable(result), _reasons(result)):
        console.print(Text(line, style=style), soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(result.counts.items()))
    console.print(f"{count(sum(result.counts.values()), 'trial')}: {counts} ({result.ran} run now)")
    console.print(Text(f"tables: {result.store.root / 'results.csv'}"), soft_wrap=True)


def rendered(render: Callable[[], Path | None], told: bool) -> Path | None:
    """Render the report and, if anything is told, say where it lies."""
    if not told:
        return render()
    with Console(stderr=True).status("rendering the report"):
        html = render()
    if html is not None:
        Console().print(Text.assemble("report: ", (str(html), "bold")), soft_wrap=True)
    return html


def _baseline(result: Result) -> Iterator[tuple[str, str]]:
    """The sentence on a table of pre-trained models without a linear baseline; and the style to print it in."""
    if not result.plan.task.linear_baseline:
        return
    if text := without_linear_baseline(result.records, {name: card.kind for name, card in result.plan.cards.items()}):
        yield text, "yellow"


def _warnings(result: Result) -> Iterator[tuple[str, str]]:
    """Every warning that the task gave about a problem, told once with where it holds; and the style to print it in."""
    places: dict[str, dict[str, None]] = {}
    for record in result.records:
        for note in record.problem_notes:
            if note.level == "warning":
                where = f"{record.spec.dataset}/{record.spec.track}"
                places.setdefault(note.text, {})[where] = None
    return ((f"warning: {', '.join(where)}: {note}", "yellow") for note, where in places.items())


def _unreadable(result: Result) -> Iterator[tuple[str, str]]:
    """Every dataset of which nothing could be planned, and why; and the style to print it in."""
    return ((f"not run: {name}: {error}", "red") for name, error in result.plan.unreadable.items())


def _reasons(result: Result) -> Iterator[tuple[str, str]]:
    """Every reason why there is no score, told once, with the trials it holds for; and the style to print it in."""
    for style, records in (("red", result.failures), ("yellow", [r for r in result.records if r.status in DECLARED])):
        groups: dict[tuple[str, str, str], list[TrialRecord]] = {}
        for record in records:
            # A package is missing for every dataset alike.
            place = "" if record.status == "unavailable" else f" on {record.spec.dataset}/{record.spec.track}"
            groups.setdefault((record.status, place, record.detail), []).append(record)
        for (status, place, detail), members in groups.items():
            methods = ", ".join(dict.fromkeys(record.spec.method for record in members))
            log = result.store.trial_folder(members[0].key) / "log.txt"
            where = f"\n  log:   {log}" if style == "red" and log.exists() else ""
            yield f"{status}: {methods}{place}: {detail}{where}", style


def _headline(result: Result, told: Headline, circular: Collection[str]) -> Table:
    """Methods x (dataset, track) with the task's headline metric."""
    table = Table(title=f"{told.metric.name} (pooled over donors, mean over splits and seeds)", title_justify="left")
    table.add_column("method")
    for dataset, track in told.places:
        table.add_column(f"{dataset}\n{track}{' (circular truth)' if track in circular else ''}", justify="right")
    named = {r.spec.method: text for r in result.records if (text := _named(result, r))}
    for row in told.rows:
        title = f"{row.method}{named.get(row.method, '') if row.role == 'method' else f' ({ROLES[row.role]})'}"
        cells = [cell.status if cell.value is None else f"{cell.value:.3f}" for cell in row.cells]
        table.add_row(escape(title), *cells, style="" if row.role == "method" else "dim")
    return table


def _named(result: Result, record: TrialRecord) -> str:
    """The parameters that stand beside a method's name."""
    card = result.plan.cards.get(record.spec.method)
    values = [str(record.spec.params[name]) for name in card.named_by] if card else []
    return f" ({', '.join(values)})" if values else ""
