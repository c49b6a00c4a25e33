import errno
import json
import threading

import pandas as pd
import pytest
from conftest_core import SPEC
from scipy.sparse import csr_matrix

from bench.errors import BenchError
from bench.problem import Cells, Curve, Inputs, Problem
from bench.results.merge import merge
from bench.results.records import Limits, Resources, ScoreRecord, TrialRecord
from bench.results.store import Store
from bench.results.tables import CURVE_COLUMNS, ROW_COLUMNS


def record(key="00000000000000aa", status="ok", value=0.5, version="1", **more):
    return TrialRecord(
        key=key,
        spec=SPEC.model_copy(update={"task_version": version}),
        limits=Limits(timeout_s=10, memory_mb=100),
        status=status,
        scores=[ScoreRecord(metric="f1", value=value, n=7)] if status == "ok" else [],
        curves=[Curve(name="pr", x=[0, 1], y=[1, 0])] if status == "ok" else [],
        resources=Resources(wall_s=1.5),
        **more,
    )


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "run")


def test_a_record_comes_back_with_its_files(store, tmp_path):
    (tmp_path / "log.txt").write_text("hello")
    store.save(record(), [tmp_path / "log.txt"])
    assert store.record("00000000000000aa") == record()
    assert (store.trial_folder("00000000000000aa") / "log.txt").read_text() == "hello"
    assert store.record("00000000000000bb") is None


def test_opening_again_keeps_the_identity(store):
    assert Store.create(store.root).info == store.info


def test_a_folder_with_other_things_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(BenchError, match="not empty"):
        Store.create(tmp_path)
    with pytest.raises(BenchError, match=r"run\.json is missing"):
        Store.open(tmp_path)


@pytest.mark.parametrize("open_run", [Store.open, Store.create])
@pytest.mark.parametrize("name", ["trials", "requests", "problems"])
def test_a_file_in_place_of_a_folder_is_refused_and_left_alone(store, open_run, name):
    place = store.root / name
    if place.exists():
        place.rmdir()
    place.write_text("do not touch")
    with pytest.raises(BenchError, match="file where a run folder has a folder") as refusal:
        open_run(store.root)
    assert refusal.value.where == str(place)
    assert place.read_text() == "do not touch"


def test_leftovers_of_a_killed_writer_are_never_read(store):
    half = store.root / "trials" / ".tmp-00000000000000aa-1234"
    half.mkdir()
    (half / "trial.json").write_text('{"key": "0000')
    (store.root / "trials" / "00000000000000cc").mkdir()
    assert list(store.records()) == []
    assert not store.is_final("00000000000000cc", Limits())


def test_a_damaged_record_is_named(store):
    store.save(record())
    file = store.trial_folder("00000000000000aa") / "trial.json"
    file.write_text(file.read_text()[:40])
    with pytest.raises(BenchError, match=r"trial\.json"):
        store.record("00000000000000aa")


@pytest.mark.parametrize(
    ("status", "limits", "final"),
    [
        ("ok", Limits(timeout_s=999), True),
        ("crash", Limits(timeout_s=999), True),
        ("not_applicable", Limits(), True),
        ("unavailable", Limits(), False),
        ("timeout", Limits(timeout_s=10), True),
        ("timeout", Limits(timeout_s=11), False),
        ("oom", Limits(memory_mb=100), True),
        ("oom", Limits(memory_mb=200), False),
        ("oom", Limits(memory_mb=None), False),
    ],
)
def test_what_runs_again(store, status, limits, final):
    store.save(record(status=status))
    assert store.is_final("00000000000000aa", limits) is final


def test_what_was_killed_from_outside_runs_again(store):
    store.save(record(status="crash", retryable=True))
    assert not store.is_final("00000000000000aa", Limits())


def test_concurrent_writers_leave_one_whole_trial(store):
    def write(i):
        for _ in range(20):
            store.save(record(value=i / 10, log_tail="x" * 10_000))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.record("00000000000000aa").scores[0].value in [i / 10 for i in range(6)]
    assert [p.name for p in (store.root / "trials").iterdir()] == ["00000000000000aa"]


