import subprocess
import sys
import tempfile

import pytest

from bench.execution.scratch import Scratch, freeze, remove_tree


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_scratch_of_a_killed_run_is_removed_and_that_of_a_living_one_is_not(temporary_folder):
    code = "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]; from bench.execution.scratch import Scratch\n"
    code += "print(Scratch().folder); sys.stdout.flush(); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code, temporary_folder], capture_output=True, text=True, check=False)
    first = Scratch()
    second = Scratch()
    assert set(temporary_folder.iterdir()) == {first.folder, second.folder}
    assert killed.stdout.strip() not in {str(first.folder), str(second.folder)}
    first.remove()
    first.remove()
    assert list(temporary_folder.iterdir()) == [second.folder]
    second.remove()


@pytest.mark.parametrize("name", ["bench-2026-results", "bench-1x-y", "scmamba-bench-notes"])
def test_folders_of_the_user_are_left_alone_whatever_they_are_called(temporary_folder, name):
    (temporary_folder / name).mkdir()
    Scratch().remove()
    assert [p.name for p in temporary_folder.iterdir()] == [name]


def test_what_is_in_it_cannot_be_listed_nor_guessed_and_frozen_folders_go_with_it(temporary_folder):
    with Scratch() as scratch:
        assert scratch.folder.stat().st_mode & 0o777 == 0o300
        one, other = scratch.new(), scratch.new()
        assert one.parent == other.parent == scratch.folder
        assert len(one.name) >= 8
        (one / "inputs" / "round_000").mkdir(parents=True)
        (one / "inputs" / "round_000" / "info.json").write_text("{}")
        freeze(one / "inputs")
        assert (one / "inputs" / "round_000").stat().st_mode & 0o777 == 0o500
        remove_tree(one)
        assert not one.exists()
        freeze(other)
    assert list(temporary_folder.iterdir()) == []
