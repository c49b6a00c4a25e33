"""Records are found by the key of their prediction, and each is read once for that."""

from collections import Counter

import pytest
from conftest_core import SPEC

from bench.execution.reuse import Predictions, reused
from bench.plan.keys import prediction_key
from bench.problem import Note
from bench.results.records import Limits, Resources, TrialRecord
from bench.results.store import Store

SHARED = SPEC.model_copy(update={"inputs": "all counts"})
#: Another track that shows the same, and a method with other parameters.
TWIN = SHARED.model_copy(update={"track": "b"})
OTHER = SHARED.model_copy(update={"params": {"k": 2}})


def record(key, spec=SHARED, status="ok", digest="0" * 64, **fields):
    return TrialRecord(key=key, spec=spec, limits=Limits(), status=status, inputs_digest=digest, **fields)


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "run")


@pytest.fixture
def reads(monkeypatch):
    """How often each record was read."""
    counted, read = Counter(), Store.record

    def counting(self, key):
        counted[key] += 1
        return read(self, key)

    monkeypatch.setattr(Store, "record", counting)
    monkeypatch.setattr(Store, "records", lambda self: pytest.fail("all records are read"))
    return counted


def test_the_index_reads_every_record_once_however_many_trials_ask(store, reads):
    for i in range(20):
        store.save(record(f"{i:016x}", OTHER))
    predictions = Predictions(store)
    for _ in range(10):
        assert predictions.find(SHARED, "0" * 64) is None
    assert reads == Counter({f"{i:016x}": 1 for i in range(20)})


def test_trials_of_this_process_and_of_others_join_the_index(store, reads):
    predictions = Predictions(store)
    assert predictions.find(TWIN, "0" * 64) is None
    store.save(record("a" * 16))  # by another process: it is read once to know it, and again to use it
    assert predictions.find(TWIN, "0" * 64).key == "a" * 16
    assert reads["a" * 16] == 2
    own = record("b" * 16, OTHER)
    store.save(own)
    predictions.add(own)
    assert predictions.find(OTHER, "0" * 64).key == "b" * 16
    assert reads["b" * 16] == 1


def test_only_a_finished_trial_of_the_same_method_on_the_same_bytes_serves(store):
    control = SHARED.model_copy(update={"role": "trap"})
    unshared = SHARED.model_copy(update={"inputs": ""})
    store.save(record("0" * 16, status="crash"))
    store.save(record("1" * 16, digest="1" * 64))
    store.save(record("2" * 16, control))
    store.save(record("3" * 16, unshared))
    store.save(record("4" * 16, OTHER))
    predictions = Predictions(store)
    assert predictions.find(TWIN, "0" * 64) is None
    for key in ("6" * 16, "5" * 16):
        store.save(record(key))
    assert predictions.find(TWIN, "0" * 64).key == "5" * 16
    for spec in (control, unshared):
        assert predictions.find(spec, "0" * 64) is None


def test_a_record_that_was_replaced_since_serves_no_more(store):
    predictions = Predictions(store)
    store.save(record("a" * 16))
    assert predictions.find(TWIN, "0" * 64)
    store.save(record("a" * 16, status="crash"))
    assert predictions.find(TWIN, "0" * 64) is None


def test_trials_that_one_prediction_can_serve_take_turns(store):
    predictions = Predictions(store)
    assert prediction_key(SHARED) == prediction_key(TWIN)
    assert predictions.turn(SHARED) is predictions.turn(TWIN)
    assert predictions.turn(SHARED) is not predictions.turn(OTHER)
    with predictions.turn(SPEC), predictions.turn(SPEC):  # shown to nobody else: nobody waits
        pass


def test_what_is_reused_keeps_its_time_and_notes_and_says_whose_it_is():
    first = record("a" * 16, notes=[Note("weak", "warning"), "fitted once"], resources=Resources(wall_s=2.0, fit_s=1.5))
    second = record("b" * 16, TWIN, notes=reused(first).notes)
    for outcome, source in ((reused(first), f"{'a' * 16} (t/a)"), (reused(second), f"{'b' * 16} (t/b)")):
        *own, note = outcome.notes
        assert own == [Note("weak", "warning"), Note("fitted once")]
        assert note.level == "reused"
        assert source in note.text
    assert reused(first).wall_s == 2.0
    assert reused(first).phases == {"fit": 1.5}