def test_the_tables_hold_every_status_and_agree_with_each_other(store):
    store.save(record())
    store.save(record(key="00000000000000bb", status="timeout", detail="too slow"))
    assert store.write_tables()
    assert not store.write_tables()  # nothing changed
    table = pd.read_parquet(store.root / "results.parquet")
    assert list(table.columns) == list(ROW_COLUMNS)
    assert list(table["status"]) == ["ok", "timeout"]
    assert table["value"].tolist()[0] == 0.5
    assert pd.isna(table["value"].tolist()[1])
    text = pd.read_csv(store.root / "results.csv")
    assert text["detail"].tolist()[1] == "too slow"
    assert text["value"].tolist()[0] == table["value"].tolist()[0]
    curves = pd.read_parquet(store.root / "curves.parquet")
    assert list(curves.columns) == list(CURVE_COLUMNS)
    assert curves["y"].tolist() == [1, 0]


def test_an_empty_run_has_empty_tables(store):
    store.write_tables()
    assert len(pd.read_parquet(store.root / "results.parquet")) == 0


def test_merge_puts_runs_together_and_prefers_what_succeeded(tmp_path):
    a, b = Store.create(tmp_path / "a"), Store.create(tmp_path / "b")
    a.save(record(status="crash"))
    b.save(record())
    b.save(record(key="00000000000000bb"))
    merged = merge([a.root, b.root], tmp_path / "m")
    assert [r.status for r in merged.records()] == ["ok", "ok"]
    assert len(pd.read_parquet(merged.root / "results.parquet")) == 2


def test_merge_refuses_mixed_task_versions(tmp_path):
    a, b = Store.create(tmp_path / "a"), Store.create(tmp_path / "b")
    a.save(record())
    b.save(record(key="00000000000000bb", version="2"))
    with pytest.raises(BenchError, match="different versions of task"):
        merge([a.root, b.root], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_merge_refuses_different_data_of_one_name(tmp_path):
    a, b = Store.create(tmp_path / "a"), Store.create(tmp_path / "b")
    a.save(record())
    other = record(key="00000000000000bb")
    b.save(other.model_copy(update={"spec": other.spec.model_copy(update={"data_key": "1"})}))
    with pytest.raises(BenchError, match="different data under the name"):
        merge([a.root, b.root], tmp_path / "m")


def test_nan_is_null_in_json(store):
    store.save(record(value=None))
    text = (store.trial_folder("00000000000000aa") / "trial.json").read_text()
    assert json.loads(text)["scores"][0]["value"] is None


def test_what_a_killed_first_run_leaves_does_not_block_the_next(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run-00ff.json").write_text("{")
    assert Store.create(tmp_path / "run").info.run_id
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").write_text("")
    with pytest.raises(BenchError, match="not a run folder"):
        Store.create(tmp_path / "other")


def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing_half(store, monkeypatch, tmp_path):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    log = tmp_path / "log.txt"
    log.write_text("x")
    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(BenchError, match="No space left on device"):
        store.save(record(), [log])
    assert list((store.root / "trials").iterdir()) == []


def test_merging_into_one_of_the_sources_keeps_both(tmp_path):
    a, b = Store.create(tmp_path / "a"), Store.create(tmp_path / "b")
    a.save(record())
    b.save(record(key="00000000000000bb"))
    (b.trial_folder("00000000000000bb") / "expression.zarr").mkdir()
    (b.trial_folder("00000000000000bb") / "expression.zarr" / "chunk").write_text("x")
    cells = pd.DataFrame({"hot": [True]}, index=["c"])
    hidden = csr_matrix([[7.0]])
    problem = Problem(Inputs(Cells(hidden, cells, pd.DataFrame(index=["g"]))), cells, truth={"held_out": hidden})
    a.save_problem("p", problem)
    b.save_problem("p", problem)
    b.save_problem_tables("p", {"map": pd.DataFrame({"x": [1.0]})})
    merge([a.root, b.root], a.root)
    for store in (a, b):
        assert (store.trial_folder("00000000000000bb") / "expression.zarr" / "chunk").read_text() == "x"
    assert a.solution("p").equals(cells.rename_axis("cell"))
    assert a.problem_table("p", "map")["x"].tolist() == [1.0]
    assert merge([a.root], tmp_path / "c").root.joinpath("problems", "p", "truth_held_out.npz").exists()
    assert [r.key for r in a.records()] == ["00000000000000aa", "00000000000000bb"]


def test_tables_can_be_read_and_written_while_trials_are_replaced(store):
    stop = threading.Event()
    store.save(record())

    def replace():
        while not stop.is_set():
            store.save(record())

    writers = [threading.Thread(target=replace) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(100):
            store.write_tables()
            list(store.records())
            store.record("00000000000000aa")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    store.write_tables()
    assert pd.read_parquet(store.root / "results.parquet")["value"].tolist() == [0.5]
