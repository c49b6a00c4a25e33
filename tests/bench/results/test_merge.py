"""Merging is putting sets together: however often, and in whatever steps."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from conftest_core import SPEC
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.results.merge import merge
from bench.results.records import Limits, Request, ScoreRecord, TaskCard, TrialRecord
from bench.results.store import Store

CARD = TaskCard(name="t", version="1", summary="", purpose="", tracks={}, metrics=[])
KEYS = [f"{i:016x}" for i in range(3)]
#: Of a run folder: which trials it has, and how each ended.
ENDS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["ok", "crash", "timeout"]))


def run_folder(root, ends):
    """A run folder whose records and logs tell which one they are of."""
    store, log = Store.create(root), root.parent / "log.txt"
    for key, status in ends.items():
        log.write_text(f"log of {key} in {root.name}")
        scores = [ScoreRecord(metric="f1", value=0.5)] if status == "ok" else []
        spec = SPEC.model_copy(update={"params": {"k": KEYS.index(key)}})
        of_trial = TrialRecord(key=key, spec=spec, limits=Limits(), status=status, scores=scores, host=root.name)
        store.save(of_trial, [log])
        log.unlink()
    for trials in ("any", f"{len(ends)}"):  # one that all folders were asked, and one that some were
        command = ["bench", "run", trials]
        store.save_request(Request(command=command, created=root.name, task=CARD, methods=[], datasets=[], planned=[]))
    return root


def contents(root):
    """What a run folder holds, and its table, but for the folder's identity."""
    files = [p for part in ("trials", "requests") for p in (root / part).rglob("*") if p.is_file()]
    table = pd.read_csv(root / "results.csv").drop(columns="run_id").to_csv()
    return {str(p.relative_to(root)): p.read_bytes() for p in files} | {"results.csv": table}


@settings(max_examples=6, derandomize=True, deadline=None)
@given(ends=st.tuples(ENDS, ENDS, ENDS))
@example(ends=({KEYS[0]: "crash"}, {KEYS[0]: "ok", KEYS[1]: "timeout"}, {KEYS[0]: "ok", KEYS[1]: "crash"}))
def test_steps_repeats_and_order(ends):
    with TemporaryDirectory() as folder:
        root = Path(folder)
        a, b, c = (run_folder(root / name, of_run) for name, of_run in zip("abc", ends, strict=True))
        whole = contents(merge([a, b, c], root / "abc").root)
        merge([a, b], root / "ab")
        merge([b, c], root / "bc")
        assert contents(merge([root / "ab", c], root / "ab_c").root) == whole
        assert contents(merge([a, root / "bc"], root / "a_bc").root) == whole
        assert contents(merge([c], root / "ab").root) == whole  # into what is there
        assert contents(merge([a, b, c, b, root / "abc"], root / "abc").root) == whole
        other = {r.key: r for r in merge([c, b, a], root / "cba").records()}
        for record in Store.open(root / "abc").records():
            found = [of_run[record.key] for of_run in ends if record.key in of_run]
            assert record.host == "abc"[next(i for i, e in enumerate(ends) if e.get(record.key) == record.status)]
            assert record.status == ("ok" if "ok" in found else found[0])
            assert other.pop(record.key).status == ("ok" if "ok" in found else found[-1])
        assert not other
