import threading

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bench.exchange import matrices
from bench.system import replacing
from bench.words import csv_text


def listed(folder):
    return sorted(p.name for p in folder.rglob("*"))


def test_a_file_takes_the_place_of_another_in_one_step(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with replacing(tmp_path / "a.txt") as aside:
        aside.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert aside.suffix == ".txt"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert listed(tmp_path) == ["a.txt"]


def test_a_folder_takes_the_place_of_another(tmp_path):
    for word in ("old", "new"):
        with replacing(tmp_path / "a") as aside:
            aside.mkdir()
            (aside / word).write_text(word)
    assert listed(tmp_path) == ["a", "new"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_what_goes_wrong_leaves_everything_as_it_was(tmp_path, error, kind):
    def write():
        with replacing(tmp_path / "a.txt") as aside:
            if kind == "folder":
                aside.mkdir()
                (aside / "half").write_text("ha")
            elif kind == "file":
                aside.write_text("ha")
            raise error

    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error):
        write()
    assert listed(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_of_several_writers_one_wins_whole(tmp_path):
    def write(i):
        for _ in range(20):
            with replacing(tmp_path / "a") as aside:
                aside.mkdir()
                (aside / "one").write_text(str(i))
                (aside / "two").write_text(str(i))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listed(tmp_path) == ["a", "one", "two"]
    assert (tmp_path / "a" / "one").read_text() == (tmp_path / "a" / "two").read_text()


def test_a_full_disk_is_left_as_it_was(small_disk):
    numbers = np.random.default_rng(0).random((3000, 300))
    cells, genes = range(len(numbers)), range(300)
    for write in (
        lambda: matrices.save(small_disk / "a.npz", sparse.csr_matrix(numbers), cells, genes),
        lambda: matrices.save_dense(small_disk / "a.zarr", numbers, cells, genes),
        lambda: _parquet(small_disk / "a.parquet", numbers),
    ):
        with pytest.raises(OSError):  # noqa: PT011 - each library has words of its own
            write()
        assert listed(small_disk) == []


def _parquet(file, numbers):
    with replacing(file) as aside:
        pd.DataFrame(numbers).to_parquet(aside)


def test_a_text_that_looks_like_a_formula_is_text_in_a_spreadsheet_and_numbers_stay_numbers():
    table = pd.DataFrame(
        {
            "gene": ["=SUM(A1)", "+1", "-x", "@y", "\tz", "MT-ND1", "a=b", None],
            "=label": pd.Categorical(["-1", "b"] * 4),
            "value": [-1.5, 2, np.nan, -3, 4, 5, 6, 7],
            "n": pd.array([-1, None] * 4, dtype="Int64"),
            "hot": [True, False] * 4,
        }
    )
    text = csv_text(table)
    assert text.splitlines()[:4] == [
        "gene,'=label,value,n,hot",
        "'=SUM(A1),'-1,-1.5,-1,True",
        "'+1,b,2.0,,False",
        "'-x,'-1,,-1,True",
    ]
    assert [line.partition(",")[0] for line in text.splitlines()[4:]] == ["'@y", "'\tz", "MT-ND1", "a=b", ""]
    assert csv_text(pd.DataFrame(columns=["a"])) == "a\n"
    plain = pd.DataFrame({"a": ["x", "y"], "b": [0.1, 1e-9]})
    assert csv_text(plain) == plain.to_csv(index=False)
