import subprocess
import sys
import tempfile

import pytest

from bench.scratch import Scratch


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_scratch_of_a_killed_run_is_removed_and_that_of_a_living_one_is_not(temporary_folder):
    code = "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]; from bench.scratch import Scratch\n"
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
