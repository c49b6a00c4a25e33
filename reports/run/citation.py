"""Texts to cite by: a methods paragraph of a run, and BibTeX of every method in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bench.reports.run import tables
from bench.reports.run.load import Run
from bench.results.records import DECLARED, DataCard, MethodCard, TaskCard, TrialRecord
from bench.words import count, listing

TITLE = "bench: a benchmark harness for single-nucleus RNA-seq methods in brain disease"

_NADEAU = """@article{nadeau2003inference,
    author = {Nadeau, Claude and Bengio, Yoshua},
    title = {Inference for the generalization error},
    journal = {Machine Learning},
    volume = {52},
    number = {3},
    pages = {239--281},
    year = {2003},
    doi = {10.1023/A:1024068626366},
}"""


def bibtex(run: Run) -> str:
    """Every method that was tried, once each, bench itself, and the interval over splits where there is one."""
    entries = {_key(text): text for card in tried(run, *run.tasks) for text in _entries(card)}
    if (tables.cells(run)["interval"] == "splits").any():
        entries[_key(_NADEAU)] = _NADEAU
    return "\n\n".join([_of_bench(run), *(entries[key] for key in sorted(entries))])


def without_citation(run: Run) -> list[str]:
    """Methods that were tried and whose card names nothing to cite."""
    return [card.name for card in tried(run, *run.tasks) if not _entries(card)]


def methods_paragraph(run: Run, task: TaskCard) -> str:
    """One paragraph for the methods section of a paper: what was run, on what, how often, by what software."""
    records = [r for r in run.trials.values() if r.spec.task == task.name]
    if not records:
        return ""
    return " ".join(
        [
            _compared(run, task, records),
            _data(run, records),
            _protocol(task, records),
            _measured(run, task),
            _machine(run, task, records),
        ]
    )


def parameters(run: Run, task: TaskCard) -> list[tuple[str, str]]:
    """Each set of parameters that a method of a task ran with: its label, and all of them."""
    rows = tables.trials(run)
    rows = rows[(rows["task"] == task.name) & (rows["role"] == "method") & ~rows["status"].isin(DECLARED)]
    sets = rows.drop_duplicates("label").sort_values("label")
    return [(str(label), _assigned(text)) for label, text in zip(sets["label"], sets["params"], strict=True)]


def _compared(run: Run, task: TaskCard, records: list[TrialRecord]) -> str:
    methods = [_named(card, records) for card in tried(run, task.name)]
    controls = sorted({r.spec.method for r in records if r.spec.role != "method"})
    tracks = sorted({r.spec.track for r in records})
    version = listing(sorted({r.bench_version for r in records}))
    answered = listing(sorted({r.spec.task_version for r in records}))
    return (
        f"We compared {count(len(methods), 'method')} ({'; '.join(methods)}) and {count(len(controls), 'control')} "
        f"({', '.join(controls)}) with bench {version} [@bench], task {task.name} version {answered}, "
        f"{'track' if len(tracks) == 1 else 'tracks'} {listing(tracks)}."
    )


def _named(card: MethodCard, records: list[TrialRecord]) -> str:
    """``scrublet (reimplementation; scanpy 1.11.5) [@wolock2019scrublet]``."""
    met: dict[str, set[str]] = {}
    for record in records:
        if record.spec.method == card.name:
            for name in card.requires:
                if version := record.versions.get(name):
                    met.setdefault(name.removeprefix("R:"), set()).add(version)
    software = [f"{name} {' and '.join(sorted(versions))}" for name, versions in met.items()]
    cited = "".join(f" [@{_key(text)}]" for text in _entries(card))
    return f"{card.name} ({', '.join([card.implementation, *software])}){cited}"


def _data(run: Run, records: list[TrialRecord]) -> str:
    names = sorted({r.spec.dataset for r in records})
    told = [_dataset(run.datasets[name]) if name in run.datasets else name for name in names]
    return f"{'Dataset' if len(names) == 1 else 'Datasets'}: {'; '.join(told)}."


def _dataset(card: DataCard) -> str:
    donors = "donors not told apart" if card.n_donors is None else count(card.n_donors, "donor")
    facts = [
        count(card.n_cells, "cell"),
        count(card.n_genes, "gene"),
        donors,
        f"tissue {card.tissue}" if card.tissue else "",
    ]
    facts += [f"accession {card.accession}" if card.accession else ""]
    facts += [f"licence {card.licence}" if card.licence else "", f"sha256 {card.digest[:12]}"]
    return f"{card.name} ({', '.join(filter(None, facts))})"


def _protocol(task: TaskCard, records: list[TrialRecord]) -> str:
    seeds = {axis: len({getattr(r.spec.seeds, axis) for r in records}) for axis in ("split", "simulation", "method")}
    limits = {r.limits for r in records if r.spec.role == "method"} or {r.limits for r in records}
    allowed = sorted(
        f"{count(limit.threads, 'thread')} on {limit.device}, at most {limit.timeout_s:,.0f} s"
        + (f" and {limit.memory_mb:,.0f} MiB of memory" if limit.memory_mb else "")
        for limit in limits
    )
    replicates = [
        count(seeds["split"], "split", "splits"),
        count(seeds["simulation"], "simulation"),
        f"up to {count(seeds['method'], 'seed')} of a stochastic method (deterministic ones ran once)",
    ]
    return (
        f"We used {listing(replicates)}, with the seeds 0, 1, ... of bench. Methods ran each in a process of "
        f"its own, which was not shown the truth, with {' or '.join(allowed)}."
    )


def _measured(run: Run, task: TaskCard) -> str:
    metric = tables.headline(task)
    frame = tables.cells(run)
    frame = frame[(frame["task"] == task.name) & (frame["metric"] == (metric.name if metric else ""))]
    kinds = [tables.INTERVALS[kind] for kind in ("one", "trials", "splits") if (frame["interval"] == kind).any()]
    kinds = [f"{kind} [@nadeau2003inference]" if kind == tables.INTERVALS["splits"] else kind for kind in kinds]
    headline = f"The headline metric is {metric.name} ({metric.direction}). " if metric else ""
    return headline + (f"95 % intervals: {'; '.join(kinds)}." if kinds else "There are no intervals.")


def _machine(run: Run, task: TaskCard, records: list[TrialRecord]) -> str:
    versions: dict[str, set[str]] = {}
    for record in records:
        for name in ("python", "numpy", "scipy", "scanpy", "anndata", "scikit-learn", "torch", "R"):
            if version := record.versions.get(name):
                versions.setdefault("Python" if name == "python" else name, set()).add(version)
    software = [f"{name} {' and '.join(sorted(met))}" for name, met in versions.items()]
    cpus = sorted({r.machine.cpu for r in records if r.machine.cpu})
    where = f" on {listing(cpus)}" if cpus else ""
    outcomes = tables.outcomes(run)
    ended = outcomes.loc[outcomes["task"] == task.name, "status"]
    finished = f"{(ended == 'ok').sum():,} of {count(len(ended), 'planned trial')} finished."
    return f"{finished} Software: {', '.join(software)}{where}."


def tried(run: Run, *tasks: str) -> list[MethodCard]:
    """Return the cards of the methods (not the controls) that ran in these tasks, by name."""
    names = {r.spec.method for r in run.trials.values() if r.spec.task in tasks and r.status not in DECLARED}
    cards = [run.methods[name] for name in sorted(names & run.methods.keys())]
    return [card for card in cards if card.role == "method"]


def _entries(card: MethodCard) -> list[str]:
    """BibTeX entries of a card; of one that has only a DOI, an entry with that."""
    if card.citation:
        return [entry.strip() for entry in re.split(r"\n(?=@)", card.citation.strip())]
    if card.reference:
        return [f"@misc{{{card.name},\n    title = {{{card.name}}},\n    doi = {{{card.reference}}},\n}}"]
    return []


@dataclass(frozen=True)
class Work:
    """A paper or software to cite."""

    key: str
    title: str
    doi: str


def works(card: MethodCard) -> list[Work]:
    """Return what a card says to cite."""
    return [Work(_key(text), _field(text, "title"), _field(text, "doi")) for text in _entries(card)]


def _field(entry: str, name: str) -> str:
    """A field of a BibTeX entry without braces, if it stands between braces; they may be nested."""
    found = re.search(rf"\b{name}\s*=\s*\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", entry)
    return " ".join(re.sub(r"[{}]", "", found[1]).split()) if found else ""


def _key(entry: str) -> str:
    found = re.match(r"@\w+\s*\{\s*([^,\s]+)", entry)
    return found[1] if found else entry[:20]


def _of_bench(run: Run) -> str:
    fields = {
        "author": "{The bench authors}",
        "title": f"{{{TITLE.partition(':')[0]}}}:{TITLE.partition(':')[2]}",
        "version": run.info.bench_version,
        "year": run.info.created[:4],
    }
    return "\n".join(["@software{bench,", *(f"    {name} = {{{value}}}," for name, value in fields.items()), "}"])


def _assigned(text: str) -> str:
    params: Iterable[tuple[str, object]] = json.loads(text).items() if text else ()
    return ", ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in params)
