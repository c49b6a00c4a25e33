"""Caveats to know before numbers are read: the donors they rest on, weak labels, caveats of tracks and methods."""

from __future__ import annotations

from bench.problem import Note
from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.reports.run.splits import tested
from bench.reports.run.standing import not_compared
from bench.results.records import TaskCard
from bench.words import count, listing


def tested_donors(run: Run, task: str, track: str, dataset: str) -> int | None:
    """Number of donors that some split tests; None where they are not told apart, or the run folder does not tell."""
    splits, card = run.splits.get((task, track, dataset), {}), run.datasets.get(dataset)
    if not splits or not all(splits.values()) or (card is not None and "donor" not in card.fields):
        return None
    return len(tested(splits))


def rests_on(run: Run, task: str, track: str, dataset: str) -> str:
    """Say how many donors were tested in how many splits: ``7 tested donors in 3 splits``; empty if no trial has."""
    n, splits = tested_donors(run, task, track, dataset), run.splits.get((task, track, dataset), {})
    if n is None:
        return donors_untold(run, dataset) if splits else ""
    if len(splits) == 1 and dataset in run.datasets and run.datasets[dataset].n_donors == n:
        return count(n, "donor")
    donors = count(n, "tested donor")
    return donors if len(splits) == 1 else f"{donors} in {count(len(splits), 'split')}"


def donors_untold(run: Run, dataset: str) -> str:
    """Say what numbers rest on whose donors are not known: the data tell none, or the run folder has not kept them."""
    card = run.datasets.get(dataset)
    kept = card is None or "donor" not in card.fields
    return "cells whose donors are not told apart" if kept else "donors that the run folder does not tell"


def weak_labels(run: Run, task: str, dataset: str) -> str:
    """Say why the labels that a task scores are weaker than the authors'; empty where they are not, or are not used."""
    card = run.datasets.get(dataset)
    if card is None or not card.weak_labels:
        return ""
    records = (r for r in run.trials.values() if (r.spec.task, r.spec.dataset) == (task, dataset))
    return card.weak_labels if any(Note(card.weak_labels, "warning") in r.problem_notes for r in records) else ""


def caveats(run: Run, card: TaskCard) -> list[tuple[str, str]]:
    """Caveats of tracks and datasets: what each is about, and the warning."""
    pairs = [pair for pair in tables.pairs(run, card.name) if pair[0] in card.tracks]
    pairs_of: dict[str, list[tuple[str, str]]] = {}
    for track, dataset in pairs:
        about, data = card.tracks[track], run.datasets.get(dataset)
        of_truth = about.caveat_simulated if data is not None and data.truth == "generative" else about.caveat_measured
        for caveat in filter(None, (about.caveat, of_truth)):
            pairs_of.setdefault(caveat, []).append((track, dataset))
    warnings = [(_where(of, pairs), caveat) for caveat, of in pairs_of.items()]
    weak = {dataset: weak_labels(run, card.name, dataset) for _, dataset in pairs}
    return warnings + [(dataset, f"the labels are not the authors': {why}") for dataset, why in weak.items() if why]


def flags(run: Run, card: TaskCard, track: str, dataset: str) -> list[tuple[str, str]]:
    """Return what weakens the numbers of a track and dataset: a few words, and a sentence where there is more to say.

    How many donors they rest on comes first, whatever the number.
    """
    found = [(rests_on(run, card.name, track, dataset), "")] if run.splits.get((card.name, track, dataset)) else []
    about, weak = card.tracks.get(track), weak_labels(run, card.name, dataset)
    apart = not_compared(run, card).get((track, dataset), "")
    if about is not None and about.circular:
        found.append(("circular truth", about.caveat))
    elif apart:
        found.append(("not compared", apart))
    if weak:
        found.append(("weak labels", f"the labels are not the authors': {weak}"))
    return found


def _where(of: list[tuple[str, str]], pairs: list[tuple[str, str]]) -> str:
    """Tracks where all of their datasets are meant, else tracks and datasets."""
    tracks = list(dict(of))
    if all(pair in of for pair in pairs if pair[0] in tracks):
        return listing(tracks)
    return f"{listing(tracks)} on {listing(list(dict.fromkeys(dataset for _, dataset in of)))}"
