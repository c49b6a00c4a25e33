import subprocess

import pytest
from conftest_core import make_registry

from bench.results.records import Limits


@pytest.fixture
def registry():
    return make_registry()


@pytest.fixture
def limits():
    return Limits(timeout_s=30, memory_mb=4000)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Folder of the environments that a test builds."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
